"""The store: one LMDB environment with synced commits, a byte quota and a reserve for last words.

Every commit is an fsync (`sync=True`, never `writemap`). What must be durable soon goes to the redo file first and into
the tables later (`write_ahead`); whoever reads sees it at once. After an error of the disk the environment is closed for
good, because the kernel may have thrown away what it could not write; `reopen` checks and starts again. LMDB detects
no flipped bits: who reads records out of here checks their hashes.
"""

from __future__ import annotations

import mmap
import os
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TypeVar

import lmdb

from gatewayd.errors import UNDECODABLE, StoreError, StoreFull
from gatewayd.store.ahead import STORE_ID_BYTES, Ahead, ahead_of, encode_changes, next_mark
from gatewayd.store.disk import disk_error, sync_folder
from gatewayd.store.environment import RUNNING_NAME, check_for_reading, open_environment, take_folder
from gatewayd.store.lock import OwnerLock
from gatewayd.store.mark import MARK_KEY, lost_on_disk, sound_mark, write_mark
from gatewayd.store.probe import DATA_NAME, check_data_file
from gatewayd.store.redo import RedoFile, read_frames, strange_frames
from gatewayd.store.room import Room
from gatewayd.store.space import Space, disk_under, sizes_of
from gatewayd.store.tables import Table, from_u64, u64
from gatewayd.store.transaction import Batch, Changes, Databases, Reading, Writing, error_kind

T = TypeVar("T")
Rearrange = Callable[[Reading, Changes], Changes]

QUOTA_BYTES_MIN = 1 << 20
COPIED_PAGES = 64  # that a transaction copies to new pages, when there are no free ones
PEOPLE_SHARE = 0.25  # of the reserve, for what people and fail-safes decide; the rest is for last words
REDO_NAME = "redo"
AHEAD_BYTES_MAX = 2 << 20  # of what stays in memory until then; on disk it is compressed
REDO_SIZE_KEY = b"redo"  # in META: bytes of the redo file, once it has all its blocks


class Store:
    """One gateway's durable state. Use `open`; one thread at a time may write.

    Attributes:
        path: the folder.
        was_clean: the owner before this one closed the store.
        quota_bytes: most bytes of disk it may take.
        generation: counts reopenings; a reader that keeps state derived from the store loads it again when this moves.
        rearrange: returns changes in the form in which the tables shall take them over, given the tables under them.
        redo_lost: acknowledged batches that a reader misses in the redo file: the disk lost them. An owner does not open such
            a store.
    """

    def __init__(self, path: Path, quota_bytes: int, lock: OwnerLock | None, *, was_clean: bool) -> None:
        self.path = path
        self.was_clean = was_clean
        self.generation = 0
        self._lock = lock
        self._may_wait = not was_clean  # the redo file may hold what the tables lack
        self._size_to(quota_bytes)
        self._failure: StoreError | None = None
        self._environment: lmdb.Environment | None = None
        self._databases: Databases = {}
        self._redo: RedoFile | None = None
        self._ahead = Ahead(b"")
        self.redo_lost = 0
        self.rearrange: Rearrange = lambda _, changes: changes

    def _size_to(self, quota_bytes: int) -> None:
        sizes = sizes_of(quota_bytes, mmap.PAGESIZE)
        self.quota_bytes = quota_bytes
        self._redo_bytes, self._map_bytes, self._full_bytes = sizes.redo, sizes.map, sizes.full
        self._space = Space(self.path / DATA_NAME, map_bytes=sizes.map, ballast=sizes.ballast)

    @classmethod
    def open(cls, path: Path, quota_bytes: int, *, readonly: bool = False, is_checked: bool = False) -> Store:
        """Open or create the store in the folder `path`.

        Args:
            path: the store's folder, mode 0700.
            quota_bytes: most bytes of disk the store may take, at least 1 MiB.
            readonly: only look, also while a daemon owns the store; nothing is created.
            is_checked: another process has just opened it to look; its structure is not gone through once more.

        Raises:
            StoreLocked: another daemon owns it.
            StoreError: it is missing (readonly), damaged, or the disk refuses.
        """
        if quota_bytes < QUOTA_BYTES_MIN:
            raise StoreError(
                f"a quota of {quota_bytes} bytes is too small for a store", remedy="Give storage at least 1 MiB."
            )
        lock, was_clean = (None, True) if readonly else take_folder(path)
        if readonly and not is_checked:
            check_for_reading(path)
        store = cls(path, quota_bytes, lock, was_clean=was_clean)
        try:
            store._open_environment()
        except BaseException:
            store._release()
            raise
        return store

    # --- transactions -------------------------------------------------------------------------------------------------

    def read(self, work: Callable[[Reading], T]) -> T:
        """Run `work` in a read transaction. It must be short: an open one stops pages from being reused.

        Raises:
            StoreError: the store is closed or unreadable.
        """
        ahead = self._ahead  # before the transaction: what it settles later is then never laid over itself
        try:
            with self._required().begin() as transaction:
                return work(Reading(transaction, self._databases, self._over(ahead, transaction)))
        except lmdb.Error as error:
            raise error_kind(error)(
                f"the store {self.path} cannot be read: {error}",
                remedy="Run `gatewayd journal verify`; if it fails, the next start begins a new epoch.",
            ) from error

    def get(self, table: Table, key: bytes) -> bytes | None:
        """Return one value, None if there is none."""
        return self.read(lambda reading: reading.get(table, key))

    def write(self, work: Callable[[Writing], T], *, use_reserve: bool = False) -> T:
        """Run `work` in the write transaction; durable when this returns, without any effect when it raises.

        Args:
            work: gets the transaction; must not keep it.
            use_reserve: for the few records that must still be written when the store counts as full.

        Raises:
            StoreFull: the quota or the disk has no room; may pass.
            StoreError: the disk failed; every later call raises until `reopen`.
        """
        environment = self._required()
        if not use_reserve and self.is_full:
            raise self._full_now()
        need = 2 * self._ahead.size + COPIED_PAGES * mmap.PAGESIZE  # twice: a row may leave half of its pages empty
        if not self._space.grow(self._end_bytes, need=need, at_any_price=use_reserve):
            raise self._full("the disk is full")
        try:
            with environment.begin(write=True) as transaction:
                writing = Writing(transaction, self._databases, {})
                mark = self._settle_in(writing)
                result = work(writing)
        except lmdb.MapFullError as error:
            self._lower_full_mark()
            raise self._full("its quota is used up") from error
        except lmdb.DiskError as error:
            self._start_over_without_ballast()
            raise self._full("the disk is full") from error
        except lmdb.Error as error:
            raise self._fail(error) from error
        self._settled(mark)
        return result

    # --- ahead of the tables ------------------------------------------------------------------------------------------

    def write_ahead(self, batch: Batch, *, use_reserve: bool = False) -> None:
        """Make a batch durable with one small write; the tables follow with the next `write` or `settle`.

        A batch for which the redo file has no room goes into the tables at once, with all that waits.

        Raises:
            StoreFull, StoreError: as `write`.
        """
        self._required()
        if not use_reserve and self.is_full:
            raise self._full_now()
        has_room = self._redo is not None and self._ahead.size + batch.size <= AHEAD_BYTES_MAX
        try:
            is_ahead = has_room and self._redo.append(self._ahead.mark, encode_changes(batch.changes))  # type: ignore[union-attr]
        except OSError as error:
            raise self._fail(error) from error
        if is_ahead:
            self._ahead = self._ahead.with_changes(batch.changes, batch.size)
        else:
            changes = Ahead(b"").with_changes(batch.changes).changes
            self.write(lambda writing: self._take_over(writing, changes), use_reserve=True)

    def _take_over(self, writing: Writing, changes: Changes) -> None:
        writing.write(self.rearrange(writing.under(changes), changes))

    @property
    def rows_ahead(self) -> int:
        """Return how many changes the tables lack."""
        return self._ahead.rows

    def settle(self) -> None:
        """Let the tables take over everything that was written ahead.

        Raises:
            StoreFull: no room now; nothing is lost, it stays in the redo file.
            StoreError: as `write`.
        """
        if not self._ahead.rows:
            return
        if self._is_disk_full():
            raise self._full("the disk is full")
        self.write(lambda _: None, use_reserve=True)

    def _settle_in(self, writing: Writing) -> bytes:
        """Write what the tables lack; return the mark that is in force once this commits."""
        if not self._ahead.rows:
            return self._ahead.mark
        self._take_over(writing, self._ahead.changes)
        mark = next_mark(self._ahead.mark)
        write_mark(writing, mark)
        return mark

    def _settled(self, mark: bytes) -> None:
        if self._ahead.rows:
            self._ahead = Ahead(mark)
            if self._redo is not None:
                self._redo.rewind()

    def _over(self, ahead: Ahead, transaction: lmdb.Transaction) -> Changes:
        """Return what the tables lack as this transaction sees them."""
        if Table.META not in self._databases:
            return {}
        mark = bytes(transaction.get(MARK_KEY, db=self._databases[Table.META]) or b"")
        if mark == ahead.mark:
            return ahead.changes
        if self._lock is not None:
            return {}  # settled in the writer thread between the two looks: the tables have it
        frames = read_frames(self.path / REDO_NAME, mark)
        self._ahead = self._picture(mark, frames.payloads)
        self.redo_lost = frames.lost
        return self._ahead.changes

    def _picture(self, mark: bytes, payloads: Sequence[bytes]) -> Ahead:
        try:
            return ahead_of(mark, payloads)
        except UNDECODABLE as error:
            raise StoreError(
                f"the redo file of the store {self.path} cannot be read: {error}",
                remedy="Another version of gatewayd wrote it: start that version once and stop it, then this one.",
            ) from error

    def _open_redo(self) -> None:
        """Find what a run before this one could not settle, and settle it."""
        self._ahead = Ahead(self.read(sound_mark))
        if not self._ahead.mark and not self._put_first_mark():
            return
        path = self.path / REDO_NAME
        # First of all: a disk without room takes no file, but gives this one.
        frames = read_frames(path, self._ahead.mark)
        self._ahead = self._picture(self._ahead.mark, frames.payloads)
        lost = frames.lost or (strange_frames(path, self._ahead.mark) if self._may_wait else 0)
        if lost or self._is_redo_cut(path):  # before anything is settled, so that every opening finds it
            raise lost_on_disk(f"{lost} commits in {path}" if lost else f"{path} is shorter than it was")
        with suppress(OSError):  # no room for it: everything goes straight into the tables
            self._redo = RedoFile(path, self._redo_bytes)
            self._redo.frames(self._ahead.mark)
        with suppress(StoreFull):
            self._remember_size(path)
            self.settle()

    def _is_redo_cut(self, path: Path) -> bool:
        """Say whether the file is shorter than it was, and with it perhaps what a run that did not settle had written."""
        size = path.stat().st_size if path.exists() else 0
        return self._may_wait and size < from_u64(self.get(Table.META, REDO_SIZE_KEY) or u64(0))

    def _remember_size(self, path: Path) -> None:
        size = u64(path.stat().st_size if self._redo is not None else 0)
        if self.get(Table.META, REDO_SIZE_KEY) != size:
            self.write(lambda writing: writing.put(Table.META, REDO_SIZE_KEY, size), use_reserve=True)

    def _put_first_mark(self) -> bool:
        return self._put_mark(os.urandom(STORE_ID_BYTES) + u64(0))

    def _prove_writable(self) -> None:
        """See a transaction through: a disk that failed may still take a page of the redo file, and nothing else."""
        if self._ahead.mark and not self._ahead.rows:
            self._put_mark(next_mark(self._ahead.mark))

    def _put_mark(self, mark: bytes) -> bool:
        try:
            self.write(lambda writing: write_mark(writing, mark), use_reserve=True)
        except StoreFull:
            return False
        self._ahead = Ahead(mark)
        if self._redo is not None:
            self._redo.rewind()
        return True

    # --- room ---------------------------------------------------------------------------------------------------------

    @property
    def is_full(self) -> bool:
        """Say whether only the reserve is left, or the disk has no room; becomes False by itself."""
        return self._is_disk_full() or self._has_used(self._full_bytes)

    @property
    def is_exhausted(self) -> bool:
        """Say whether the part of the reserve that is not for last words is used, too."""
        reserve_bytes = self._map_bytes - self._full_bytes
        return self._has_used(self._full_bytes + int(PEOPLE_SHARE * reserve_bytes)) or (
            self._space.is_full and not self._space.has_ballast
        )

    def _has_used(self, most: int) -> bool:
        if self._end_bytes < most:
            return False
        return self.used_bytes >= most  # of the pages in the file, some are free again

    def _is_disk_full(self) -> bool:
        return self._space.is_full and not self._space.has_room_again(self._end_bytes)

    @property
    def _end_bytes(self) -> int:
        """Return where the pages of the data file end; behind that it has blocks that were never used."""
        environment = self._required()
        return int((environment.info()["last_pgno"] + 1) * environment.stat()["psize"])

    def _lower_full_mark(self) -> None:
        """Learn from a map that was full too early, its free pages too scattered; one huge transaction tells nothing."""
        used = self.used_bytes
        if used > 0.8 * self._map_bytes:
            self._full_bytes = min(self._full_bytes, int(used * 0.99))

    def fill(self) -> float:
        """Return the share of the quota that live pages take, 0 to 1."""
        return self.used_bytes / self._map_bytes

    def room(self) -> Room:
        """Measure. Asks the file system, so not for every cycle.

        Raises:
            StoreError: the store is closed, or its disk does not answer.
        """
        try:
            disk = disk_under(self.path)
            file_bytes = self._space.file_bytes
        except OSError as error:
            raise disk_error(f"cannot look at {self.path}", error) from error
        return Room(
            used=self.used_bytes,
            quota=self._map_bytes,
            refused=self._full_bytes,
            file=file_bytes,
            disk_free=disk.free,
            is_disk_full=self._is_disk_full(),
            inodes_free=disk.inodes,
            floor=self._space.floor_bytes(disk.size),
        )

    @property
    def used_bytes(self) -> int:
        """Return the bytes of live pages."""
        return sum(self.table_bytes().values())

    def table_bytes(self) -> dict[str, int]:
        """Return the bytes of live pages of each table; LMDB's own under an empty name."""
        page = int(self._required().stat()["psize"])
        return {name: pages * page for name, pages in self.read(Reading.pages).items()}

    def clear_stale_readers(self) -> int:
        """Give free the slots of readers that died, whose pages would never be used again; return how many."""
        return int(self._required().reader_check())

    def _start_over_without_ballast(self) -> None:
        """The environment that met a full disk refuses everything from then on: free the ballast and open it again."""
        self._space.give_ballast_up()
        self._close_environment()
        self.generation += 1
        try:
            self._open_environment(is_disk_full=True)
        except StoreError as error:
            self._failure = error

    def enlarge(self, quota_bytes: int) -> None:
        """Go on under a larger quota. Nothing is lost: what the tables lack is found again in the redo file.

        Raises:
            StoreError: it cannot be opened so; every later call raises until `reopen`.
        """
        assert quota_bytes >= self.quota_bytes, "a map does not shrink while it is in use"
        self._required()
        self._close_environment()
        self.generation += 1
        self._size_to(quota_bytes)
        try:
            self._open_environment()
        except StoreError as error:
            self._failure = error
            raise

    # --- opening and closing ------------------------------------------------------------------------------------------

    @property
    def failure(self) -> StoreError | None:
        """Return what closed the store, None while it works."""
        return self._failure

    def reopen(self) -> None:
        """Open the environment again after a failure, with every check of an unclean start.

        Raises:
            StoreError: as `open`.
        """
        self._close_environment()
        self.generation += 1
        check_data_file(self.path, was_clean=False)
        failure, self._failure = self._failure, None
        self._may_wait = True
        try:
            self._open_environment()
            self._prove_writable()
        except BaseException:
            self._failure = failure
            raise

    def close(self) -> None:
        """Close the store; it counts as closed cleanly unless the disk had failed."""
        was_open = self._environment is not None
        if was_open and self._lock is not None:
            with suppress(StoreError):  # what cannot be settled now is found at the next start
                self.settle()
            was_open = self._failure is None
        self._close_environment()
        if was_open and self._lock is not None:
            with suppress(OSError):
                (self.path / RUNNING_NAME).unlink(missing_ok=True)
                sync_folder(self.path)
        self._release()
        self._failure = self._failure or StoreError(f"the store {self.path} is closed", remedy="Open it again.")

    def _release(self) -> None:
        if self._lock is not None:
            self._lock.release()
            self._lock = None

    def _open_environment(self, *, is_disk_full: bool = False) -> None:
        readonly = self._lock is None
        self._environment, self._databases = open_environment(self.path, self._map_bytes, readonly=readonly)
        if readonly:
            return
        self._space.is_full = True
        if not is_disk_full and self._space.has_room_again(self._end_bytes):
            self._space.fill_holes()
        try:
            self._open_redo()
        except BaseException:
            self._close_environment()
            raise

    def _close_environment(self) -> None:
        if self._environment is not None:
            self._environment.close()
            self._environment = None
        if self._redo is not None:
            self._redo.close()
            self._redo = None

    def _required(self) -> lmdb.Environment:
        if self._failure is not None:
            raise StoreError(self._failure.message, remedy=self._failure.remedy)
        if self._environment is None:
            raise StoreError(f"the store {self.path} is not open", remedy="Open it again.")
        return self._environment

    def _fail(self, error: lmdb.Error | OSError) -> StoreError:
        self._close_environment()
        self._failure = error_kind(error)(
            f"the store {self.path} failed and is closed: {error}",
            remedy="Check the disk (kernel log, free space); the daemon verifies the store before it writes again.",
        )
        return self._failure

    def _full_now(self) -> StoreFull:
        return self._full("the disk is full" if self._space.is_full else "its quota is used up")

    def _full(self, why: str) -> StoreFull:
        return StoreFull(
            f"the store {self.path} is full: {why} ({self._map_bytes} bytes)",
            remedy="Raise storage.quota_mb or free disk space; automatic writes stay off until there is room.",
        )
