"""Read the table back: its rows, and whether each record is there exactly once."""

from __future__ import annotations

from pathlib import Path

from deltalake import DeltaTable, QueryBuilder
from deltalake.exceptions import DeltaError, TableNotFoundError
from msgspec import Struct

from gatewayd.errors import StoreError

_PER_STREAM = """
    SELECT gateway, stream, epoch, count(*) AS rows, count(DISTINCT seq) AS seqs, max(seq) + 1 AS upto
    FROM journal GROUP BY gateway, stream, epoch ORDER BY gateway, stream, epoch
"""
_COLUMNS = ["gateway", "stream", "epoch", "seq", "leaf"]

Row = tuple[str, str, int, int, bytes]  # gateway, stream, epoch, seq, leaf


class StreamReport(Struct, frozen=True):
    """One stream of one gateway's epoch; a stream starts at sequence number 0."""

    gateway: str
    stream: str
    epoch: int
    rows: int
    upto: int  # one more than the highest sequence number
    duplicates: int
    gaps: int  # sequence numbers below `upto` that are not there


class Report(Struct, frozen=True):
    """The whole table."""

    rows: int
    duplicates: int
    gaps: int
    streams: tuple[StreamReport, ...]

    @property
    def is_exact(self) -> bool:
        """Whether every record up to the highest is there, once."""
        return self.duplicates == 0 and self.gaps == 0


def read_table(path: Path) -> list[Row]:
    """Return every row in order of gateway, stream, epoch and sequence number; for tests and small tables.

    Raises:
        StoreError: there is no table.
    """
    rows: list[Row] = []
    for batch in _open(path).scan(columns=_COLUMNS):
        columns = [batch.column(name).to_pylist() for name in _COLUMNS]
        rows.extend(zip(*columns, strict=True))
    rows.sort()
    return rows


def check_table(path: Path) -> Report:
    """Count rows, duplicates and gaps; memory grows with the number of streams' distinct records, not with the leaves.

    Raises:
        StoreError: there is no table.
    """
    try:
        reader = QueryBuilder().register("journal", _open(path)).execute(_PER_STREAM)
        streams = tuple(_stream(row) for batch in reader for row in _rows_of(batch))
    except DeltaError as error:
        raise StoreError(f"table {path}: {error}", remedy="Check the folder and its permissions.") from error
    return Report(
        rows=sum(stream.rows for stream in streams),
        duplicates=sum(stream.duplicates for stream in streams),
        gaps=sum(stream.gaps for stream in streams),
        streams=streams,
    )


def _open(path: Path) -> DeltaTable:
    try:
        return DeltaTable(path)
    except TableNotFoundError as error:
        raise StoreError(
            f"{path} holds no table", remedy="Give the folder that `gatewayd cloud collect --table` writes."
        ) from error


def _rows_of(batch: object) -> list[tuple[str, str, int, int, int, int]]:
    columns = [batch.column(place).to_pylist() for place in range(6)]  # type: ignore[attr-defined]  # arro3 RecordBatch
    return list(zip(*columns, strict=True))


def _stream(row: tuple[str, str, int, int, int, int]) -> StreamReport:
    gateway, stream, epoch, rows, seqs, upto = row
    return StreamReport(gateway, stream, epoch, rows, upto, duplicates=rows - seqs, gaps=upto - seqs)
