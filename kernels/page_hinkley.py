"""Page-Hinkley test: has the level changed for good? It tells once, then takes the new level as normal."""

from __future__ import annotations

from kernels.columns import F8, I8
from kernels.moments import learn, z_of
from kernels.status import NAN
from kernels.table import ERROR_BOUNDS


def page_hinkley(
    fresh: I8,
    value: F8,
    status: I8,
    page_hinkley_row: I8,
    alpha: F8,
    delta: F8,
    limit: F8,
    warmup: I8,
    mean: F8,
    variance: F8,
    count: I8,
    rise: F8,
    fall: F8,
    detector: I8,
    score: F8,
    alarm: I8,
    fresh_count: int,
    fresh_size: int,
    tag_size: int,
    page_hinkley_size: int,
    detector_size: int,
) -> int:
    """Add every fresh row's z to its Page-Hinkley sums and judge them; an alarm starts the row's memory anew.

    `fresh` (fresh_size,) holds rows; `value` (contract units), `status`, `page_hinkley_row` are (tag_size,), `score` and
    `alarm` (detector_size,), the rest (page_hinkley_size,). Mean, variance and z as in `ewma`, z held to limit / 2 either
    way, so that one sample alone never alarms. With M = sum(z - delta) and T = min M, as the running difference M - T:

        rise = max(0, rise + z - delta)        fall = max(0, fall - z - delta)

    `score` is the greater over `limit`, `alarm` 1 when it exceeds 1. An alarm forgets sums, mean and variance and learns
    from this sample on. `alarm` is -1 and `score` NaN while fewer than `warmup` samples are learnt, and for a sample that
    is not Good or not finite, which changes nothing.

    Returns:
        Rows that alarm; ERROR_BOUNDS when a row is outside its table.

    Source: Page 1954, Biometrika 41(1/2); Hinkley 1971, Biometrika 58(3).
    """
    if fresh_count < 0 or fresh_count > fresh_size:
        return ERROR_BOUNDS
    alarms = 0
    for i in range(fresh_count):
        row = fresh[i]
        if row < 0 or row >= tag_size:
            return ERROR_BOUNDS
        r = page_hinkley_row[row]
        if r < 0:
            continue
        if r >= page_hinkley_size:
            return ERROR_BOUNDS
        d = detector[r]
        if d < 0 or d >= detector_size:
            return ERROR_BOUNDS
        x = value[row]
        alarm[d] = -1
        score[d] = NAN
        if status[row] >> 30 != 0 or x - x != 0.0:
            continue
        if count[r] >= warmup[r] and limit[r] > 0.0:
            z = z_of(x, mean[r], variance[r])
            half = 0.5 * limit[r]
            if z > half:
                z = half
            if z < -half:
                z = -half
            up = rise[r] + z - delta[r]
            down = fall[r] - z - delta[r]
            if not up > 0.0:
                up = 0.0
            if not down > 0.0:
                down = 0.0
            rise[r] = up
            fall[r] = down
            if up < down:
                up = down
            alarm[d] = 0
            score[d] = up / limit[r]
            if up > limit[r]:
                alarm[d] = 1
                alarms += 1
                rise[r] = 0.0
                fall[r] = 0.0
                count[r] = 0
        learn(x, r, alpha, mean, variance, count, 0)
    return alarms
