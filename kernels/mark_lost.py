"""A response that never came."""

from __future__ import annotations

from kernels.columns import F8, I8
from kernels.sample import put_fresh
from kernels.status import NAN
from kernels.table import ERROR_BOUNDS


def mark_lost(
    plan_row: I8,
    value: F8,
    status: I8,
    ingest_time: I8,
    processing_time: I8,
    fresh_mark: I8,
    fresh: I8,
    first: int,
    count: int,
    fresh_count: int,
    response_time: int,
    now: int,
    pass_number: int,
    lost_status: int,
    plan_size: int,
    tag_size: int,
    fresh_size: int,
) -> int:
    """Give every row of a plan NaN and `lost_status`, and put it on the fresh list.

    `response_time` (wall ns) is when the loss was known. The row's `sequence`, source and event times stay those of its
    last sample, and so does `ingest_mono`: a loss is no sample, so a tag that keeps being lost goes stale in time.

    Returns:
        The new `fresh_count`; ERROR_BOUNDS when a range or row is outside its buffer, the rows before it being taken.
    """
    if count < 0 or count > plan_size or first < 0 or first > plan_size - count:
        return ERROR_BOUNDS
    if fresh_count < 0:
        return ERROR_BOUNDS
    for i in range(first, first + count):
        row = plan_row[i]
        if row < 0 or row >= tag_size:
            return ERROR_BOUNDS
        value[row] = NAN
        status[row] = lost_status
        ingest_time[row] = response_time
        processing_time[row] = now
        fresh_count = put_fresh(row, fresh_count, pass_number, fresh_mark, fresh, fresh_size)
        if fresh_count < 0:
            return ERROR_BOUNDS
    return fresh_count
