"""EWMA z-score: does a sample lie far from the recent mean?"""

from __future__ import annotations

from kernels.columns import F8, I8
from kernels.moments import learn, z_of
from kernels.status import NAN
from kernels.table import ERROR_BOUNDS


def ewma(
    fresh: I8,
    value: F8,
    status: I8,
    ewma_row: I8,
    alpha: F8,
    z_max: F8,
    warmup: I8,
    mean: F8,
    variance: F8,
    count: I8,
    detector: I8,
    score: F8,
    alarm: I8,
    fresh_count: int,
    fresh_size: int,
    tag_size: int,
    ewma_size: int,
    detector_size: int,
) -> int:
    """Judge every fresh row that has an EWMA by the mean and variance before it, then learn from it.

    `fresh` (fresh_size,) holds rows; `value` (contract units), `status`, `ewma_row` are (tag_size,), the rest
    (ewma_size,), `score` and `alarm` (detector_size,). Per sample, with w = max(alpha, 1/(n+1)), times 0.1 while alarming:

        z = (x - mean) / sqrt(variance)        mean += w d, variance += w (d d (1 - w) - variance), d = x - old mean

    `score` is |z|, `alarm` 1 when it exceeds `z_max`. With zero variance z is 0. `alarm` is -1 and `score` NaN while
    fewer than `warmup` samples are learnt, and for a sample that is not Good or not finite, which teaches nothing.

    Returns:
        Rows that alarm; ERROR_BOUNDS when a row is outside its table.

    Source: Roberts 1959, Technometrics 1(3); West 1979, CACM 22(9) for the variance.
    """
    if fresh_count < 0 or fresh_count > fresh_size:
        return ERROR_BOUNDS
    alarms = 0
    for i in range(fresh_count):
        row = fresh[i]
        if row < 0 or row >= tag_size:
            return ERROR_BOUNDS
        r = ewma_row[row]
        if r < 0:
            continue
        if r >= ewma_size:
            return ERROR_BOUNDS
        d = detector[r]
        if d < 0 or d >= detector_size:
            return ERROR_BOUNDS
        x = value[row]
        if status[row] >> 30 != 0 or x - x != 0.0:
            alarm[d] = -1
            score[d] = NAN
            continue
        alarming = 0
        if count[r] < warmup[r]:
            alarm[d] = -1
            score[d] = NAN
        else:
            z = abs(z_of(x, mean[r], variance[r]))
            if z > z_max[r]:
                alarming = 1
            alarm[d] = alarming
            score[d] = z
        alarms += alarming
        learn(x, r, alpha, mean, variance, count, alarming)
    return alarms
