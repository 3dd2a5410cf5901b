"""Is a value physically possible?"""

from __future__ import annotations

from kernels.columns import F8, I8
from kernels.status import BAD_OUT_OF_RANGE, BAD_SENSOR_FAILURE, LIMIT_HIGH, LIMIT_LOW
from kernels.table import ERROR_BOUNDS


def range_check(
    fresh: I8,
    value: F8,
    range_low: F8,
    range_high: F8,
    status: I8,
    fresh_count: int,
    fresh_size: int,
    tag_size: int,
) -> int:
    """Take the Good quality of fresh rows outside their range.

    `fresh` (fresh_size,) holds rows; the other columns are (tag_size,). The limits are in contract units and belong to
    the range; NaN = none. Not finite gives Bad_SensorFailure; outside gives Bad_OutOfRange with the limit bits low or
    high. The value stays.

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
        if x - x != 0.0:  # NaN or infinite
            status[row] = BAD_SENSOR_FAILURE
            marked += 1
        elif x < range_low[row]:
            status[row] = BAD_OUT_OF_RANGE | LIMIT_LOW
            marked += 1
        elif x > range_high[row]:
            status[row] = BAD_OUT_OF_RANGE | LIMIT_HIGH
            marked += 1
    return marked
