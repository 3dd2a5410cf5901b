"""Takes a store's folder, and opens LMDB there: every commit an fsync, no writable map, a database for each table."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

import lmdb

from gatewayd.errors import StoreError
from gatewayd.store.disk import disk_error, touch_durably
from gatewayd.store.files import create_data_file
from gatewayd.store.lock import OwnerLock
from gatewayd.store.probe import DATA_NAME, check_data_file
from gatewayd.store.tables import Table
from gatewayd.store.transaction import Databases, error_kind

TABLES = tuple(Table)
RUNNING_NAME = "running"  # exists while a daemon owns the store; found at a start, the last one did not close it


def check_for_reading(path: Path) -> None:
    """See that a store can be looked at, also while a daemon owns it; nothing is created.

    Raises:
        StoreError: it is missing, or damaged.
    """
    if not (path / DATA_NAME).exists():
        raise StoreError(f"there is no store in {path}", remedy="Check storage.path; `gatewayd init` creates it.")
    # A running daemon changes the file under the walk, which would then see damage that is not there.
    check_data_file(path, was_clean=not OwnerLock.is_free(path))


def take_folder(path: Path) -> tuple[OwnerLock, bool]:
    """Own a store's folder, which is created with its data file if it is missing; say whether it was closed cleanly.

    Raises:
        StoreLocked: another daemon owns it.
        StoreError: it is damaged, or the disk refuses.
    """
    try:
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise disk_error(f"cannot create {path}", error) from error
    lock = OwnerLock.take(path)
    try:
        was_clean = not (path / RUNNING_NAME).exists()
        check_data_file(path, was_clean=was_clean)
        touch_durably(path / RUNNING_NAME)
        create_data_file(path)
    except OSError as error:
        lock.release()
        raise disk_error(f"cannot write in {path}", error) from error
    except BaseException:
        lock.release()
        raise
    return lock, was_clean


def open_environment(path: Path, map_bytes: int, *, readonly: bool) -> tuple[lmdb.Environment, Databases]:
    """Open a store's folder and its tables; slots of readers that were killed are given free.

    Args:
        path: the folder.
        map_bytes: most bytes of the data file.
        readonly: create and change nothing; the map is then the owner's, since the file grows under a reader.

    Raises:
        StoreError: it cannot be opened; StoreDamaged if its structure is to blame.
    """
    try:
        environment = lmdb.open(
            str(path),
            map_size=0 if readonly else map_bytes,
            readonly=readonly,
            create=not readonly,
            sync=True,
            metasync=True,
            writemap=False,
            mode=0o600,
            max_dbs=len(TABLES) + 8,
        )
    except (lmdb.Error, OSError) as error:
        raise error_kind(error)(
            f"cannot open the store {path}: {error}",
            remedy="Check the storage folder's owner and free space; a damaged store must be moved away.",
        ) from error
    try:
        databases = dict(_open_databases(environment, create=not readonly))
    except lmdb.Error as error:
        environment.close()
        raise error_kind(error)(
            f"the tables of the store {path} cannot be opened: {error}",
            remedy="Free some disk space; if there is enough, the store is damaged and must be moved away.",
        ) from error
    environment.reader_check()  # slots of readers that were killed would pin pages for ever
    return environment, databases


def _open_databases(environment: lmdb.Environment, *, create: bool) -> Iterable[tuple[Table, lmdb._Database]]:
    for table in TABLES:
        with suppress(lmdb.NotFoundError, lmdb.ReadonlyError):  # a store from before this table existed, only looked at
            yield table, environment.open_db(table.encode(), create=create)
