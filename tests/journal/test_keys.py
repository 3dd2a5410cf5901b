"""The journal's key: made once, kept from others' eyes, delivered by systemd where it can."""

from __future__ import annotations

import stat

import pytest

from gatewayd.errors import StoreError
from gatewayd.journal.keys import create_identity, load_identity
from gatewayd.proof.note import NoteError, SeedSigner, VerifierKey

NAME = "acme.example/gw/site-7/gw-0042"


def test_a_new_identity_is_epoch_one_and_loads_again(tmp_path):
    created, signer = create_identity(tmp_path, NAME, {})
    assert (created.origin, created.epoch) == (f"{NAME}/e1", 1)
    loaded, again = load_identity(tmp_path, {})
    assert loaded == created
    assert VerifierKey.parse(created.vkey).verifies(b"message", again.sign(b"message"))
    assert signer.vkey == again.vkey
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in (tmp_path / "keys").iterdir()}
    assert modes == {"journal-key": 0o600, "identity.json": 0o600}
    assert len((tmp_path / "keys" / "journal-key").read_bytes()) == 32


def test_two_gateways_have_two_keys(tmp_path):
    keys = {create_identity(tmp_path / name, NAME, {})[0].vkey for name in ("a", "b")}
    assert len(keys) == 2


def test_an_identity_is_made_once(tmp_path):
    create_identity(tmp_path, NAME, {})
    with pytest.raises(StoreError, match="already"):
        create_identity(tmp_path, NAME, {})


def test_the_key_that_systemd_delivers_comes_first_and_is_not_copied(tmp_path):
    credentials = tmp_path / "credentials"
    credentials.mkdir()
    (credentials / "journal-key").write_text("07" * 32 + "\n")
    environment = {"CREDENTIALS_DIRECTORY": str(credentials)}
    created, _ = create_identity(tmp_path, NAME, environment)
    assert created.vkey == SeedSigner(f"{NAME}/e1", b"\x07" * 32).vkey
    assert load_identity(tmp_path, environment)[0] == created
    assert not (tmp_path / "keys" / "journal-key").exists()
    with pytest.raises(StoreError, match="cannot read"):
        load_identity(tmp_path, {})


def test_a_key_that_others_can_read_is_refused(tmp_path):
    create_identity(tmp_path, NAME, {})
    (tmp_path / "keys" / "journal-key").chmod(0o640)
    with pytest.raises(StoreError, match="read by others") as caught:
        load_identity(tmp_path, {})
    assert "chmod 600" in caught.value.remedy


@pytest.mark.parametrize("content", [b"", b"x" * 31, b"x" * 33, b"zz" * 32, b"07" * 31, b"\xff" * 64])
def test_a_malformed_key_is_refused(tmp_path, content):
    create_identity(tmp_path, NAME, {})
    (tmp_path / "keys" / "journal-key").write_bytes(content)
    with pytest.raises(StoreError, match="journal key"):
        load_identity(tmp_path, {})


def test_another_key_than_the_identitys_is_refused(tmp_path):
    create_identity(tmp_path, NAME, {})
    (tmp_path / "keys" / "journal-key").write_bytes(bytes(32))
    with pytest.raises(StoreError, match="not the one"):
        load_identity(tmp_path, {})


def test_a_gateway_without_identity_is_told_to_init(tmp_path):
    with pytest.raises(StoreError) as caught:
        load_identity(tmp_path, {})
    assert "gatewayd init" in caught.value.remedy


@pytest.mark.parametrize("content", [b"{}", b"[", b'{"origin": "a b", "epoch": 1, "vkey": ""}'])
def test_a_malformed_identity_is_refused(tmp_path, content):
    create_identity(tmp_path, NAME, {})
    (tmp_path / "keys" / "identity.json").write_bytes(content)
    with pytest.raises(StoreError):
        load_identity(tmp_path, {})


def test_a_name_that_cannot_be_a_key_name_creates_nothing(tmp_path):
    with pytest.raises(NoteError):
        create_identity(tmp_path, "has space", {})
    assert not (tmp_path / "keys").exists()


def test_a_folder_that_cannot_be_made_is_an_error_with_a_remedy(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(StoreError, match="cannot write"):
        create_identity(tmp_path / "file", NAME, {})
