"""The store: one LMDB environment with synced commits, a byte quota and a reserve for last words.

Every commit is an fsync (`sync=True`, never `writemap`). After an error of the disk the environment is closed for
good, because the kernel may have thrown away what it could not write; `reopen` checks and starts again. LMDB detects
no flipped bits: who reads records out of here checks their hashes.
"""

from __future__ import annotations

import mmap
import os
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path
from typing import TypeVar

import lmdb

from gatewayd.errors import StoreError, StoreFull
from gatewayd.store.lock import OwnerLock
from gatewayd.store.probe import DATA_NAME, check_data_file
from gatewayd.store.tables import Table

T = TypeVar("T")
Rows = list[tuple[bytes, bytes]]

QUOTA_BYTES_MIN = 1 << 20
RESERVE_SHARE = 0.05  # of the map, kept for records that must still be written
RESERVE_PAGES_MIN = 128  # one transaction copies every page that it touches before the old ones are free
BALLAST_BYTES_MAX = 4 << 20
RUNNING_NAME = "running"  # exists while a daemon owns the store; found at a start, the last one did not close it
BALLAST_NAME = "ballast"  # disk space to give back when the disk is full
SCAN_ROWS_MAX = 100_000

Databases = dict[Table, "lmdb._Database"]


class Reading:
    """A short read transaction. Values are copies; nothing in here survives the call it is handed to."""

    def __init__(self, transaction: lmdb.Transaction, databases: Databases) -> None:
        self._transaction = transaction
        self._databases = databases

    def get(self, table: Table, key: bytes) -> bytes | None:
        """Return the value of a key, None if there is none."""
        if table not in self._databases:
            return None
        value = self._transaction.get(key, db=self._databases[table])
        return None if value is None else bytes(value)

    def scan(self, table: Table, *, first: bytes = b"", below: bytes | None = None, limit: int) -> Rows:
        """Return up to `limit` rows in key order from `first` on, before `below`."""
        assert 0 <= limit <= SCAN_ROWS_MAX, limit
        rows: Rows = []
        if table not in self._databases or not limit:
            return rows
        cursor = self._transaction.cursor(db=self._databases[table])
        if not cursor.set_range(first):
            return rows
        for key, value in cursor.iternext():
            if below is not None and bytes(key) >= below:
                break
            rows.append((bytes(key), bytes(value)))
            if len(rows) == limit:
                break
        return rows

    def scan_back(self, table: Table, *, below: bytes | None = None, floor: bytes = b"", limit: int) -> Rows:
        """Return up to `limit` rows in falling key order, from the last before `below` down to `floor`."""
        assert 0 <= limit <= SCAN_ROWS_MAX, limit
        rows: Rows = []
        if table not in self._databases or not limit:
            return rows
        cursor = self._transaction.cursor(db=self._databases[table])
        found = cursor.last() if below is None or not cursor.set_range(below) else cursor.prev()
        if not found:
            return rows
        for key, value in cursor.iterprev():
            if bytes(key) < floor:
                break
            rows.append((bytes(key), bytes(value)))
            if len(rows) == limit:
                break
        return rows

    def count(self, table: Table) -> int:
        """Return the number of rows of a table."""
        if table not in self._databases:
            return 0
        return int(self._transaction.stat(self._databases[table])["entries"])


class Writing(Reading):
    """The one write transaction; all of it is applied, or nothing."""

    def put(self, table: Table, key: bytes, value: bytes) -> None:
        """Set a key."""
        self._transaction.put(key, value, db=self._databases[table])

    def append(self, table: Table, key: bytes, value: bytes) -> None:
        """Set a key that must be the table's greatest; fills pages instead of splitting them."""
        is_last = self._transaction.put(key, value, db=self._databases[table], append=True, overwrite=False)
        assert is_last, f"{table}: {key.hex()} exists already"

    def delete(self, table: Table, key: bytes) -> bool:
        """Remove a key; False if there was none."""
        return bool(self._transaction.delete(key, db=self._databases[table]))


class Store:
    """One gateway's durable state. Use `open`; one thread at a time may write.

    Attributes:
        path: the folder.
        was_clean: the owner before this one closed the store.
        generation: counts reopenings; a reader that keeps state derived from the store loads it again when this moves.
    """

    def __init__(self, path: Path, quota_bytes: int, lock: OwnerLock | None, *, was_clean: bool) -> None:
        page = mmap.PAGESIZE
        self.path = path
        self.was_clean = was_clean
        self.generation = 0
        self._lock = lock
        self._ballast_bytes = min(BALLAST_BYTES_MAX, quota_bytes // 32) // page * page
        self._map_bytes = (quota_bytes - self._ballast_bytes) // page * page
        reserve_bytes = max(int(RESERVE_SHARE * self._map_bytes), RESERVE_PAGES_MIN * page)
        self._full_bytes = max(self._map_bytes - reserve_bytes, self._map_bytes // 2)
        self._failure: StoreError | None = None
        self._disk_is_full = False
        self._environment: lmdb.Environment | None = None
        self._databases: Databases = {}

    @classmethod
    def open(cls, path: Path, quota_bytes: int, *, readonly: bool = False) -> Store:
        """Open or create the store in the folder `path`.

        Args:
            path: the store's folder, mode 0700.
            quota_bytes: most bytes of disk the store may take, at least 1 MiB.
            readonly: only look, also while a daemon owns the store; nothing is created.

        Raises:
            StoreLocked: another daemon owns it.
            StoreError: it is missing (readonly), damaged, or the disk refuses.
        """
        if quota_bytes < QUOTA_BYTES_MIN:
            raise StoreError(
                f"a quota of {quota_bytes} bytes is too small for a store", remedy="Give storage at least 1 MiB."
            )
        store = cls._opened_for_reading(path, quota_bytes) if readonly else cls._opened_for_writing(path, quota_bytes)
        try:
            store._open_environment()
        except BaseException:
            store._release()
            raise
        return store

    @classmethod
    def _opened_for_reading(cls, path: Path, quota_bytes: int) -> Store:
        if not (path / DATA_NAME).exists():
            raise StoreError(f"there is no store in {path}", remedy="Check storage.path; `gatewayd init` creates it.")
        # A running daemon changes the file under the walk, which would then see damage that is not there.
        check_data_file(path, was_clean=not OwnerLock.is_free(path))
        return cls(path, quota_bytes, None, was_clean=True)

    @classmethod
    def _opened_for_writing(cls, path: Path, quota_bytes: int) -> Store:
        try:
            path.mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError as error:
            raise _disk_error(f"cannot create {path}", error) from error
        lock = OwnerLock.take(path)
        try:
            was_clean = not (path / RUNNING_NAME).exists()
            check_data_file(path, was_clean=was_clean)
            _touch_durably(path / RUNNING_NAME)
        except OSError as error:
            lock.release()
            raise _disk_error(f"cannot write in {path}", error) from error
        except BaseException:
            lock.release()
            raise
        return cls(path, quota_bytes, lock, was_clean=was_clean)

    # --- transactions -------------------------------------------------------------------------------------------------

    def read(self, work: Callable[[Reading], T]) -> T:
        """Run `work` in a read transaction. It must be short: an open one stops pages from being reused.

        Raises:
            StoreError: the store is closed or unreadable.
        """
        try:
            with self._required().begin() as transaction:
                return work(Reading(transaction, self._databases))
        except lmdb.Error as error:
            raise StoreError(
                f"the store {self.path} cannot be read: {error}",
                remedy="Run `gatewayd journal verify`; if it fails, restore or start a new epoch.",
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
            raise self._full("its quota is used up")
        try:
            with environment.begin(write=True) as transaction:
                return work(Writing(transaction, self._databases))
        except lmdb.MapFullError as error:
            self._lower_full_mark()
            raise self._full("its quota is used up") from error
        except lmdb.DiskError as error:
            self._give_ballast_back()
            raise self._full("the disk is full") from error
        except lmdb.Error as error:
            raise self._fail(error) from error

    # --- room ---------------------------------------------------------------------------------------------------------

    @property
    def is_full(self) -> bool:
        """Say whether only the reserve is left, or the disk has no room; becomes False by itself."""
        if self._disk_is_full and not self._has_ballast_again():
            return True
        environment = self._required()
        if (environment.info()["last_pgno"] + 1) * environment.stat()["psize"] < self._full_bytes:
            return False
        return self.used_bytes >= self._full_bytes  # of the pages in the file, some are free again

    def _lower_full_mark(self) -> None:
        """Learn from a map that was full too early, its free pages too scattered; one huge transaction tells nothing."""
        used = self.used_bytes
        if used > 0.8 * self._map_bytes:
            self._full_bytes = min(self._full_bytes, int(used * 0.99))

    def fill(self) -> float:
        """Return the share of the quota that live pages take, 0 to 1."""
        return self.used_bytes / self._map_bytes

    @property
    def used_bytes(self) -> int:
        """Return the bytes of live pages."""
        return int(self.read(_live_pages) * self._required().stat()["psize"])

    def _give_ballast_back(self) -> None:
        """Free the ballast and start over: the environment that met a full disk refuses everything from then on."""
        self._disk_is_full = True
        with suppress(OSError):
            (self.path / BALLAST_NAME).unlink(missing_ok=True)
        self._close_environment()
        self.generation += 1
        try:
            self._open_environment()
        except StoreError as error:
            self._failure = error

    def _has_ballast_again(self) -> bool:
        """Try to take the ballast; True if the disk had the room for it twice over."""
        path = self.path / BALLAST_NAME
        try:
            disk = os.statvfs(self.path)
            if not path.exists() and disk.f_bavail * disk.f_frsize < 2 * self._ballast_bytes:
                return False
            _allocate(path, self._ballast_bytes)
        except OSError:
            with suppress(OSError):
                path.unlink(missing_ok=True)
            return False
        self._disk_is_full = False
        return True

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
        self._open_environment()
        self._failure = None

    def close(self) -> None:
        """Close the store; it counts as closed cleanly unless the disk had failed."""
        was_open = self._environment is not None
        self._close_environment()
        if was_open and self._lock is not None:
            with suppress(OSError):
                (self.path / RUNNING_NAME).unlink(missing_ok=True)
                _sync_folder(self.path)
        self._release()
        self._failure = self._failure or StoreError(f"the store {self.path} is closed", remedy="Open it again.")

    def _release(self) -> None:
        if self._lock is not None:
            self._lock.release()
            self._lock = None

    def _open_environment(self) -> None:
        readonly = self._lock is None
        try:
            environment = lmdb.open(
                str(self.path),
                map_size=self._map_bytes,
                readonly=readonly,
                create=not readonly,
                sync=True,
                metasync=True,
                writemap=False,
                mode=0o600,
                max_dbs=len(Table) + 8,
            )
        except (lmdb.Error, OSError) as error:
            raise StoreError(
                f"cannot open the store {self.path}: {error}",
                remedy="Check the storage folder's owner and free space; a damaged store must be moved away.",
            ) from error
        try:
            self._databases = dict(_open_databases(environment, create=not readonly))
        except lmdb.Error as error:
            environment.close()
            raise StoreError(
                f"the tables of the store {self.path} cannot be opened: {error}",
                remedy="Free some disk space; if there is enough, the store is damaged and must be moved away.",
            ) from error
        self._environment = environment
        environment.reader_check()  # slots of readers that were killed would pin pages for ever
        if not readonly:
            self._disk_is_full = True
            self._has_ballast_again()

    def _close_environment(self) -> None:
        if self._environment is not None:
            self._environment.close()
            self._environment = None

    def _required(self) -> lmdb.Environment:
        if self._failure is not None:
            raise StoreError(self._failure.message, remedy=self._failure.remedy)
        if self._environment is None:
            raise StoreError(f"the store {self.path} is not open", remedy="Open it again.")
        return self._environment

    def _fail(self, error: lmdb.Error) -> StoreError:
        self._close_environment()
        self._failure = StoreError(
            f"the store {self.path} failed and is closed: {error}",
            remedy="Check the disk (kernel log, free space); the daemon verifies the store before it writes again.",
        )
        return self._failure

    def _full(self, why: str) -> StoreFull:
        return StoreFull(
            f"the store {self.path} is full: {why} ({self._map_bytes} bytes)",
            remedy="Raise storage.quota_mb or free disk space; automatic writes stay off until there is room.",
        )


def _open_databases(environment: lmdb.Environment, *, create: bool) -> Iterable[tuple[Table, lmdb._Database]]:
    for table in Table:
        with suppress(lmdb.NotFoundError, lmdb.ReadonlyError):  # a store from before this table existed, only looked at
            yield table, environment.open_db(table.encode(), create=create)


def _live_pages(reading: Reading) -> int:
    """Return the pages that hold rows, with the two meta pages; free pages do not count."""
    transaction = reading._transaction
    stats = [transaction.stat(database) for database in reading._databases.values()]
    stats.append(transaction.stat())
    return 2 + sum(int(stat["branch_pages"] + stat["leaf_pages"] + stat["overflow_pages"]) for stat in stats)


def _allocate(path: Path, size: int) -> None:
    """Make a file of `size` bytes that really has its blocks."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        os.posix_fallocate(descriptor, 0, size)
    finally:
        os.close(descriptor)


def _touch_durably(path: Path) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600)
    os.close(descriptor)
    _sync_folder(path.parent)


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _disk_error(what: str, error: OSError) -> StoreError:
    return StoreError(
        f"{what}: {error.strerror}", remedy="Check storage.path: its owner, its mode, and whether the disk is full."
    )
