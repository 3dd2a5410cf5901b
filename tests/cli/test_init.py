"""`init`: identity and keys, once."""

from __future__ import annotations

import json
import stat

from tests.cli.sites import write_site


def test_it_makes_a_private_key_and_tells_the_verifier_key(gatewayd, tmp_path):
    site = write_site(tmp_path)
    said = gatewayd("init", str(site), "--json")
    assert said.code == 0
    told = json.loads(said.out)
    assert told["vkey"].startswith("acme.example/gw/test/e1+")
    files = {file.name: stat.S_IMODE(file.stat().st_mode) for file in (tmp_path / "storage" / "keys").iterdir()}
    assert files["journal-key"] == 0o600
    assert set(files.values()) == {0o600}


def test_it_never_replaces_an_identity(gatewayd, tmp_path):
    site = str(write_site(tmp_path))
    assert gatewayd("init", site).code == 0
    before = (tmp_path / "storage" / "keys" / "journal-key").read_bytes()
    said = gatewayd("init", site)
    assert said.code == 4
    assert "holds an identity already" in said.err
    assert (tmp_path / "storage" / "keys" / "journal-key").read_bytes() == before


def test_a_key_that_systemd_delivers_is_taken_and_not_copied(gatewayd, tmp_path, monkeypatch):
    delivered = tmp_path / "credentials"
    delivered.mkdir()
    (delivered / "journal-key").write_bytes(bytes(range(32)))
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(delivered))
    assert gatewayd("init", str(write_site(tmp_path))).code == 0
    assert [file.name for file in (tmp_path / "storage" / "keys").iterdir()] == ["identity.json"]


def test_a_site_that_cannot_be_used_is_refused_with_all_its_errors(gatewayd, tmp_path):
    site = write_site(tmp_path)
    (site / "devices" / "plc.toml").write_text(
        '[device]\nprotocol = "modbus-tcp"\nname = "plc"\nprot = 1\nunit_id = 300\n'
    )
    said = gatewayd("init", str(site))
    assert said.code == 1
    assert "unit_id" in said.err
    assert "prot" in said.err
    assert "gatewayd config check" in said.err
    assert not (tmp_path / "storage").exists()
