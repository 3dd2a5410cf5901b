"""Is a value physically possible? Inlined into `judge`."""

from __future__ import annotations

from kernels.status import BAD_OUT_OF_RANGE, BAD_SENSOR_FAILURE, LIMIT_HIGH, LIMIT_LOW


def range_status(x: float, low: float, high: float) -> int:
    """Return the status code of a Good value: 0 inside the range, else why it is not Good.

    The limits are in contract units and belong to the range; NaN = none. Not finite gives Bad_SensorFailure; outside
    gives Bad_OutOfRange with the limit bits low or high.
    """
    code = 0
    if x - x != 0.0:  # NaN or infinite
        code = BAD_SENSOR_FAILURE
    elif x < low:
        code = BAD_OUT_OF_RANGE | LIMIT_LOW
    elif x > high:
        code = BAD_OUT_OF_RANGE | LIMIT_HIGH
    return code
