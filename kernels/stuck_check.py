"""Has a value stopped moving? Inlined into `judge`."""

from __future__ import annotations

from kernels.columns import F8, I8
from kernels.status import BAD_SENSOR_FAILURE, LIMIT_CONSTANT


def stuck_status(
    row: int, x: float, mono: int, after: int, stuck_deadband: F8, stuck_value: F8, stuck_since: I8
) -> int:
    """Return the status code of a Good value: 0, or Bad_SensorFailure, constant, if it has not moved for `after`.

    `after` is ns, 0 = off; `mono` and `stuck_since` boot-clock ns; `stuck_deadband` contract units. A move is a distance
    of more than the deadband from `stuck_value`, which then becomes the new place. `stuck_since` 0 or `stuck_value` NaN =
    not started.
    """
    code = 0
    if after > 0:
        moved = abs(x - stuck_value[row]) > stuck_deadband[row]
        if moved or stuck_since[row] == 0 or stuck_value[row] != stuck_value[row]:
            stuck_value[row] = x
            stuck_since[row] = mono
        elif mono - stuck_since[row] >= after:
            code = BAD_SENSOR_FAILURE | LIMIT_CONSTANT
    return code
