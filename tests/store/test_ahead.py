"""Rows written ahead of the tables are seen at once, survive a kill, and enter the tables exactly once."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys

import msgspec
import pytest
import zstandard

from gatewayd.errors import StoreDamaged, StoreError
from gatewayd.store.ahead import Ahead, ahead_of, encode_changes, next_mark
from gatewayd.store.env import Store
from gatewayd.store.redo import PAGE_BYTES
from gatewayd.store.tables import Table, u64
from gatewayd.store.transaction import Batch

QUOTA = 4 << 20


@pytest.fixture
def store(tmp_path):
    store = Store.open(tmp_path / "store", QUOTA)
    yield store
    store.close()


def batch(*rows: tuple[bytes, bytes | None], table: Table = Table.SAVE) -> Batch:
    gathered = Batch()
    for key, value in rows:
        if value is None:
            gathered.delete(table, key)
        else:
            gathered.put(table, key, value)
    return gathered


def transactions(store: Store) -> int:
    return store._required().info()["last_txnid"]


def test_rows_written_ahead_are_read_at_once_and_cost_no_transaction(store):
    before = transactions(store)
    store.write_ahead(batch((b"a", b"1"), (b"b", b"2")))
    store.write_ahead(batch((b"a", None)))
    assert store.get(Table.SAVE, b"a") is None
    assert store.get(Table.SAVE, b"b") == b"2"
    assert store.rows_ahead == 3
    assert transactions(store) == before


def test_the_tables_take_over_with_the_next_write_of_anybody(store):
    store.write_ahead(batch((b"a", b"1")))
    assert store.write(lambda writing: writing.get(Table.SAVE, b"a")) == b"1"
    assert store.rows_ahead == 0
    assert store.get(Table.SAVE, b"a") == b"1"
    store.settle()  # nothing to do
    store.write_ahead(batch((b"a", b"2")))
    assert store.get(Table.SAVE, b"a") == b"2"


def test_a_write_that_raises_leaves_the_rows_ahead_where_they_are(store):
    store.write_ahead(batch((b"a", b"1")))
    with pytest.raises(RuntimeError):
        store.write(lambda _: (_ for _ in ()).throw(RuntimeError("stop")))
    assert store.rows_ahead == 1
    assert store.get(Table.SAVE, b"a") == b"1"


def test_a_batch_too_large_for_the_redo_file_goes_into_the_tables_with_all_that_waits(store):
    store.write_ahead(batch((b"small", b"1")))
    store.write_ahead(batch((b"large", os.urandom(store._redo_bytes))))
    assert store.rows_ahead == 0
    assert store.get(Table.SAVE, b"small") == b"1"
    assert len(store.get(Table.SAVE, b"large")) == store._redo_bytes


def test_the_redo_file_is_used_from_the_front_again_and_again(store):
    for number in range(3 * store._redo_bytes // PAGE_BYTES):
        store.write_ahead(batch((u64(number), b"x")))
    assert 0 < store.rows_ahead <= store._redo_bytes // PAGE_BYTES
    assert store.read(lambda r: r.count(Table.SAVE)) == 3 * store._redo_bytes // PAGE_BYTES


def test_growing_tables_are_filled_in_order(store):
    rows = Batch()
    for number in range(40):
        rows.append(Table.ENTRY, u64(number), b"leaf")
    store.write_ahead(rows)
    store.settle()
    assert store.read(lambda r: r.count(Table.ENTRY)) == 40
    with pytest.raises(AssertionError):
        Batch().append(Table.SAVE, b"key", b"value")


WRITER = """
import os, sys
from pathlib import Path
from gatewayd.store.env import Store
from gatewayd.store.tables import Table, u64
from gatewayd.store.transaction import Batch

store = Store.open(Path(sys.argv[1]), 4 << 20)
for number in range(10):
    batch = Batch()
    batch.put(Table.SAVE, u64(number), b"x" * 100)
    store.write_ahead(batch)
    print(number, flush=True)
sys.stdin.read()
"""


@pytest.fixture
def killed(tmp_path):
    """The folder of a store whose owner was killed with ten batches ahead of the tables."""
    path = tmp_path / "killed"
    with subprocess.Popen(
        [sys.executable, "-c", WRITER, str(path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": os.getcwd()},
    ) as child:
        assert child.stdout is not None
        for number in range(10):
            assert child.stdout.readline() == b"%d\n" % number
        reader = Store.open(path, QUOTA, readonly=True)
        assert reader.read(lambda r: r.count(Table.SAVE)) == 10, "a reader beside the daemon sees what is durable"
        reader.close()
        child.send_signal(signal.SIGKILL)
    return path


def test_what_was_acknowledged_before_a_kill_is_in_the_tables_after_the_next_start(killed):
    """P-JOURNAL."""
    reader = Store.open(killed, QUOTA, readonly=True)
    assert reader.read(lambda r: r.count(Table.SAVE)) == 10
    reader.close()
    store = Store.open(killed, QUOTA)
    assert store.rows_ahead == 0
    assert store.redo_lost == 0
    assert [key for key, _ in store.read(lambda r: r.scan(Table.SAVE, limit=99))] == [u64(n) for n in range(10)]
    store.close()


def test_a_start_after_the_tables_took_over_applies_nothing_twice(killed):
    """The frames still lie in the file; the mark in the tables has moved on."""
    frames = (killed / "redo").read_bytes()
    store = Store.open(killed, QUOTA)
    store.write(lambda writing: writing.put(Table.SAVE, u64(3), b"newer"))
    store.close()
    (killed / "redo").write_bytes(frames)
    again = Store.open(killed, QUOTA)
    assert again.get(Table.SAVE, u64(3)) == b"newer"
    again.close()


def test_the_redo_file_of_another_store_is_not_taken_for_ours(killed, tmp_path):
    other = Store.open(tmp_path / "other", QUOTA)
    other.close()
    shutil.copy(killed / "redo", tmp_path / "other" / "redo")
    again = Store.open(tmp_path / "other", QUOTA)
    assert again.read(lambda r: r.count(Table.SAVE)) == 0
    again.close()


def test_a_store_that_lost_acknowledged_batches_is_not_gone_on_with(killed):
    """At every start, not only the first; a reader sees what is left, and how much is not."""
    with (killed / "redo").open("r+b") as file:
        file.seek(4 * PAGE_BYTES + 80)
        file.write(b"?")
    for _ in range(2):
        with pytest.raises(StoreDamaged, match="did not give back what was acknowledged: 6 commits"):
            Store.open(killed, QUOTA)
    store = Store.open(killed, QUOTA, readonly=True)
    assert store.read(lambda r: r.count(Table.SAVE)) == 4
    assert store.redo_lost == 6
    store.close()


@pytest.mark.parametrize("size", [None, 0, PAGE_BYTES, 10 * PAGE_BYTES])
def test_a_redo_file_that_is_shorter_than_it_was_counts_as_a_loss_after_a_kill(killed, size):
    """What stood in the part that is gone, nobody can tell: something, or nothing."""
    path = killed
    if size is None:
        (path / "redo").unlink()
    else:
        os.truncate(path / "redo", size)
    for _ in range(2):
        with pytest.raises(StoreDamaged, match="shorter than it was"):
            Store.open(path, QUOTA)


@pytest.mark.parametrize("bit", [0, 100, 191 - 7, 191])
def test_a_mark_that_the_disk_changed_does_not_void_what_was_acknowledged(killed, bit):
    """In the store's id or in the counter, up or down: the frames would be taken for another's, or for settled ones."""
    mark = marked(killed)
    changed = bytearray(mark)
    changed[bit // 8] ^= 1 << (7 - bit % 8)
    data = (killed / "data.mdb").read_bytes()
    assert mark in data
    (killed / "data.mdb").write_bytes(data.replace(mark, bytes(changed)))
    for _ in range(2):
        with pytest.raises(StoreDamaged, match="the mark of its redo file is damaged"):
            Store.open(killed, QUOTA)


def test_an_old_copy_of_the_tables_is_not_gone_on_with(killed, tmp_path):
    """Its redo file holds commits of a later state, whose predecessors are missing."""
    old = (killed / "data.mdb").read_bytes()
    store = Store.open(killed, QUOTA)
    store.write_ahead(batch((b"later", b"1")))
    later = shutil.copytree(killed, tmp_path / "later")
    store.close()
    (later / "data.mdb").write_bytes(old)
    with pytest.raises(StoreDamaged, match="did not give back what was acknowledged"):
        Store.open(later, QUOTA)


def marked(path):
    store = Store.open(path, QUOTA, readonly=True)
    mark = store.get(Table.META, b"mark")
    store.close()
    return mark


def test_a_redo_file_that_is_shorter_after_a_stop_is_no_loss(killed):
    """Nothing stood there any more."""
    Store.open(killed, QUOTA).close()
    os.truncate(killed / "redo", 0)
    store = Store.open(killed, QUOTA)
    assert store.read(lambda r: r.count(Table.SAVE)) == 10
    store.close()


def test_more_quota_after_a_kill_loses_nothing_of_what_was_written_ahead(killed):
    store = Store.open(killed, 2 * QUOTA)
    assert store.redo_lost == 0
    assert store.read(lambda r: r.count(Table.SAVE)) == 10
    store.close()


def test_frames_are_found_though_there_is_no_room_for_a_larger_redo_file(killed, monkeypatch):
    """Or later rows would be written beside them, and they over those at some later start."""
    monkeypatch.setattr("gatewayd.store.env.RedoFile", _no_room)
    store = Store.open(killed, 2 * QUOTA)
    assert store.read(lambda r: r.count(Table.SAVE)) == 10
    assert store.rows_ahead == 0
    store.close()


def _no_room(*_):
    raise OSError(28, "No space left on device")


def test_without_room_for_the_redo_file_everything_goes_into_the_tables(tmp_path, monkeypatch):
    import gatewayd.store.env as env

    def refuse(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(env, "RedoFile", refuse)
    store = Store.open(tmp_path / "store", QUOTA)
    store.write_ahead(batch((b"a", b"1")))
    assert store.rows_ahead == 0
    assert store.get(Table.SAVE, b"a") == b"1"
    store.close()


def test_an_fsync_that_fails_closes_the_store_and_reopening_finds_what_was_acknowledged(store, monkeypatch):
    store.write_ahead(batch((b"a", b"1")))

    def fail(_):
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(os, "fdatasync", fail)
    with pytest.raises(StoreError, match="Input/output"):
        store.write_ahead(batch((b"b", b"2")))
    with pytest.raises(StoreError):
        store.get(Table.SAVE, b"a")
    monkeypatch.undo()
    store.reopen()
    assert store.get(Table.SAVE, b"a") == b"1"
    assert store.rows_ahead == 0


def test_a_store_that_is_reopened_looks_for_losses_as_after_a_kill(store):
    """The run before it stopped cleanly, but this one did not."""
    store.write_ahead(batch((b"a", b"1")))
    os.truncate(store.path / "redo", 0)
    with pytest.raises(StoreDamaged, match="shorter than it was"):
        store.reopen()


def test_damage_that_only_writing_meets_is_no_clean_stop_and_no_error_at_every_start(tmp_path):
    """It is met when the tables take over, at a stop as well as at a start; then a new epoch must begin, not a crash loop."""
    path = tmp_path / "store"
    store = Store.open(path, QUOTA)
    store.write(lambda writing: writing.put(Table.SAVE, b"a", b"a row to be found"))
    store.close()
    damage_pages(path / "data.mdb", b"a row to be found")
    store = Store.open(path, QUOTA)
    store.write_ahead(batch((b"b", b"2")))
    with pytest.raises(StoreDamaged):
        store.settle()
    store.close()
    with pytest.raises(StoreDamaged):
        Store.open(path, QUOTA)


def damage_pages(path, content):
    """Let every page that holds these bytes be of no kind that LMDB knows."""
    file = bytearray(path.read_bytes())
    at = file.find(content)
    while at >= 0:
        page = at // 4096 * 4096
        file[page + 10 : page + 12] = b"\0\0"
        at = file.find(content, page + 4096)
    path.write_bytes(file)


def test_frames_of_an_unknown_version_stop_the_start_in_words(killed):
    mark_bytes = marked(killed)
    from gatewayd.store.redo import RedoFile

    redo = RedoFile(killed / "redo", os.stat(killed / "redo").st_size)
    redo.append(mark_bytes, b"\xc1")
    redo.close()
    with pytest.raises(StoreError, match="redo file"):
        Store.open(killed, QUOTA)


def test_a_picture_is_never_changed_only_followed_by_another():
    first = Ahead(b"m").with_changes([(Table.SAVE, b"a", b"1")])
    second = first.with_changes([(Table.SAVE, b"a", None), (Table.META, b"b", b"2")])
    assert first.changes == {Table.SAVE: {b"a": b"1"}}
    assert second.changes == {Table.SAVE: {b"a": None}, Table.META: {b"b": b"2"}}
    assert second.rows == 3
    assert ahead_of(b"m", [encode_changes([(Table.SAVE, b"a", None)])]).changes == {Table.SAVE: {b"a": None}}


def test_a_picture_is_put_together_when_somebody_looks():
    """However often nobody looked, and whichever of the pictures before was looked at."""
    rows = [[(Table.SAVE, b"%d" % (n % 7), b"%d" % n)] for n in range(20)]
    looked, silent = Ahead(b"m"), Ahead(b"m")
    for changes in rows:
        looked, silent = looked.with_changes(changes), silent.with_changes(changes)
        assert looked.changes[Table.SAVE]
    assert silent.changes == looked.changes == {Table.SAVE: {b"%d" % (n % 7): b"%d" % n for n in range(13, 20)}}
    assert silent.with_changes([(Table.SAVE, b"6", None)]).changes[Table.SAVE][b"6"] is None


def test_a_mark_moves_on_by_one_and_keeps_the_stores_id():
    assert next_mark(b"i" * 16 + u64(7)) == b"i" * 16 + u64(8)


def test_a_store_is_not_reopened_on_a_disk_that_takes_pages_of_the_redo_file_only(store, monkeypatch):
    store._fail(OSError(5, "Input/output error"))
    write = store.write

    def refuse(work, **options):
        raise StoreError("the tables cannot be written", remedy="")

    monkeypatch.setattr(store, "write", refuse)
    with pytest.raises(StoreError, match="cannot be written"):
        store.reopen()
    assert store.failure is not None
    monkeypatch.setattr(store, "write", write)
    store.reopen()
    store.write_ahead(batch((b"a", b"1")))
    assert store.get(Table.SAVE, b"a") == b"1"


def test_what_takes_more_than_a_page_is_compressed_and_read_back():
    changes = [(Table.SAVE, b"%d" % n, b"a value that repeats itself") for n in range(500)]
    payload = encode_changes(changes)
    assert len(payload) < PAGE_BYTES
    assert ahead_of(b"m" * 24, [payload]).changes == {Table.SAVE: {key: value for _, key, value in changes}}
    small = [(Table.SAVE, b"a", b"1"), (Table.SAVE, b"b", None)]
    assert ahead_of(b"m" * 24, [encode_changes(small)]).changes == {Table.SAVE: {b"a": b"1", b"b": None}}


@pytest.mark.parametrize(
    "payload",
    [
        zstandard.FRAME_HEADER,
        zstandard.ZstdCompressor().compress(b"\xc1"),
        zstandard.ZstdCompressor().compress(bytes(32 << 20)),
        zstandard.ZstdCompressor().compress(bytes(5000))[:-3],
    ],
)
def test_a_payload_that_is_no_list_of_changes_is_refused(payload):
    with pytest.raises(msgspec.MsgspecError):
        ahead_of(b"m" * 24, [payload])


def test_the_tables_take_over_before_too_much_waits_in_memory(tmp_path):
    store = Store.open(tmp_path / "large", 256 << 20)
    value = bytes(100_000)
    for n in range(20):
        store.write_ahead(batch((b"%d" % n, value)))
    assert store.rows_ahead == 20
    store.write_ahead(batch((b"20", value)))
    assert store.rows_ahead == 0
    assert store.get(Table.SAVE, b"20") == value
    store.close()


def test_the_form_in_which_tables_take_over_is_anothers_to_choose(store):
    """The journal bundles its records so; what cannot go ahead of the tables takes the same way."""
    store.rearrange = lambda tables, changes: {**changes, Table.META: {b"seen": tables.get(Table.SAVE, b"a")}}
    store.write_ahead(batch((b"a", b"1")))
    assert store.get(Table.META, b"seen") is None
    store.settle()
    assert store.get(Table.META, b"seen") == b"1"
    store.write_ahead(batch((b"a", os.urandom(QUOTA // 32))))  # more than the redo file holds
    assert store.rows_ahead == 0
    assert len(store.get(Table.META, b"seen")) == QUOTA // 32
