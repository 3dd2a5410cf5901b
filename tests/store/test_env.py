"""The store keeps what it acknowledged, refuses what it cannot keep, and says which of the two it was."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from gatewayd.errors import StoreError, StoreFull
from gatewayd.store.env import Store
from gatewayd.store.tables import Table, u64
from gatewayd.store.transaction import Batch, Writing

QUOTA = 4 << 20


@pytest.fixture
def store(tmp_path):
    store = Store.open(tmp_path / "store", QUOTA)
    yield store
    store.close()


def put(store: Store, key: bytes, value: bytes, **options) -> None:
    store.write(lambda writing: writing.put(Table.SAVE, key, value), **options)


def fill(store: Store) -> int:
    """Write until the store counts as full; return how many rows were acknowledged."""
    for batch in range(10_000):
        rows = range(batch * 8, batch * 8 + 8)
        try:
            store.write(lambda writing, rows=rows: [writing.put(Table.SAVE, u64(n), os.urandom(3000)) for n in rows])
        except StoreFull:
            return batch * 8
    pytest.fail("never full")


def test_what_was_written_is_there_after_reopening(tmp_path):
    store = Store.open(tmp_path / "store", QUOTA)
    put(store, b"key", b"value")
    store.close()
    again = Store.open(tmp_path / "store", QUOTA)
    assert again.get(Table.SAVE, b"key") == b"value"
    assert again.was_clean
    again.close()


def test_a_transaction_that_raises_leaves_nothing_behind(store):
    def work(writing: Writing) -> None:
        writing.put(Table.SAVE, b"half", b"done")
        raise RuntimeError("stop")

    with pytest.raises(RuntimeError):
        store.write(work)
    assert store.get(Table.SAVE, b"half") is None
    put(store, b"next", b"works")


def test_rows_are_scanned_in_both_directions_within_their_limits(store):
    store.write(lambda writing: [writing.put(Table.SAVE, bytes([n]), b"") for n in range(10, 20)])
    scan = lambda **options: [key[0] for key, _ in store.read(lambda r: r.scan(Table.SAVE, **options))]  # noqa: E731
    back = lambda **options: [key[0] for key, _ in store.read(lambda r: r.scan_back(Table.SAVE, **options))]  # noqa: E731
    assert scan(limit=3) == [10, 11, 12]
    assert scan(first=bytes([15]), below=bytes([18]), limit=9) == [15, 16, 17]
    assert scan(first=bytes([99]), limit=9) == []
    assert back(limit=2) == [19, 18]
    assert back(below=bytes([13]), floor=bytes([11]), limit=9) == [12, 11]
    assert back(below=bytes([10]), limit=9) == []
    assert back(below=bytes([99]), limit=1) == [19]
    assert back(limit=0) == scan(limit=0) == []
    assert store.read(lambda r: r.count(Table.SAVE)) == 10


def test_appending_a_key_twice_is_a_bug_that_is_caught(store):
    store.write(lambda writing: writing.append(Table.ENTRY, u64(1), b"a"))
    with pytest.raises(AssertionError):
        store.write(lambda writing: writing.append(Table.ENTRY, u64(1), b"b"))
    assert store.get(Table.ENTRY, u64(1)) == b"a"


def test_files_and_folder_are_the_owners_alone(store):
    assert stat.S_IMODE(store.path.stat().st_mode) == 0o700
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in store.path.iterdir()}
    assert {"data.mdb", "lock.mdb", "owner.lock", "ballast", "running"} <= set(modes)
    assert set(modes.values()) == {0o600}


def test_a_full_store_refuses_before_lmdb_does_and_keeps_a_reserve(store):
    rows = fill(store)
    assert rows > 500
    assert store.is_full
    assert 0.8 < store.fill() < 0.96
    with pytest.raises(StoreFull) as refused:
        put(store, b"one more", b"")
    assert "quota" in refused.value.remedy
    put(store, b"last words", b"x" * 1000, use_reserve=True)
    assert store.get(Table.SAVE, b"last words") == b"x" * 1000


def test_in_a_large_store_the_reserve_is_five_per_cent(tmp_path):
    store = Store.open(tmp_path / "store", 64 << 20)
    assert store._full_bytes == pytest.approx(0.95 * store._map_bytes, rel=0.001)
    store.close()


def test_a_full_store_recovers_when_rows_are_deleted(store):
    rows = fill(store)
    for row in range(0, rows, 16):
        store.write(lambda writing, row=row: writing.delete(Table.SAVE, u64(row)), use_reserve=True)
    assert not store.is_full
    put(store, b"room again", b"")


def test_a_full_store_recovers_with_a_larger_quota(tmp_path):
    store = Store.open(tmp_path / "store", QUOTA)
    fill(store)
    store.close()
    larger = Store.open(tmp_path / "store", 2 * QUOTA)
    put(larger, b"room again", b"")
    larger.close()


def test_the_store_never_takes_more_disk_than_its_quota(store):
    fill(store)
    taken = sum(path.stat().st_size for path in store.path.iterdir() if path.name != "lock.mdb")
    assert taken <= QUOTA


def test_one_transaction_too_large_for_the_map_is_refused_whole(store):
    with pytest.raises(StoreFull):
        store.write(lambda writing: [writing.put(Table.SAVE, u64(n), os.urandom(9000)) for n in range(1000)])
    assert store.read(lambda reading: reading.count(Table.SAVE)) == 0
    put(store, b"small", b"fits")


def test_lmdb_is_asked_for_synced_commits_and_no_writable_map(store):
    """P-JOURNAL: `sync=False` loses acknowledged commits at a power cut, `writemap` lets stray writes in."""
    flags = store._required().flags()
    assert (flags["sync"], flags["metasync"], flags["writemap"], flags["map_async"]) == (True, True, False, False)


def test_a_reader_beside_the_owner_sees_what_is_committed(store):
    put(store, b"key", b"value")
    script = (
        "import sys; from pathlib import Path; from gatewayd.store.env import Store; "
        "from gatewayd.store.tables import Table\n"
        "store = Store.open(Path(sys.argv[1]), 1 << 20, readonly=True); print(store.get(Table.SAVE, b'key'))"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, str(store.path)],
        capture_output=True, text=True, timeout=30, check=True, env={**os.environ, "PYTHONPATH": os.getcwd()},
    )  # fmt: skip
    assert done.stdout.strip() == "b'value'"


def test_a_reader_goes_on_reading_while_the_owner_lets_the_file_grow(store):
    """A reader that maps only what there is at its start is refused by LMDB as soon as there is more."""
    script = (
        "import sys; from pathlib import Path; from gatewayd.store.env import Store; "
        "from gatewayd.store.tables import Table\n"
        "store = Store.open(Path(sys.argv[1]), 1 << 20, readonly=True); print('open', flush=True); sys.stdin.readline()\n"
        "print(store.get(Table.SAVE, b'key'))"
    )
    reader = subprocess.Popen(
        [sys.executable, "-c", script, str(store.path)],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env={**os.environ, "PYTHONPATH": os.getcwd()},
    )  # fmt: skip
    assert reader.stdout is not None
    assert reader.stdout.readline() == "open\n"
    store.write(lambda writing: [writing.put(Table.SAVE, u64(n), bytes(4000)) for n in range(500)])
    put(store, b"key", b"value")
    said, _ = reader.communicate("go on\n", timeout=30)
    assert said == "b'value'\n"


def test_reading_a_store_that_is_not_there_creates_nothing(tmp_path):
    with pytest.raises(StoreError, match="no store"):
        Store.open(tmp_path / "none", QUOTA, readonly=True)
    assert not (tmp_path / "none").exists()


def test_a_store_from_before_a_table_existed_reads_as_empty_there(tmp_path, monkeypatch):
    import gatewayd.store.environment as env

    monkeypatch.setattr(env, "TABLES", [table for table in Table if table != Table.BLOB])
    Store.open(tmp_path / "store", QUOTA).close()
    monkeypatch.undo()
    store = Store.open(tmp_path / "store", QUOTA, readonly=True)
    assert store.get(Table.BLOB, b"key") is None
    assert store.read(lambda r: (r.scan(Table.BLOB, limit=1), r.scan_back(Table.BLOB, limit=1), r.count(Table.BLOB))) == (
        [], [], 0,
    )  # fmt: skip
    store.close()


def test_a_quota_that_holds_nothing_is_refused(tmp_path):
    with pytest.raises(StoreError, match="too small"):
        Store.open(tmp_path / "store", 1000)


def test_a_folder_that_cannot_be_made_is_an_error_with_a_remedy(tmp_path):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(StoreError, match="cannot create") as caught:
        Store.open(tmp_path / "file" / "store", QUOTA)
    assert caught.value.remedy


def test_a_closed_store_says_so(tmp_path):
    store = Store.open(tmp_path / "store", QUOTA)
    store.close()
    with pytest.raises(StoreError, match="closed"):
        put(store, b"key", b"value")


CHILD = """
import sys
from pathlib import Path
from gatewayd.errors import StoreError, StoreFull
from gatewayd.store.env import Store
from gatewayd.store.tables import Table, u64

store = Store.open(Path(sys.argv[1]), 4 << 20)
print("open", flush=True)
for n in range(20):
    try:
        store.write(lambda writing: writing.put(Table.SAVE, u64(n), b"x" * 100))
        print("acked", n, flush=True)
    except StoreFull as error:
        print("full", n, flush=True)
    except StoreError as error:
        print("failed", n, flush=True)
"""


def run_under_strace(tmp_path: Path, *inject: str) -> tuple[list[str], Path]:
    """Run 20 commits in a child whose system calls fail as told."""
    from shutil import which

    if which("strace") is None:
        pytest.skip("needs strace: apt-get install strace")
    store, script = tmp_path / "store", tmp_path / "child.py"
    script.write_text(CHILD)
    Store.open(store, QUOTA).close()
    command = ["strace", "-f", "-o", str(tmp_path / "trace"), *inject, sys.executable, str(script), str(store)]
    environment = {**os.environ, "PYTHONPATH": os.getcwd()}
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False, env=environment)
    if "PTRACE" in done.stderr or "Operation not permitted" in done.stderr:
        pytest.skip("strace may not trace here (ptrace is forbidden)")
    return done.stdout.splitlines(), store


def numbers(lines: list[str], word: str) -> list[int]:
    return [int(line.split()[1]) for line in lines if line.startswith(word)]


def assert_acked_rows_are_there(path: Path, lines: list[str]) -> None:
    store = Store.open(path, QUOTA)
    rows = {key for key, _ in store.read(lambda reading: reading.scan(Table.SAVE, limit=100))}
    store.close()
    assert {u64(n) for n in numbers(lines, "acked")} <= rows


def test_after_one_failed_fsync_nothing_more_is_acknowledged(tmp_path):
    """The kernel may have dropped the pages it could not write: fail-stop, even if the next fsync succeeds."""
    lines, path = run_under_strace(tmp_path, "-e", "trace=fdatasync", "-e", "inject=fdatasync:error=EIO:when=8")
    assert "open" in lines
    failed = numbers(lines, "failed")
    assert failed
    assert failed == list(range(failed[0], 20))
    assert numbers(lines, "acked") == list(range(failed[0]))
    assert_acked_rows_are_there(path, lines)


@pytest.mark.parametrize("when", ["3..6", "4+4", "5"])
def test_a_full_disk_is_survived_and_what_was_acknowledged_stays(tmp_path, when):
    inject = f"inject=pwrite64,pwritev,writev:error=ENOSPC:when={when}"
    lines, path = run_under_strace(tmp_path, "-e", "trace=pwrite64,pwritev,writev,ftruncate", "-e", inject)
    if "open" not in lines:  # the fault came while the store was being opened: refused is right, too
        assert_acked_rows_are_there(path, lines)
        return
    assert not numbers(lines, "failed")
    assert numbers(lines, "full"), lines
    if when != "4+4":
        assert numbers(lines, "acked")[-1] == 19, "commits go on once there is space again"
    assert_acked_rows_are_there(path, lines)


@pytest.mark.parametrize("when", [1, 4, 9, 15, 20])
def test_killed_at_any_fsync_every_acknowledged_row_is_there(tmp_path, when):
    lines, path = run_under_strace(tmp_path, "-e", "trace=fdatasync", "-e", f"inject=fdatasync:signal=KILL:when={when}")
    assert len(numbers(lines, "acked")) < 20
    assert_acked_rows_are_there(path, lines)


def test_a_store_closed_by_an_error_works_again_after_reopen(tmp_path, store):
    import lmdb

    put(store, b"before", b"1")
    store._fail(lmdb.Error("made up", 5))
    with pytest.raises(StoreError, match="made up"):
        put(store, b"during", b"2")
    with pytest.raises(StoreError, match="made up"):
        store.get(Table.SAVE, b"before")
    generation = store.generation
    store.reopen()
    assert store.failure is None
    assert store.generation == generation + 1
    assert store.get(Table.SAVE, b"before") == b"1"
    put(store, b"after", b"3")


def test_the_room_is_measured_table_by_table(store):
    store.write(lambda writing: writing.put(Table.BLOCK, b"digest", os.urandom(100_000)))
    tables = store.table_bytes()
    assert tables[Table.BLOCK] >= 100_000
    assert tables[Table.EVIDENCE] == 0
    room = store.room()
    assert room.used == store.used_bytes == sum(tables.values())
    assert room.file >= room.used
    assert (room.quota, room.is_disk_nearer, room.is_disk_full) == (store._map_bytes, False, False)


def test_only_a_part_of_the_reserve_is_for_people(store):
    fill(store)
    assert not store.is_exhausted
    most = store._full_bytes + int(0.3 * (store._map_bytes - store._full_bytes))
    for row in range(1000):
        if store.used_bytes >= most:
            break
        put(store, b"more" + u64(row), os.urandom(3000), use_reserve=True)
    assert store.is_exhausted


def test_the_data_file_has_its_blocks_ahead_of_need(store):
    data = store.path / "data.mdb"
    for row in range(200):
        put(store, u64(row), os.urandom(3000))
        assert data.stat().st_blocks * 512 >= data.stat().st_size >= store._end_bytes
    assert data.stat().st_size > store._end_bytes


def test_a_reader_that_was_killed_holds_no_pages_for_ever(store):
    script = (
        "import os, sys; from pathlib import Path; from gatewayd.store.env import Store\n"
        "store = Store.open(Path(sys.argv[1]), 1 << 20, readonly=True)\n"
        "store.read(lambda reading: os.kill(os.getpid(), 9))"
    )
    subprocess.run([sys.executable, "-c", script, str(store.path)], timeout=30, check=False, env={**os.environ})
    assert store.clear_stale_readers() == 1
    assert store.clear_stale_readers() == 0


def test_a_full_store_goes_on_under_a_larger_quota_without_a_restart(store):
    rows = fill(store)
    batch = Batch()
    batch.put(Table.SAVE, b"ahead", b"in the redo file only")
    store.write_ahead(batch, use_reserve=True)
    assert store.is_full
    generation = store.generation
    store.enlarge(4 * QUOTA)
    assert not store.is_full
    assert store.generation == generation + 1, "readers load again what they keep"
    assert store.room().quota > 3 * QUOTA
    assert store.read(lambda reading: reading.count(Table.SAVE)) == rows + 1
    assert store.get(Table.SAVE, b"ahead") == b"in the redo file only"
    put(store, b"room again", b"")
