"""What every decoding kernel does for a row once its value and status stand. Inlined into them."""

from __future__ import annotations

from kernels.columns import I8
from kernels.table import ERROR_BOUNDS


def put_times(
    row: int,
    source: int,
    event: int,
    response_time: int,
    response_mono: int,
    now: int,
    source_time: I8,
    ingest_time: I8,
    ingest_mono: I8,
    event_time: I8,
    processing_time: I8,
    sequence: I8,
    stale: I8,
) -> None:
    """Stamp one sample with its times (ns), count it, and end its row's staleness."""
    source_time[row] = source
    ingest_time[row] = response_time
    ingest_mono[row] = response_mono
    event_time[row] = event
    processing_time[row] = now
    sequence[row] += 1
    stale[row] = 0


def put_fresh(row: int, fresh_count: int, pass_number: int, fresh_mark: I8, fresh: I8, fresh_size: int) -> int:
    """Put a row on the fresh list unless this pass already did; return how many are on it, or ERROR_BOUNDS when full."""
    if fresh_mark[row] == pass_number:
        return fresh_count
    if fresh_count >= fresh_size:
        return ERROR_BOUNDS
    fresh_mark[row] = pass_number
    fresh[fresh_count] = row
    return fresh_count + 1
