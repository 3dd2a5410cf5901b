"""Range record: does a sample lie outside everything seen so far?"""

from __future__ import annotations

from kernels.columns import F8, I8
from kernels.status import NAN
from kernels.table import ERROR_BOUNDS


def range_record(
    fresh: I8,
    value: F8,
    status: I8,
    range_record_row: I8,
    tolerance: F8,
    e_max: F8,
    leak: F8,
    warmup: I8,
    low: F8,
    high: F8,
    count: I8,
    detector: I8,
    score: F8,
    alarm: I8,
    fresh_count: int,
    fresh_size: int,
    tag_size: int,
    range_record_size: int,
    detector_size: int,
) -> int:
    """Judge every fresh row by how far it lies outside the range seen so far, then widen the range to hold it.

    `fresh` (fresh_size,) holds rows; `value` (contract units), `status`, `range_record_row` are (tag_size,), `score` and
    `alarm` (detector_size,), the rest (range_record_size,). Per sample, with the width w = high - low:

        e = max(0, x - high, low - x) / (tolerance w)

    Then low and high each move by `leak` of w towards each other, and out again as far as x, but after the warm-up by at
    most w: one wild sample does not blind the detector. `score` is e, `alarm` 1 when it exceeds `e_max`. Without a width,
    or with one that is not finite, e is 0. `alarm` is -1 and `score` NaN while fewer than `warmup` samples are learnt, and
    for a sample that is not Good or not finite, which teaches nothing.

    Returns:
        Rows that alarm; ERROR_BOUNDS when a row is outside its table.

    Source: this project; records of a sequence as in Glick 1978, American Mathematical Monthly 85(1).
    """
    if fresh_count < 0 or fresh_count > fresh_size:
        return ERROR_BOUNDS
    alarms = 0
    for i in range(fresh_count):
        row = fresh[i]
        if row < 0 or row >= tag_size:
            return ERROR_BOUNDS
        r = range_record_row[row]
        if r < 0:
            continue
        if r >= range_record_size:
            return ERROR_BOUNDS
        d = detector[r]
        if d < 0 or d >= detector_size:
            return ERROR_BOUNDS
        x = value[row]
        alarm[d] = -1
        score[d] = NAN
        if status[row] >> 30 != 0 or x - x != 0.0:
            continue
        if count[r] == 0:
            low[r] = x
            high[r] = x
        width = high[r] - low[r]
        beyond = 0.0
        if x > high[r]:
            beyond = x - high[r]
        if x < low[r]:
            beyond = low[r] - x
        is_warm = count[r] >= warmup[r]
        if is_warm:
            e = 0.0
            unit = tolerance[r] * width
            if unit > 0.0 and unit - unit == 0.0:
                e = beyond / unit
            score[d] = e
            alarm[d] = 0
            if e > e_max[r]:
                alarm[d] = 1
                alarms += 1
        new_low = low[r]
        new_high = high[r]
        if width - width == 0.0:
            new_low = low[r] + leak[r] * width
            new_high = high[r] - leak[r] * width
        if x < new_low:
            new_low = x
        if x > new_high:
            new_high = x
        if is_warm and width > 0.0 and width - width == 0.0:
            if new_low < low[r] - width:
                new_low = low[r] - width
            if new_high > high[r] + width:
                new_high = high[r] + width
        if new_low - new_low == 0.0 and new_high - new_high == 0.0:
            low[r] = new_low
            high[r] = new_high
            count[r] += 1
    return alarms
