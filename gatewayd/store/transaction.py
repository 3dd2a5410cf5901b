"""What a transaction offers to the work that runs in it: reading, writing, and rows gathered before there is one."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator, Mapping
from itertools import islice
from operator import itemgetter
from typing import Protocol, cast

import lmdb

from gatewayd.errors import StoreDamaged, StoreError
from gatewayd.store.tables import Table

Rows = list[tuple[bytes, bytes]]
Change = tuple[Table, bytes, bytes | None]  # None removes the key
Changes = Mapping[Table, Mapping[bytes, bytes | None]]
Databases = dict[Table, "lmdb._Database"]

SCAN_ROWS_MAX = 100_000
DAMAGE = (  # what LMDB says of pages that it did not write so
    lmdb.CorruptedError,
    lmdb.InvalidError,
    lmdb.PageNotFoundError,
    lmdb.VersionMismatchError,
    lmdb.IncompatibleError,
    lmdb.BadValsizeError,
    lmdb.PanicError,
)
GROWING = frozenset({Table.ENTRY})  # tables whose new keys are always the greatest


class Writes(Protocol):
    """Where changes go, now or later."""

    def put(self, table: Table, key: bytes, value: bytes) -> None:
        """Set a key."""
        ...

    def append(self, table: Table, key: bytes, value: bytes) -> None:
        """Set a key that must be the greatest of its table, which must be a growing one."""
        ...

    def delete(self, table: Table, key: bytes) -> None:
        """Remove a key, if it is there."""
        ...


class Batch:
    """Changes in order, applied together later.

    Attributes:
        size: bytes of keys and values.
    """

    def __init__(self) -> None:
        self.changes: list[Change] = []
        self.size = 0

    def put(self, table: Table, key: bytes, value: bytes) -> None:
        """Set a key."""
        self.changes.append((table, key, value))
        self.size += len(key) + len(value)

    def append(self, table: Table, key: bytes, value: bytes) -> None:
        """Set a key that must be the greatest of its table."""
        assert table in GROWING, table
        self.put(table, key, value)

    def delete(self, table: Table, key: bytes) -> None:
        """Remove a key."""
        self.changes.append((table, key, None))
        self.size += len(key)

    def apply(self, writing: Writes) -> None:
        """Write everything into an open transaction."""
        for table, key, value in self.changes:
            write_change(writing, table, key, value)


def write_change(writing: Writes, table: Table, key: bytes, value: bytes | None) -> None:
    """Write one change into an open transaction; growing tables fill their pages instead of splitting them."""
    if value is None:
        writing.delete(table, key)
    elif table in GROWING:
        writing.append(table, key, value)
    else:
        writing.put(table, key, value)


class Reading:
    """A short read transaction. Values are copies; nothing in here survives the call it is handed to.

    Args:
        transaction: LMDB's.
        databases: the tables that exist.
        over: changes that are durable but not in the tables yet; they count as if they were.
    """

    def __init__(self, transaction: lmdb.Transaction, databases: Databases, over: Changes) -> None:
        self._transaction = transaction
        self._databases = databases
        self._over = over

    def get(self, table: Table, key: bytes) -> bytes | None:
        """Return the value of a key, None if there is none."""
        over = self._over.get(table)
        if over is not None and key in over:
            return over[key]
        if table not in self._databases:
            return None
        value = self._transaction.get(key, db=self._databases[table])
        return None if value is None else bytes(value)

    def scan(self, table: Table, *, first: bytes = b"", below: bytes | None = None, limit: int) -> Rows:
        """Return up to `limit` rows in key order from `first` on, before `below`."""
        assert 0 <= limit <= SCAN_ROWS_MAX, limit
        over = self._over_in(table, first, below)
        removed = sum(value is None for value in over.values())
        rows = self._scan_stored(table, first, below, limit + removed)
        return _merged(rows, over, limit, falling=False) if over else rows

    def scan_back(self, table: Table, *, below: bytes | None = None, floor: bytes = b"", limit: int) -> Rows:
        """Return up to `limit` rows in falling key order, from the last before `below` down to `floor`."""
        assert 0 <= limit <= SCAN_ROWS_MAX, limit
        over = self._over_in(table, floor, below)
        removed = sum(value is None for value in over.values())
        rows = self._scan_back_stored(table, below, floor, limit + removed)
        return _merged(rows, over, limit, falling=True) if over else rows

    def count(self, table: Table) -> int:
        """Return the number of rows of a table."""
        if table not in self._databases:
            return 0
        count = int(self._transaction.stat(self._databases[table])["entries"])
        for key, value in self._over.get(table, {}).items():
            is_stored = self._transaction.get(key, db=self._databases[table]) is not None
            count += (value is not None) - is_stored
        return count

    def pages(self) -> dict[str, int]:
        """Return the pages that each table takes, free ones not counted; LMDB's own and its two meta pages under ""."""
        stats = {str(table): self._transaction.stat(database) for table, database in self._databases.items()}
        stats[""] = self._transaction.stat()
        pages = {
            name: int(stat["branch_pages"] + stat["leaf_pages"] + stat["overflow_pages"])
            for name, stat in stats.items()
        }
        pages[""] += 2
        return pages

    def is_stored(self, table: Table, key: bytes) -> bool:
        """Say whether the table itself has a key, whatever is laid over it."""
        return table in self._databases and self._transaction.get(key, db=self._databases[table]) is not None

    def stored_first(self, table: Table, first: bytes = b"") -> bytes | None:
        """Return the first key from `first` on that the table itself has, None if there is none."""
        rows = self._scan_stored(table, first, None, 1)
        return rows[0][0] if rows else None

    def _over_in(self, table: Table, first: bytes, below: bytes | None) -> dict[bytes, bytes | None]:
        over = self._over.get(table)
        if not over:
            return {}
        return {key: value for key, value in over.items() if first <= key and (below is None or key < below)}

    def _scan_stored(self, table: Table, first: bytes, below: bytes | None, limit: int) -> Rows:
        rows: Rows = []
        if table not in self._databases or not limit:
            return rows
        cursor = self._transaction.cursor(db=self._databases[table])
        if not cursor.set_range(first):
            return rows
        found = _copies(cursor.iternext())
        while len(rows) < limit:
            wanted = min(len(rows) + 1, limit - len(rows), 64)  # so few are too many, and none takes a step of Python
            part = list(islice(found, wanted))
            rows += part
            if below is not None and part and part[-1][0] >= below:
                del rows[bisect_left(rows, below, key=itemgetter(0)) :]
                break
            if len(part) < wanted:
                break
        return rows

    def _scan_back_stored(self, table: Table, below: bytes | None, floor: bytes, limit: int) -> Rows:
        rows: Rows = []
        if table not in self._databases or not limit:
            return rows
        cursor = self._transaction.cursor(db=self._databases[table])
        found = cursor.last() if below is None or not cursor.set_range(below) else cursor.prev()
        if not found:
            return rows
        for key, value in islice(_copies(cursor.iterprev()), limit):
            if key < floor:
                break
            rows.append((key, value))
        return rows


def _copies(rows: object) -> Iterator[tuple[bytes, bytes]]:
    return cast("Iterator[tuple[bytes, bytes]]", rows)  # so it is without `buffers=True`


class Writing(Reading):
    """The one write transaction; all of it is applied, or nothing."""

    def under(self, changes: Changes) -> Reading:
        """Return what this transaction would read with changes laid over it."""
        return Reading(self._transaction, self._databases, changes)

    def write(self, changes: Changes) -> None:
        """Write changes, the keys of each table in order."""
        for table, rows in changes.items():
            for key in sorted(rows):
                write_change(self, table, key, rows[key])

    def put(self, table: Table, key: bytes, value: bytes) -> None:
        """Set a key."""
        self._transaction.put(key, value, db=self._databases[table])

    def append(self, table: Table, key: bytes, value: bytes) -> None:
        """Set a key that must be the table's greatest; fills pages instead of splitting them."""
        is_last = self._transaction.put(key, value, db=self._databases[table], append=True, overwrite=False)
        assert is_last, f"{table}: {key.hex()} exists already"

    def delete(self, table: Table, key: bytes) -> None:
        """Remove a key, if it is there."""
        self._transaction.delete(key, db=self._databases[table])


def error_kind(error: Exception) -> type[StoreError]:
    """Return the kind of our error that one of LMDB or the system stands for."""
    return StoreDamaged if isinstance(error, DAMAGE) else StoreError


def _merged(rows: Rows, over: Mapping[bytes, bytes | None], limit: int, *, falling: bool) -> Rows:
    """Lay changes over stored rows.

    The stored rows are the nearest ones, as many more than `limit` as changes remove, so whatever was not read lies
    behind `limit` rows that stay.
    """
    found: dict[bytes, bytes | None] = {**dict(rows), **over}
    kept = [(key, value) for key, value in found.items() if value is not None]
    kept.sort(key=lambda row: row[0], reverse=falling)
    return kept[:limit]
