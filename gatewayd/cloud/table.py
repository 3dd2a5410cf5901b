"""The Delta Lake table where journals land; the only deltalake import that writes.

Each transaction carries, beside its rows, the position of every stream it moved (a Delta application transaction). Rows
and positions appear together or not at all, so after any crash the table itself says what it holds: exactly once. Our
commits never retry inside deltalake: a commit that lost a race must first be told what the winner landed.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import msgspec
from arro3.core import Array, DataType, Field, Schema
from arro3.core import Table as ArrowTable
from deltalake import CommitProperties, DeltaTable, Transaction, write_deltalake
from deltalake.exceptions import CommitFailedError, DeltaError
from msgspec import Struct

from gatewayd.cloud.ledger import Key, Run
from gatewayd.errors import UNDECODABLE, StoreError
from gatewayd.model.record import FLAG_SEALED, SCHEMA, Leaf
from gatewayd.sync.wire import SEQ_MAX

COMPACT_EVERY = 200  # commits; each leaves a small file
COMPACT_BYTES = 8 << 20  # files above this are left alone, so that old rows are not rewritten for ever
COMPACTION_LOCK = "_compaction.lock"  # the underscore hides it from readers and vacuum
UNDECODED = -1
FIELDS = (
    Field("gateway", DataType.utf8(), nullable=False),
    Field("stream", DataType.utf8(), nullable=False),
    Field("epoch", DataType.int64(), nullable=False),
    Field("seq", DataType.int64(), nullable=False),
    Field("kind", DataType.int32(), nullable=False),  # -1: the leaf does not decode; its bytes are kept all the same
    Field("wall_ns", DataType.int64(), nullable=False),
    Field("leaf", DataType.binary(), nullable=False),
    Field("received_ns", DataType.int64(), nullable=False),
)
ARROW_SCHEMA = Schema(FIELDS)
CONFIGURATION = {
    "delta.checkpointInterval": "100",
    "delta.logRetentionDuration": "interval 7 days",
    "delta.deletedFileRetentionDuration": "interval 7 days",
}
_LEAF = msgspec.msgpack.Decoder(Leaf)


class TableConflict(StoreError):
    """Somebody else committed first; refresh and try again."""


class LeafHead(Struct, frozen=True):
    """The two fields of a leaf that have columns of their own."""

    kind: int
    wall_ns: int


def leaf_head(leaf: bytes, seq: int) -> LeafHead:
    """Return kind and wall time of a leaf, or kind -1 when it does not decode, is sealed, or names another `seq`."""
    unknown = LeafHead(UNDECODED, 0)
    if len(leaf) < 3 or leaf[0] != SCHEMA or leaf[1] & FLAG_SEALED:
        return unknown
    try:
        decoded = _LEAF.decode(memoryview(leaf)[2:])
    except UNDECODABLE:
        return unknown
    if decoded.seq != seq or not 0 <= decoded.wall_ns <= SEQ_MAX:
        return unknown
    kind = decoded.body.__struct_config__.tag
    assert isinstance(kind, int)  # every body of the union is tagged with its Kind
    return LeafHead(kind, decoded.wall_ns)


class JournalTable:
    """One Delta table in a local folder. Its methods block: call them from a thread, one at a time."""

    def __init__(self, path: Path) -> None:
        """Open the table, or create it.

        Raises:
            StoreError: the folder cannot be written or holds something else.
        """
        self.undecoded = 0
        self._path = path
        self._commits = 0
        try:
            path.mkdir(parents=True, exist_ok=True)
            self._table = _open_or_create(path)
        except (DeltaError, OSError) as error:
            raise _table_error(path, error) from error
        if [field.name for field in self._table.schema().fields] != [field.name for field in FIELDS]:
            raise StoreError(
                f"{path} holds a table with other columns",
                remedy="Give --table an empty folder or one that `gatewayd cloud collect` made.",
            )

    def landed_upto(self, key: Key) -> int:
        """Return the position of a stream: every record below it is in the table."""
        return self._table.transaction_version(_app_id(key)) or 0

    def refresh(self) -> None:
        """Read what others committed."""
        try:
            self._table.update_incremental()
        except (DeltaError, OSError) as error:
            raise _table_error(self._path, error) from error

    def append(self, runs: Sequence[Run], received_ns: int) -> None:
        """Commit rows and positions as one transaction, durable on return.

        Raises:
            TableConflict: another writer was faster; nothing of this is in the table.
            StoreError: the table cannot be written; whether the rows are in shows after `refresh`.
        """
        if any(self.landed_upto(run.key) != run.first for run in runs):
            raise TableConflict(
                f"{self._path}: a stream has moved since it was last looked at",
                remedy="Nothing to do: the rows are offered again.",
            )
        properties = CommitProperties(
            app_transactions=[Transaction(_app_id(run.key), run.end) for run in runs], max_commit_retries=0
        )
        try:
            write_deltalake(self._table, self._rows(runs, received_ns), mode="append", commit_properties=properties)
            self._sync_to_disk()
        except CommitFailedError as error:
            raise TableConflict(
                f"{self._path}: another writer committed first", remedy="Nothing to do: the rows are offered again."
            ) from error
        except (DeltaError, OSError) as error:
            raise _table_error(self._path, error) from error
        self._commits += 1

    @property
    def compaction_due(self) -> bool:
        """Whether COMPACT_EVERY commits have gone by."""
        return self._commits >= COMPACT_EVERY

    def compact(self) -> bool:
        """Merge small files and write a checkpoint of the log; return False when another collector is at it.

        Only ever under the lock and from the newest version: deltalake 1.6.6 lets two compactions of the same files
        both succeed, without a conflict, and then every row is there twice. The table has moved afterwards.

        Raises:
            StoreError: it failed; the rows are not touched by that.
        """
        self._commits = 0
        try:
            with _try_lock(self._path / COMPACTION_LOCK) as is_ours:
                if is_ours:
                    self._table.update_incremental()
                    self._table.optimize.compact(target_size=COMPACT_BYTES)
                    self._table.vacuum(dry_run=False)
                    self._table.create_checkpoint()
                return is_ours
        except (DeltaError, OSError) as error:
            raise _table_error(self._path, error) from error

    def _rows(self, runs: Sequence[Run], received_ns: int) -> ArrowTable:
        columns: list[list[object]] = [[] for _ in FIELDS]
        for run in runs:
            gateway, stream, epoch = run.key
            for seq, leaf in enumerate(run.records, run.first):
                head = leaf_head(leaf, seq)
                self.undecoded += head.kind == UNDECODED
                row = (gateway, stream, epoch, seq, head.kind, head.wall_ns, leaf, received_ns)
                for column, cell in zip(columns, row, strict=True):
                    column.append(cell)
        arrays = [Array(column, field.type) for column, field in zip(columns, FIELDS, strict=True)]
        return ArrowTable.from_arrays(arrays, schema=ARROW_SCHEMA)

    def _sync_to_disk(self) -> None:
        """Flush the commit before it is acknowledged: deltalake renames files into place but does not fsync them."""
        version = self._table.version()
        names = [self._path / "_delta_log" / f"{version:020d}.json", *_added_files(self._path, version)]
        for name in (*names, self._path / "_delta_log", self._path):
            _fsync(name)


@contextmanager
def _try_lock(path: Path) -> Iterator[bool]:
    """Hold an exclusive lock, or say that somebody else does; the kernel drops it when its holder dies."""
    with path.open("ab") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield False
            return
        yield True


def _open_or_create(path: Path) -> DeltaTable:
    try:
        return DeltaTable.create(path, ARROW_SCHEMA, mode="ignore", configuration=CONFIGURATION)
    except DeltaError:
        if not DeltaTable.is_deltatable(str(path)):
            raise
        return DeltaTable(path)  # another collector created it at the same moment


def _added_files(path: Path, version: int) -> list[Path]:
    """Return the data files that a commit added."""
    log = path / "_delta_log" / f"{version:020d}.json"
    actions = [msgspec.json.decode(line) for line in log.read_bytes().splitlines() if line]
    return [path / action["add"]["path"] for action in actions if "add" in action]


def _fsync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _app_id(key: Key) -> str:
    gateway, stream, epoch = key
    return f"{gateway}/{stream}/{epoch}"


def _table_error(path: Path, error: Exception) -> StoreError:
    return StoreError(
        f"table {path}: {error}", remedy="Check that the disk has room and that this user may write there."
    )
