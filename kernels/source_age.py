"""Is a value too old by its own device's clock?"""

from __future__ import annotations

from kernels.columns import I8
from kernels.status import UNCERTAIN_LAST_USABLE
from kernels.table import ERROR_BOUNDS


def source_age(
    fresh: I8,
    source_time: I8,
    source_age_max: I8,
    status: I8,
    fresh_count: int,
    now: int,
    fresh_size: int,
    tag_size: int,
) -> int:
    """Turn fresh Good rows older than allowed into Uncertain_LastUsableValue.

    `fresh` (fresh_size,) holds rows; the other columns are (tag_size,). Times are wall ns; `source_age_max` ns, 0 = off.
    An absent source time (0) is as old as 1970: an unknown age is not a young one. A source time in the future passes.

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
        oldest = now - source_age_max[row]  # not now - source_time: a device may send any source time
        if source_age_max[row] > 0 and status[row] >> 30 == 0 and source_time[row] < oldest:
            status[row] = UNCERTAIN_LAST_USABLE
            marked += 1
    return marked
