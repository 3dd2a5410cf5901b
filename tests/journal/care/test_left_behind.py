"""What was saved can be read out of a store that nobody can open, and nothing else is taken for it."""

from __future__ import annotations

from pathlib import Path

import pytest

from gatewayd.journal.care.left_behind import rows_left_behind
from tests.journal.conftest import open_journal, open_store

SAVES = {"override/pump_1.speed": b"held at 55", "override/valve": b"shut", "point/pump_1.speed": b"owned"}


async def store_of(folder: Path, *, settled: bool) -> Path:
    store = open_store(folder, 4 << 20)
    journal = open_journal(store)
    await journal.commit([], saves=SAVES)
    if settled:
        store.settle()
    copied = folder.parent / "copied"
    copied.mkdir()
    for name in ("data.mdb", "redo"):
        (copied / name).write_bytes((folder / name).read_bytes())
    store.close()
    return copied


@pytest.mark.parametrize("settled", [True, False])
async def test_saved_rows_are_found_in_tables_and_in_the_redo_file(tmp_path, settled):
    folder = await store_of(tmp_path / "store", settled=settled)
    (folder / ("redo" if settled else "data.mdb")).unlink()
    found = dict(rows_left_behind(folder, b"override/"))
    assert found == {key.encode(): value for key, value in SAVES.items() if key.startswith("override/")}


async def test_a_store_without_meta_pages_is_read_all_the_same(tmp_path):
    folder = await store_of(tmp_path / "store", settled=True)
    data = folder / "data.mdb"
    data.write_bytes(bytes(8192) + data.read_bytes()[8192:])
    assert dict(rows_left_behind(folder, b"override/"))[b"override/valve"] == b"shut"


async def test_a_row_that_is_not_what_was_saved_is_left_out(tmp_path):
    folder = await store_of(tmp_path / "store", settled=True)
    (folder / "redo").unlink()
    data = folder / "data.mdb"
    data.write_bytes(data.read_bytes().replace(b"held at 55", b"held at 99"))
    assert set(dict(rows_left_behind(folder, b"override/"))) == {b"override/valve"}


def test_a_store_that_is_gone_or_empty_or_noise_gives_nothing(tmp_path):
    assert rows_left_behind(tmp_path / "gone", b"override/") == []
    (tmp_path / "data.mdb").write_bytes(b"")
    assert rows_left_behind(tmp_path, b"override/") == []
    (tmp_path / "data.mdb").write_bytes(b"override/" + b"\xff" * 100 + b"override/")
    (tmp_path / "redo").write_bytes(b"gw-redo1" * 1000)
    assert rows_left_behind(tmp_path, b"override/") == []
