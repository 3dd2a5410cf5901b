"""Does a value change faster than the process can? Inlined into `judge`."""

from __future__ import annotations

from kernels.columns import F8, I8
from kernels.status import UNCERTAIN_SENSOR_NOT_ACCURATE


def rate_status(row: int, x: float, time: int, limit: float, rate_value: F8, rate_time: I8) -> int:
    """Return the status code of a Good value: 0, or Uncertain_SensorNotAccurate if it moved faster than `limit`.

    `limit` is contract units per second, at least 0, NaN = off; `time` and `rate_time` ns on the tag's own steady basis. The reference
    (`rate_value`, `rate_time`, by row) is the last sample that came here, whatever became of it: a spike costs two marks,
    up and down, and a step one. Samples of the same or an earlier time are not judged.
    """
    code = 0
    if limit == limit:
        reference = rate_value[row]
        elapsed = time - rate_time[row]
        rate_value[row] = x
        rate_time[row] = time
        # Most values stand still, and without this comparison two divisions were most of what the check costs.
        may_be_fast = x != reference and reference == reference and elapsed > 0
        if may_be_fast and abs(x - reference) / (float(elapsed) / 1e9) > limit:
            code = UNCERTAIN_SENSOR_NOT_ACCURATE
    return code
