"""Opens LMDB as the store needs it: every commit an fsync, no writable map, each table a database of its own."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

import lmdb

from gatewayd.store.tables import Table
from gatewayd.store.transaction import Databases, error_kind

TABLES = tuple(Table)


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
