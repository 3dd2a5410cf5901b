"""Has a value stopped moving?"""

from __future__ import annotations

from kernels.columns import F8, I8
from kernels.status import BAD_SENSOR_FAILURE, LIMIT_CONSTANT
from kernels.table import ERROR_BOUNDS


def stuck_check(
    fresh: I8,
    value: F8,
    ingest_mono: I8,
    stuck_after: I8,
    stuck_deadband: F8,
    status: I8,
    stuck_value: F8,
    stuck_since: I8,
    fresh_count: int,
    fresh_size: int,
    tag_size: int,
) -> int:
    """Turn fresh Good rows that have not moved for `stuck_after` into Bad_SensorFailure with the limit bits constant.

    `fresh` (fresh_size,) holds rows; the other columns are (tag_size,). `stuck_after` is ns, 0 = off; `ingest_mono` and
    `stuck_since` boot-clock ns; `stuck_deadband` contract units. A move is a distance of more than the deadband from
    `stuck_value`, which then becomes the new place. Rows that come here not Good neither move nor are judged.
    `stuck_since` 0 or `stuck_value` NaN = not started.

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
        if stuck_after[row] <= 0 or status[row] >> 30 != 0:
            continue
        x = value[row]
        moved = abs(x - stuck_value[row]) > stuck_deadband[row]
        if moved or stuck_since[row] == 0 or stuck_value[row] != stuck_value[row]:
            stuck_value[row] = x
            stuck_since[row] = ingest_mono[row]
        elif ingest_mono[row] - stuck_since[row] >= stuck_after[row]:
            status[row] = BAD_SENSOR_FAILURE | LIMIT_CONSTANT
            marked += 1
    return marked
