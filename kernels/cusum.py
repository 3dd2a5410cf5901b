"""Two-sided CUSUM: has the mean shifted, a little but for long?"""

from __future__ import annotations

from kernels.columns import F8, I8
from kernels.moments import learn, z_of
from kernels.status import NAN
from kernels.table import ERROR_BOUNDS


def cusum(
    fresh: I8,
    value: F8,
    status: I8,
    cusum_row: I8,
    alpha: F8,
    k: F8,
    h: F8,
    warmup: I8,
    mean: F8,
    variance: F8,
    count: I8,
    high: F8,
    low: F8,
    detector: I8,
    score: F8,
    alarm: I8,
    fresh_count: int,
    fresh_size: int,
    tag_size: int,
    cusum_size: int,
    detector_size: int,
) -> int:
    """Add every fresh row's z to its CUSUM sums, judge them, then learn from it.

    `fresh` (fresh_size,) holds rows; `value` (contract units), `status`, `cusum_row` are (tag_size,), the rest
    (cusum_size,), `score` and `alarm` (detector_size,). Mean, variance and z as in `ewma`. Per sample, `k` and `h` in standard deviations:

        high = max(0, high + z - k)        low = max(0, low - z - k)

    both held to 2 h, so that an alarm ends within h/k samples of the mean's return however long it lasted. `score` is the
    greater sum over h, `alarm` 1 when it exceeds 1. `alarm` is -1 and `score` NaN while fewer than `warmup` samples are
    learnt, and for a sample that is not Good or not finite, which changes neither mean nor sums.

    Returns:
        Rows that alarm; ERROR_BOUNDS when a row is outside its table.

    Source: Page 1954, Biometrika 41(1/2); Lucas and Saccucci 1990 for the standardised form.
    """
    if fresh_count < 0 or fresh_count > fresh_size:
        return ERROR_BOUNDS
    alarms = 0
    for i in range(fresh_count):
        row = fresh[i]
        if row < 0 or row >= tag_size:
            return ERROR_BOUNDS
        r = cusum_row[row]
        if r < 0:
            continue
        if r >= cusum_size:
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
            z = z_of(x, mean[r], variance[r])
            limit = h[r]
            up = high[r] + z - k[r]
            down = low[r] - z - k[r]
            if up < 0.0:
                up = 0.0
            if up > 2.0 * limit:
                up = 2.0 * limit
            if down < 0.0:
                down = 0.0
            if down > 2.0 * limit:
                down = 2.0 * limit
            high[r] = up
            low[r] = down
            if up < down:
                up = down
            if up > limit:
                alarming = 1
            alarm[d] = alarming
            score[d] = NAN
            if limit > 0.0:
                score[d] = up / limit
        alarms += alarming
        learn(x, r, alpha, mean, variance, count, alarming)
    return alarms
