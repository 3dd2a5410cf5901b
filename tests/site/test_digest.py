"""Digests name what a decision was made under: equal sites have equal ones, and each change shows where it belongs."""

from __future__ import annotations

import pytest

from gatewayd.site.digest import digests, site_bytes, site_from_bytes


def test_the_same_site_has_the_same_bytes_wherever_it_lies(site, tmp_path):
    before = site_bytes(site.config())
    site.path.rename(tmp_path / "elsewhere")
    site.path = tmp_path / "elsewhere"

    assert site_bytes(site.config()) == before
    assert str(tmp_path).encode() not in before


def test_a_site_comes_back_from_its_bytes(site):
    content = site_bytes(site.config())

    assert site_bytes(site_from_bytes(content)) == content
    assert digests(site_from_bytes(content)) == digests(site.config())


@pytest.mark.parametrize(
    ("file", "old", "new", "changed"),
    [
        ("policies/station.toml", "write_max = 100", "write_max = 99", {"site", "policy"}),
        ("twins/types.toml", "bearing_temp > 85", "bearing_temp > 84", {"site", "policy"}),
        ("twins/types.toml", "high = 4.2", "high = 4.3", {"site", "model"}),
        ("twins/types.toml", "[asset_type.pump]\n", "[asset_type.pump]\ntogether = {}\n", {"site", "model"}),
        ("devices/plc_1.toml", "timeout_ms = 1000", "timeout_ms = 900", {"site"}),
        ("devices/plc_1.tags.csv", "30021,uint16,,0.1", "30021,uint16,,0.2", {"site"}),
        ("gateway.toml", "# Relative to the folder", "# Below the folder", set()),
    ],
)
def test_a_change_shows_in_the_digests_it_belongs_to(site, file, old, new, changed):
    before = digests(site.config())
    site.replace(file, old, new)
    after = digests(site.config())

    assert {name for name in before._fields if getattr(before, name) != getattr(after, name)} == changed
    assert all(len(digest) == 32 for digest in after)


def test_the_order_of_rules_shows_because_it_decides(site):
    before = site.config()
    text = (site.path / "policies/station.toml").read_text()
    head, low_1, low_2, rain = text.rsplit("[[rule]]", 3)
    site.write("policies/station.toml", "[[rule]]".join((head, low_2, low_1, rain)))

    assert digests(site.config()).policy != digests(before).policy
