"""A site that was found sound is kept for the next start, and counts only as long as nothing it was made of changed."""

from __future__ import annotations

import os

import pytest

from gatewayd.site import kept
from gatewayd.site.kept import NAME, keep_site, kept_site


@pytest.fixture
def storage(site, tmp_path):
    """The example site, initialised: its storage folder exists."""
    folder = tmp_path / "storage"
    folder.mkdir(mode=0o700)
    config = site.config()
    site.replace("gateway.toml", f'path = "{config.gateway.storage.path}"', f'path = "{folder}"')
    return folder


def test_what_was_kept_equals_what_is_read(site, storage):
    config = site.config()
    assert kept_site(site.path) is None
    assert keep_site(config)
    assert kept_site(site.path) == config
    assert (storage / NAME).stat().st_mode & 0o777 == 0o600
    assert [path.name for path in storage.iterdir()] == [NAME]


@pytest.mark.parametrize(
    "name",
    ["gateway.toml", "devices/plc_1.toml", "devices/plc_1.tags.csv", "twins/types.toml", "policies/station.toml"],
)
def test_a_changed_file_is_read_anew(site, storage, name):
    keep_site(site.config())
    file = site.path / name
    file.write_text(file.read_text() + "\n")
    assert kept_site(site.path) is None


def test_a_file_more_or_less_is_read_anew(site, storage):
    keep_site(site.config())
    added = site.path / "policies" / "more.toml"
    added.write_text("")
    assert kept_site(site.path) is None
    added.unlink()
    assert kept_site(site.path) is not None
    (site.path / "policies" / "station.toml").rename(site.path / "policies" / "other.toml")
    assert kept_site(site.path) is None


def test_another_version_checks_anew(site, storage, monkeypatch):
    keep_site(site.config())
    monkeypatch.setattr(kept, "__version__", "0.0.0")
    assert kept_site(site.path) is None


def test_a_certificate_that_is_gone_is_reported_by_a_check_as_ever(site, storage):
    site.replace("devices/scada_1.toml", 'protocol = "opcua"', 'protocol = "opcua"\nserver_certificate = "scada.der"')
    certificate = site.path / "scada.der"
    certificate.write_bytes(b"certificate")
    keep_site(site.config())
    assert kept_site(site.path) is not None
    certificate.unlink()
    assert kept_site(site.path) is None


@pytest.mark.parametrize("place", [0, 20, 50, -1])
def test_a_damaged_file_is_as_none(site, storage, place):
    keep_site(site.config())
    content = bytearray((storage / NAME).read_bytes())
    content[place] ^= 1
    (storage / NAME).write_bytes(content)
    assert kept_site(site.path) is None
    (storage / NAME).write_bytes(content[: len(content) // 2])
    assert kept_site(site.path) is None
    (storage / NAME).write_bytes(b"")
    assert kept_site(site.path) is None


def test_a_file_that_others_may_write_is_not_believed(site, storage):
    keep_site(site.config())
    (storage / NAME).chmod(0o620)
    assert kept_site(site.path) is None


def test_a_link_is_not_followed(site, storage, tmp_path):
    keep_site(site.config())
    (storage / NAME).rename(tmp_path / "there")
    (storage / NAME).symlink_to(tmp_path / "there")
    assert kept_site(site.path) is None


def test_without_a_storage_folder_nothing_is_kept(site):
    assert not keep_site(site.config())
    assert kept_site(site.path) is None


def test_a_storage_that_cannot_be_written_leaves_nothing_behind(site, storage, monkeypatch):
    def refused(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fdopen", refused)
    assert not keep_site(site.config())
    assert list(storage.iterdir()) == []


def test_a_gateway_file_that_is_no_toml_is_left_to_the_check(site, storage):
    keep_site(site.config())
    (site.path / "gateway.toml").write_text("[storage\npath = 1")
    assert kept_site(site.path) is None
    (site.path / "gateway.toml").write_text("[storage]\npath = 1")
    assert kept_site(site.path) is None
