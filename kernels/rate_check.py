"""Does a value change faster than the process can?"""

from __future__ import annotations

from kernels.columns import F8, I8
from kernels.status import UNCERTAIN_SENSOR_NOT_ACCURATE
from kernels.table import ERROR_BOUNDS


def rate_check(
    fresh: I8,
    value: F8,
    event_time: I8,
    rate_max: F8,
    status: I8,
    rate_value: F8,
    rate_time: I8,
    fresh_count: int,
    fresh_size: int,
    tag_size: int,
) -> int:
    """Turn fresh Good rows that moved faster than `rate_max` into Uncertain_SensorNotAccurate.

    `fresh` (fresh_size,) holds rows; the other columns are (tag_size,). `rate_max` is contract units per second, NaN =
    off; `event_time` and `rate_time` ns on the tag's own steady basis. The reference (`rate_value`, `rate_time`) is the
    last sample that came here Good, whatever this kernel made of it: a spike costs two marks, up and down, and a step
    one. Samples of the same or an earlier time are not judged.

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
        limit = rate_max[row]
        if limit != limit or status[row] >> 30 != 0:
            continue
        x = value[row]
        reference = rate_value[row]
        time = event_time[row]
        elapsed = time - rate_time[row]
        rate_value[row] = x
        rate_time[row] = time
        if reference == reference and elapsed > 0 and abs(x - reference) / (float(elapsed) / 1e9) > limit:
            status[row] = UNCERTAIN_SENSOR_NOT_ACCURATE
            marked += 1
    return marked
