"""Is a sample what its contract promises? One walk over the fresh rows: each check may take the Good quality away."""

from __future__ import annotations

from kernels.columns import F8, I8
from kernels.range_check import range_status
from kernels.rate_check import rate_status
from kernels.source_age import age_status
from kernels.stuck_check import stuck_status
from kernels.table import CHECK_AGE, CHECK_RANGE, CHECK_RATE, CHECK_STUCK, ERROR_BOUNDS


def judge(
    fresh: I8,
    value: F8,
    range_low: F8,
    range_high: F8,
    source_time: I8,
    source_age_max: I8,
    event_time: I8,
    rate_max: F8,
    ingest_mono: I8,
    stuck_after: I8,
    stuck_deadband: F8,
    status: I8,
    rate_value: F8,
    rate_time: I8,
    stuck_value: F8,
    stuck_since: I8,
    checks: int,
    fresh_count: int,
    now: int,
    fresh_size: int,
    tag_size: int,
) -> int:
    """Judge fresh Good rows by range, age, rate and movement, in this order; the first that objects decides the status.

    `fresh` (fresh_size,) holds rows; the other columns are (tag_size,). `checks` says which checks any tag asks for, by
    the bits CHECK_*: columns of the others are not even looked at. `now` is wall ns. The value stays. Rows that come here
    not Good are not judged, and leave no trace in the memory of a check.

    Returns:
        Rows that lost their quality; ERROR_BOUNDS when a row is outside the tag table.
    """
    if fresh_count < 0 or fresh_count > fresh_size:
        return ERROR_BOUNDS
    marked = 0
    for i in range(fresh_count):
        row = fresh[i]
        if row < 0 or row >= tag_size:
            return ERROR_BOUNDS
        if status[row] >> 30 != 0:
            continue
        x = value[row]
        code = 0
        if checks & CHECK_RANGE:
            code = range_status(x, range_low[row], range_high[row])
        if code == 0 and checks & CHECK_AGE:
            code = age_status(source_time[row], source_age_max[row], now)
        if code == 0 and checks & CHECK_RATE:
            code = rate_status(row, x, event_time[row], rate_max[row], rate_value, rate_time)
        if code == 0 and checks & CHECK_STUCK:
            code = stuck_status(row, x, ingest_mono[row], stuck_after[row], stuck_deadband, stuck_value, stuck_since)
        if code != 0:
            status[row] = code
            marked += 1
    return marked
