"""Seasonal profile: is a sample unusual for this time of the day, the shift or the week?"""

from __future__ import annotations

from kernels.columns import F8, I8
from kernels.status import NAN
from kernels.table import ERROR_BOUNDS

_INT_MAX = 9_223_372_036_854_775_807
_GUARD = 0.1  # weight of a sample that alarms: an anomaly does not teach itself away
_SCALE_MIN = 1e-12  # of the level; less is rounding


def seasonal(
    fresh: I8,
    value: F8,
    status: I8,
    ingest_time: I8,
    seasonal_row: I8,
    period: I8,
    bins: I8,
    r_max: F8,
    alpha: F8,
    warmup: I8,
    profile_first: I8,
    bin: I8,
    samples: I8,
    weight: F8,
    total: F8,
    distance: F8,
    spread: F8,
    visits: I8,
    detector: I8,
    level: F8,
    deviation: F8,
    count: I8,
    score: F8,
    alarm: I8,
    fresh_count: int,
    fresh_size: int,
    tag_size: int,
    seasonal_size: int,
    profile_size: int,
    detector_size: int,
) -> int:
    """Judge every fresh row by what its bin of the clock was like before; a bin learns when the clock leaves it.

    `fresh` (fresh_size,) holds rows; `value` (contract units), `status`, `ingest_time` (wall ns), `seasonal_row` are
    (tag_size,), `level`, `deviation`, `count` (profile_size,), `score` and `alarm` (detector_size,), the rest
    (seasonal_size,). With b = floor(bins (t mod period) / period), `period` in ns:

        r = (x - level_b) / ((deviation_b + spread) / 2)

    A visit of a bin sums x and |x - level_b| (a first visit: the distance from its own mean so far), samples that alarm
    with a tenth of their weight. When it ends, level_b and deviation_b move towards its means by max(alpha, 1/(n_b+1)),
    less as far as the visit alarmed, and `spread` towards its mean distance by max(alpha / bins, 1/(visits+1)). `bin` is
    the bin of the visit under way plus one, 0 before the first. `score` is |r|, `alarm` 1 when it exceeds `r_max`.
    `alarm` is -1 and `score` NaN while the bin has had fewer than `warmup` visits, and for a sample that is not Good, not
    finite or from before 1970, which teaches nothing.

    Returns:
        Rows that alarm; ERROR_BOUNDS when a row is outside its table, or a period or number of bins cannot be.

    Source: this project; additive profiles as in Winters 1960, Management Science 6(3).
    """
    if fresh_count < 0 or fresh_count > fresh_size:
        return ERROR_BOUNDS
    alarms = 0
    for i in range(fresh_count):
        row = fresh[i]
        if row < 0 or row >= tag_size:
            return ERROR_BOUNDS
        r = seasonal_row[row]
        if r < 0:
            continue
        if r >= seasonal_size:
            return ERROR_BOUNDS
        d = detector[r]
        if d < 0 or d >= detector_size:
            return ERROR_BOUNDS
        if period[r] <= 0 or bins[r] <= 0 or bins[r] > _INT_MAX // period[r]:
            return ERROR_BOUNDS
        first = profile_first[r]
        if first < 0 or bins[r] > profile_size or first > profile_size - bins[r] or bin[r] < 0 or bin[r] > bins[r]:
            return ERROR_BOUNDS
        x = value[row]
        alarm[d] = -1
        score[d] = NAN
        if status[row] >> 30 != 0 or x - x != 0.0 or ingest_time[row] < 0:
            continue
        b = (ingest_time[row] % period[r]) * bins[r] // period[r]
        if bin[r] != b + 1:
            if bin[r] > 0 and samples[r] > 0 and weight[r] > 0.0:
                p = first + bin[r] - 1
                gain = 1.0 / (float(count[p]) + 1.0)
                if gain < alpha[r]:
                    gain = alpha[r]
                trusted = weight[r] / float(samples[r])
                gain = gain * trusted
                usual = distance[r] / weight[r]
                new_level = total[r] / weight[r]
                new_deviation = usual
                if count[p] > 0:
                    new_level = level[p] + gain * (new_level - level[p])
                    new_deviation = deviation[p] + gain * (usual - deviation[p])
                gain = 1.0 / (float(visits[r]) + 1.0)
                if gain < alpha[r] / float(bins[r]):
                    gain = alpha[r] / float(bins[r])
                new_spread = spread[r] + gain * trusted * (usual - spread[r])
                if visits[r] == 0:
                    new_spread = usual
                known = new_level + new_deviation + new_spread
                if known - known == 0.0:
                    level[p] = new_level
                    deviation[p] = new_deviation
                    count[p] += 1
                    spread[r] = new_spread
                    visits[r] += 1
            bin[r] = b + 1
            samples[r] = 0
            weight[r] = 0.0
            total[r] = 0.0
            distance[r] = 0.0
        p = first + b
        share = 1.0
        if count[p] >= warmup[r]:
            scale = 0.5 * (deviation[p] + spread[r])
            unusual = 0.0
            if scale > _SCALE_MIN * abs(level[p]):
                unusual = abs(x - level[p]) / scale
            score[d] = unusual
            alarm[d] = 0
            if unusual > r_max[r]:
                alarm[d] = 1
                alarms += 1
                share = _GUARD
        centre = x
        if count[p] > 0:
            centre = level[p]
        elif weight[r] > 0.0:
            centre = total[r] / weight[r]
        new_total = total[r] + share * x
        new_distance = distance[r] + share * abs(x - centre)
        if new_total - new_total == 0.0 and new_distance - new_distance == 0.0:
            samples[r] += 1
            weight[r] += share
            total[r] = new_total
            distance[r] = new_distance
    return alarms
