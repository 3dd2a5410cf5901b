"""`journal export` on the command line."""

from __future__ import annotations

import json

import pytest

from gatewayd.cli.journal_export import store_of
from tests.cli.test_journal import SECRET, write_journal


def test_it_says_what_was_exported_and_how_to_verify_it(gatewayd, tmp_path):
    vkey = write_journal(tmp_path / "storage")
    said = gatewayd("journal", "export", str(tmp_path / "storage"), str(tmp_path / "audit"), "--vkey", vkey)
    assert (said.code, said.err) == (0, "")
    assert f"Exported to {tmp_path / 'audit'}." in said.out
    assert "0 to 3 of 4 under the signed checkpoint" in said.out
    assert "salted hashes only" in said.out
    assert "give --vkey" not in said.out
    assert f"verify_export.py {tmp_path / 'audit'} --vkey KEY" in said.out


def test_json_names_the_folder_and_every_count(gatewayd, tmp_path):
    vkey = write_journal(tmp_path / "storage")
    said = gatewayd("journal", "export", str(tmp_path / "storage"), str(tmp_path / "audit"), "--json")
    told = json.loads(said.out)
    assert (said.code, told["vkey"], told["size"], told["decisions"]) == (0, vkey, 4, 0)
    assert told["directory"] == str(tmp_path / "audit")


def test_a_folder_that_exists_is_refused_with_words(gatewayd, tmp_path):
    write_journal(tmp_path / "storage")
    (tmp_path / "audit").mkdir()
    said = gatewayd("journal", "export", str(tmp_path / "storage"), str(tmp_path / "audit"))
    assert said.code == 4
    assert "Name a new folder" in said.err


def test_a_bad_record_is_named_the_exit_code_is_6_and_nothing_is_left(gatewayd, tmp_path):
    write_journal(tmp_path / "storage")
    file = tmp_path / "storage/store/data.mdb"
    file.write_bytes(file.read_bytes().replace(SECRET, b"lunch_break"))
    said = gatewayd("journal", "export", str(tmp_path / "storage"), str(tmp_path / "audit"))
    assert said.code == 6
    assert "nothing is exported: record 1 (stop) is bad" in said.err
    assert {path.name for path in tmp_path.iterdir()} == {"storage"}


@pytest.mark.parametrize("names", ["site", "storage", "storage/store"])
def test_site_storage_folder_and_store_all_lead_to_the_store(tmp_path, names, monkeypatch):
    write_journal(tmp_path / "storage")
    (tmp_path / "site").mkdir()
    (tmp_path / "site/gateway.toml").write_text(
        f'[gateway]\nname = "acme.example/gw/test"\n[storage]\npath = "{tmp_path / "storage"}"\n'
    )
    assert store_of(tmp_path / names) == tmp_path / "storage/store"
