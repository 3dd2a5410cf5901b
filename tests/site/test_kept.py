"""A site that was found sound is kept for the next start, and counts only as long as nothing it was made of changed."""

from __future__ import annotations

import os
from typing import get_args

import pytest

from gatewayd.model.config import Cloud
from gatewayd.model.device import Device
from gatewayd.site import kept
from gatewayd.site.folder import FILE_BYTES_MAX
from gatewayd.site.kept import FILE_KEYS, NAME, keep_site, kept_site, sources_digest


@pytest.fixture
def storage(site, tmp_path):
    """The example site, initialised: its storage folder exists."""
    folder = tmp_path / "storage"
    folder.mkdir(mode=0o700)
    config = site.config()
    site.replace("gateway.toml", f'path = "{config.gateway.storage.path}"', f'path = "{folder}"')
    return folder


def keep(site) -> bool:
    return keep_site(site.config(), sources_digest(site.path))


def test_what_was_kept_equals_what_is_read(site, storage):
    config = site.config()
    assert kept_site(site.path) is None
    assert keep(site)
    assert kept_site(site.path) == config
    assert (storage / NAME).stat().st_mode & 0o777 == 0o600
    assert [path.name for path in storage.iterdir()] == [NAME]


@pytest.mark.parametrize(
    "name",
    ["gateway.toml", "devices/plc_1.toml", "devices/plc_1.tags.csv", "twins/types.toml", "policies/station.toml"],
)
def test_a_changed_file_is_read_anew(site, storage, name):
    keep(site)
    file = site.path / name
    file.write_text(file.read_text() + "\n")
    assert kept_site(site.path) is None


def test_a_file_more_or_less_is_read_anew(site, storage):
    keep(site)
    added = site.path / "policies" / "more.toml"
    added.write_text("")
    assert kept_site(site.path) is None
    added.unlink()
    assert kept_site(site.path) is not None
    (site.path / "policies" / "station.toml").rename(site.path / "policies" / "other.toml")
    assert kept_site(site.path) is None


def test_a_tag_list_counts_whatever_it_is_called(site, storage):
    (site.path / "devices" / "plc_1.tags.csv").rename(site.path / "devices" / "registers")
    site.replace("devices/plc_1.toml", 'protocol = "modbus-tcp"', 'protocol = "modbus-tcp"\ntags = "registers"')
    assert keep(site)
    assert kept_site(site.path) is not None
    site.replace("devices/registers", "pump_1_current,input,30021", "pump_1_current,input,30023")
    assert kept_site(site.path) is None


def test_a_site_that_changed_while_it_was_read_is_not_kept(site, storage):
    sources, config = sources_digest(site.path), site.config()
    site.replace("devices/plc_1.toml", "unit_id = 1", "unit_id = 2")
    assert not keep_site(config, sources)
    assert kept_site(site.path) is None


def test_what_cannot_be_told_apart_is_not_kept(site, storage):
    (site.path / "policies" / "huge").write_bytes(bytes(FILE_BYTES_MAX + 1))
    assert sources_digest(site.path) == b""
    assert not keep(site)
    assert kept_site(site.path) is None


def test_every_key_that_names_a_file_is_known():
    keys = {key for kind in (*get_args(Device), Cloud) for key in kind.__struct_fields__}
    assert {key for key in keys if key.endswith(("_file", "certificate", "private_key"))} == set(FILE_KEYS)


def test_another_version_checks_anew(site, storage, monkeypatch):
    keep(site)
    monkeypatch.setattr(kept, "__version__", "0.0.0")
    assert kept_site(site.path) is None


def test_a_certificate_that_is_gone_is_reported_by_a_check_as_ever(site, storage):
    site.replace("devices/scada_1.toml", 'protocol = "opcua"', 'protocol = "opcua"\nserver_certificate = "scada.der"')
    certificate = site.path / "scada.der"
    certificate.write_bytes(b"certificate")
    keep(site)
    assert kept_site(site.path) is not None
    certificate.unlink()
    assert kept_site(site.path) is None


@pytest.mark.parametrize("place", [0, 20, 50, -1])
def test_a_damaged_file_is_as_none(site, storage, place):
    keep(site)
    content = bytearray((storage / NAME).read_bytes())
    content[place] ^= 1
    (storage / NAME).write_bytes(content)
    assert kept_site(site.path) is None
    (storage / NAME).write_bytes(content[: len(content) // 2])
    assert kept_site(site.path) is None
    (storage / NAME).write_bytes(b"")
    assert kept_site(site.path) is None


def test_a_file_that_others_may_write_is_not_believed(site, storage):
    keep(site)
    (storage / NAME).chmod(0o620)
    assert kept_site(site.path) is None


def test_a_link_is_not_followed(site, storage, tmp_path):
    keep(site)
    (storage / NAME).rename(tmp_path / "there")
    (storage / NAME).symlink_to(tmp_path / "there")
    assert kept_site(site.path) is None


def test_without_a_storage_folder_nothing_is_kept(site):
    assert not keep(site)
    assert kept_site(site.path) is None


def test_a_storage_that_cannot_be_written_leaves_nothing_behind(site, storage, monkeypatch):
    def refused(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fdopen", refused)
    assert not keep(site)
    assert list(storage.iterdir()) == []


def test_a_gateway_file_that_is_no_toml_is_left_to_the_check(site, storage):
    keep(site)
    (site.path / "gateway.toml").write_text("[storage\npath = 1")
    assert kept_site(site.path) is None
    for text in ("[storage]\npath = 1", "storage = 1", f"a = {'[' * 5000}", "\udcff"):
        (site.path / "gateway.toml").write_text(text, errors="surrogateescape")
        assert kept_site(site.path) is None
    (site.path / "gateway.toml").unlink()
    assert kept_site(site.path) is None
