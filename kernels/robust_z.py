"""Robust z-score: does a sample lie far from the running median, however wild single samples are?"""

from __future__ import annotations

from kernels.columns import F8, I8
from kernels.status import NAN
from kernels.table import ERROR_BOUNDS

_SIGMA = 1.4826  # standard deviations of a normal distribution in its median absolute deviation
_START = 10  # samples that are averaged before the steps begin
_FAR = 5.0  # deviations; beyond
_RUN_MAX = 20  # samples that far, nearly all of the latest, it is the scale that is wrong
_RUN_BACK = 5
_DEVIATION_MIN = 1e-12  # of the median; less is rounding


def robust_z(
    fresh: I8,
    value: F8,
    status: I8,
    robust_z_row: I8,
    step: F8,
    z_max: F8,
    warmup: I8,
    median: F8,
    deviation: F8,
    count: I8,
    run: I8,
    detector: I8,
    score: F8,
    alarm: I8,
    fresh_count: int,
    fresh_size: int,
    tag_size: int,
    robust_z_size: int,
    detector_size: int,
) -> int:
    """Judge every fresh row by its running median and median absolute deviation, then move both a step towards it.

    `fresh` (fresh_size,) holds rows; `value` (contract units), `status`, `robust_z_row` are (tag_size,), `score` and
    `alarm` (detector_size,), the rest (robust_z_size,). Per sample, with w = max(step, 1/(n+1)):

        z = (x - median) / (1.4826 deviation)
        median += w deviation sgn(x - median)        deviation += w deviation sgn(|x - old median| - deviation)

    The first ten samples are averaged instead. `run` counts samples beyond five deviations, and five back for each other
    one; beyond twenty each doubles the deviation, so that a scale that shrank while nothing moved is back soon. `score` is |z|, `alarm` 1 when it exceeds `z_max`; without a deviation z is 0. `alarm` is -1 and `score` NaN while fewer than `warmup`
    samples are learnt, and for a sample that is not Good or not finite, which teaches nothing.

    Returns:
        Rows that alarm; ERROR_BOUNDS when a row is outside its table.

    Source: Robbins and Monro 1951, Annals of Mathematical Statistics 22(3), for the steps; Hampel 1974, JASA 69(346).
    """
    if fresh_count < 0 or fresh_count > fresh_size:
        return ERROR_BOUNDS
    alarms = 0
    for i in range(fresh_count):
        row = fresh[i]
        if row < 0 or row >= tag_size:
            return ERROR_BOUNDS
        r = robust_z_row[row]
        if r < 0:
            continue
        if r >= robust_z_size:
            return ERROR_BOUNDS
        d = detector[r]
        if d < 0 or d >= detector_size:
            return ERROR_BOUNDS
        x = value[row]
        alarm[d] = -1
        score[d] = NAN
        if status[row] >> 30 != 0 or x - x != 0.0:
            continue
        n = count[r]
        middle = median[r]
        spread = deviation[r]
        distance = abs(x - middle)
        if n >= warmup[r]:
            z = 0.0
            if spread > _DEVIATION_MIN * abs(middle):
                z = distance / (_SIGMA * spread)
            score[d] = z
            alarm[d] = 0
            if z > z_max[r]:
                alarm[d] = 1
                alarms += 1
        far = run[r] - _RUN_BACK
        if distance > _FAR * spread:
            far = run[r] + 1
            if far > _RUN_MAX + 1:
                far = _RUN_MAX + 1
        if far < 0:
            far = 0
        gain = 1.0 / (float(n) + 1.0)
        if n == 0:
            middle = x
            spread = 0.0
        elif n < _START:
            middle = middle + gain * (x - middle)
            spread = spread + gain * (distance - spread)
        else:
            if gain < step[r]:
                gain = step[r]
            move = gain * spread
            if x > middle:
                middle = middle + move
            elif x < middle:
                middle = middle - move
            if not spread > 0.0:
                spread = gain * distance
            elif far > _RUN_MAX and distance > _FAR * spread:
                spread = 2.0 * spread
            elif distance > spread:
                spread = spread + move
            elif distance < spread:
                spread = spread - move
        if middle - middle == 0.0 and spread - spread == 0.0:
            median[r] = middle
            deviation[r] = spread
            count[r] = n + 1
            run[r] = far
    return alarms
