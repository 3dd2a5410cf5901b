"""`journal verify` on journals on disk."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

from gatewayd.clock import SystemClock
from gatewayd.journal.keys import create_identity, load_identity
from gatewayd.journal.log import Identity, Journal
from gatewayd.model.decision import NewRecord
from gatewayd.model.record import Stopped
from gatewayd.store.env import Store

SECRET = b"lunch break"


def write_journal(storage: Path, *, stops: int = 3) -> str:
    """Write a short journal; return its verifier key."""
    identity, _ = create_identity(storage, "acme.example/gw/test")
    identity, signer = load_identity(storage)
    store = Store.open(storage / "store", 32_000_000)
    who = Identity(origin=identity.origin, epoch=1, boot_id=bytes(16))
    journal = Journal.open(store, signer, SystemClock(), who)
    for _ in range(stops):
        asyncio.run(journal.commit([NewRecord(Stopped(SECRET.decode()))]))
    journal.close()
    store.close()
    return identity.vkey


def test_a_sound_journal_verifies_against_the_key_of_init(gatewayd, tmp_path):
    vkey = write_journal(tmp_path)
    said = gatewayd("journal", "verify", "--storage", str(tmp_path), "--vkey", vkey)
    assert (said.code, said.err) == (0, "")
    assert "The journal verifies." in said.out
    assert "4 verified" in said.out


def test_without_a_key_it_says_what_that_does_not_prove(gatewayd, tmp_path):
    write_journal(tmp_path)
    said = gatewayd("journal", "verify", "--storage", str(tmp_path))
    assert said.code == 0
    assert "give --vkey to prove authorship" in said.out
    told = json.loads(gatewayd("journal", "verify", "--storage", str(tmp_path), "--json").out)
    assert (told["is_key_given"], told["size"], told["problem"]) == (False, 4, None)


def test_an_altered_record_is_named_and_the_exit_code_is_6(gatewayd, tmp_path):
    write_journal(tmp_path)
    file = tmp_path / "store" / "data.mdb"
    content = file.read_bytes()
    assert SECRET in content
    file.write_bytes(content.replace(SECRET, b"lunch_break"))
    said = gatewayd("journal", "verify", "--storage", str(tmp_path))
    assert said.code == 6
    assert "NOT SOUND" in said.out
    assert "record 1 (stop) is bad" in said.err
    as_json = gatewayd("journal", "verify", "--storage", str(tmp_path), "--json")
    assert (as_json.code, json.loads(as_json.out)["problem"]["seq"]) == (6, 1)


def test_another_gateways_key_does_not_fit(gatewayd, tmp_path):
    write_journal(tmp_path / "a")
    other = write_journal(tmp_path / "b")
    said = gatewayd("journal", "verify", "--storage", str(tmp_path / "a"), "--vkey", other)
    assert said.code == 6
    assert "not with the one given" in said.err


def test_a_folder_without_a_store_is_told_so(gatewayd, tmp_path):
    said = gatewayd("journal", "verify", "--storage", str(tmp_path / "none"))
    assert said.code == 4
    assert "Remedy: " in said.err


def test_a_key_that_is_none_is_refused(gatewayd, tmp_path):
    write_journal(tmp_path)
    said = gatewayd("journal", "verify", "--storage", str(tmp_path), "--vkey", "not a key")
    assert said.code != 0
    assert "Remedy: " in said.err


def test_a_redo_file_that_was_cut_is_not_passed_over_in_silence(gatewayd, tmp_path):
    write_journal(tmp_path)
    folder = tmp_path / "store"
    (folder / "running").touch()  # as after a kill
    (folder / "redo").write_bytes(b"")
    said = gatewayd("journal", "verify", "--storage", str(tmp_path))
    assert said.code == 6
    assert "NOT SOUND" in said.out
    assert "cut short by" in said.out
    assert "may be missing" in said.err
    told = json.loads(gatewayd("journal", "verify", "--storage", str(tmp_path), "--json").out)
    assert (told["problem"], told["redo"]["missing_bytes"] > 0) == (None, True)


def test_a_redo_file_that_was_cut_after_a_stop_is_told_and_does_no_harm(gatewayd, tmp_path):
    write_journal(tmp_path)
    (tmp_path / "store" / "redo").write_bytes(b"")
    said = gatewayd("journal", "verify", "--storage", str(tmp_path))
    assert said.code == 0
    assert "nothing is missing" in said.out
