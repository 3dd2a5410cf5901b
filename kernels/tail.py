"""Tail calibration: how rare is a score among all this detector has given?"""

from __future__ import annotations

from kernels.columns import F8, I8
from kernels.detectors import TAIL_BUCKETS
from kernels.status import NAN
from kernels.table import ERROR_BOUNDS

_CAP = 262_144  # scores; then all counts are halved, so that the past fades
_EXPONENT_LOW = 1023 - 6  # of 2^-6, where bucket 0 begins; it also takes what is below


def tail(
    fresh: I8,
    detector_first: I8,
    detector_count: I8,
    tail_max: F8,
    tail_first: I8,
    score: F8,
    score_bits: I8,
    tail_total: I8,
    rarity: F8,
    alarm: I8,
    count: I8,
    fresh_count: int,
    fresh_size: int,
    tag_size: int,
    detector_size: int,
    tail_size: int,
) -> int:
    """Alarm where a score is rarer than `tail_max`, whatever the detector's own limit says, then count the score.

    `fresh` (fresh_size,) holds rows; `detector_first`, `detector_count` are (tag_size,), `count` is (tail_size,), the rest
    (detector_size,). A detector with `tail_max` 0 stays as it is. Scores fall into 64 buckets, four to an octave, from
    2^-6 to 2^10; `score_bits` are the bits of the float64. With A the scores so far in this bucket and above:

        rarity = (A + 1) / (total + 1)        alarm = rarity <= tail_max

    Until 1 / tail_max scores are counted `alarm` is -1 and `rarity` NaN; so it stays where the detector itself does not
    know, or has no score, and then nothing is counted. In the long run a detector alarms in no more than about `tail_max` of its samples.

    Returns:
        Rows that alarm; ERROR_BOUNDS when a row is outside its table.

    Source: this project; the empirical tail as p-value as in Davison and Hinkley 1997, Bootstrap Methods, 4.2.
    """
    if fresh_count < 0 or fresh_count > fresh_size:
        return ERROR_BOUNDS
    alarms = 0
    for i in range(fresh_count):
        row = fresh[i]
        if row < 0 or row >= tag_size:
            return ERROR_BOUNDS
        many = detector_count[row]
        if many == 0:
            continue
        first = detector_first[row]
        if first < 0 or many < 0 or many > detector_size or first > detector_size - many:
            return ERROR_BOUNDS
        for d in range(first, first + many):
            if not tail_max[d] > 0.0:
                continue
            base = tail_first[d]
            if base < 0 or base > tail_size - TAIL_BUCKETS:
                return ERROR_BOUNDS
            rarity[d] = NAN
            if score[d] != score[d]:
                alarm[d] = -1
            if alarm[d] < 0:
                continue
            bucket = (score_bits[d] >> 50) - 4 * _EXPONENT_LOW
            if bucket < 0:
                bucket = 0
            if bucket > TAIL_BUCKETS - 1:
                bucket = TAIL_BUCKETS - 1
            total = tail_total[d]
            alarm[d] = -1
            if float(total) * tail_max[d] >= 1.0:
                above = 0
                for k in range(base + bucket, base + TAIL_BUCKETS):
                    above += count[k]
                rarity[d] = (float(above) + 1.0) / (float(total) + 1.0)
                alarm[d] = 0
                if rarity[d] <= tail_max[d]:
                    alarm[d] = 1
                    alarms += 1
            count[base + bucket] += 1
            total += 1
            if total >= _CAP:
                total = 0
                for k in range(base, base + TAIL_BUCKETS):
                    count[k] = count[k] // 2
                    total += count[k]
            tail_total[d] = total
    return alarms
