"""The record committee: does a tag do what it never did before, in any of several respects?"""

from __future__ import annotations

from kernels.columns import F4, F8, I4, I8
from kernels.logarithm import log_of
from kernels.status import NAN
from kernels.table import CHANNELS, ERROR_BOUNDS

# Channels, in the order of their ranges; the first, the value itself, has its range in table committee.
_VALUE = 0
_SPIKE = 1  # x - E32
_DRIFT = 2  # E32 - E256
_SPREAD = 3  # log of the deviation over 32 samples
_SEASON = 4  # deviation from the clock profile over 32 samples
_CLOCK = 5  # deviation from the clock profile

DAY_NS = 86_400_000_000_000
CLOCK_BINS_MAX = 1440
_DAY_S = 86400.0

# What follows was chosen on the development half of the data sets; docs/anomaly.md says how flat it is around.
_TOLERANCE = 0.05  # part of a range that is the unit of breaking it
_EXCESS_MAX = 1e6  # also what breaking a range of no width is worth
_FLOOR = 0.02  # novelty rate below which a tag is not thought quieter
_BUDGET = 0.001  # gain of the novelty rate
_HELD = 0.99  # what is left of a score after one sample
_REACH = 32.0  # ranges that one sample can go beyond what was seen; the rest of it is a fault, not the process
_SPREAD_AFTER = 32  # samples before there is a spread; its range begins with the one it has then
_CLOCK_GAIN = 0.6  # part of the clock profile that one visit to a bin replaces
_MAGNITUDE_MAX = 1e18  # squares of it fit float32
_RATIO_MAX = 1e6
_GAP_MAX = 4.0  # intervals a gap counts for at most
_COUNT_MAX = 2_000_000_000


def stretch(i: int, x: float, low: F4, high: F4) -> float:
    """Widen range `i` to hold `x`; return by how much it was broken, in units of 5 % of its width, 0 if not at all."""
    a = 1.0 * low[i]
    b = 1.0 * high[i]
    grown = 0.0
    if x > b:
        high[i] = x
        grown = 1.0 * high[i] - b
    elif x < a:
        low[i] = x
        grown = a - 1.0 * low[i]
    unit = _TOLERANCE * (b - a)
    if grown <= 0.0:
        return 0.0
    if grown >= unit * _EXCESS_MAX:
        return _EXCESS_MAX
    return grown / unit


def stretch_ratio(i: int, x: float, low: F4, high: F4) -> float:
    """Do what `stretch` does for a range of positive numbers, judged by their logarithms."""
    a = 1.0 * low[i]
    b = 1.0 * high[i]
    grown = 0.0
    if x > b:
        high[i] = x
        grown = log_of(1.0 * high[i] / b)
    elif x < a:
        low[i] = x
        grown = log_of(a / (1.0 * low[i]))
    if grown <= 0.0:
        return 0.0
    unit = _TOLERANCE * log_of(b / a)
    if grown >= unit * _EXCESS_MAX:
        return _EXCESS_MAX
    return grown / unit


def committee(
    fresh: I8,
    value: F8,
    status: I8,
    source_time: I8,
    committee_row: I8,
    limit: F8,
    warmup: I8,
    hold: I4,
    mute: I4,
    clock_first: I8,
    clock_bins: I8,
    count: I4,
    since: I4,
    last_time: I8,
    interval: F4,
    fast: F8,
    slow: F8,
    base: F8,
    variance: F4,
    deviation: F4,
    season: F4,
    budget: F4,
    best: F4,
    held: F4,
    value_low: F8,
    value_high: F8,
    novelty: F8,
    channel: I8,
    excess: F8,
    detector: I8,
    channel_low: F4,
    channel_high: F4,
    clock_mean: F4,
    clock_deviation: F4,
    score: F8,
    alarm: I8,
    fresh_count: int,
    fresh_size: int,
    tag_size: int,
    committee_size: int,
    channel_size: int,
    clock_size: int,
    detector_size: int,
) -> int:
    """Judge every fresh row that has a committee by the ranges its channels have visited, then widen them.

    `fresh` (fresh_size,) holds rows; `value` (contract units), `status`, `source_time` (wall ns), `committee_row` are
    (tag_size,); `channel_low`, `channel_high` (5 committee_size,) the ranges of channels 1 to 5; `clock_mean`,
    `clock_deviation` (clock_size,) the bins of the day's profile, `clock_bins` of them from `clock_first`, 0 = no clock;
    `score` and `alarm` (detector_size,), at `detector`; the rest (committee_size,). A row with `count` 0 starts anew,
    whatever else it holds. With E_n an EWMA of gain max(1/n, 1/(samples)), sigma the deviation over 32 samples, and
    r = (x - bin's mean) / its deviation, the channels are

        x        x - E32        E32 - E256        log sigma        E32 of r        r

    Each that breaks its range contributes log(1 + e), e = how far, in units of 5 % of the range; S is their sum, and

        v = S / (budget + 0.02)        budget += 0.001 (S - budget)        score = max(v, 0.99 score)

    `alarm` is 1 while `score` is at least `limit`; `channel` and `excess` name the greatest contribution to it and its e.
    `novelty` is v where an event starts, else 0: within `hold` samples of another it must beat that one, and within
    `mute` samples of one that reached `limit` there is none. `alarm` is -1 and `score` NaN while fewer than `warmup`
    samples are learnt, and for a sample that is not Good or not finite, which changes nothing. One sample reaches at most
    32 ranges beyond what was seen, so that a fault in the wire does not blind the ranges for good.

    Returns:
        Rows that alarm; ERROR_BOUNDS when a row is outside its table.

    Source: this project; docs/anomaly.md. Records as evidence: Glick 1978, Am. Math. Monthly 85(1).
    """
    if fresh_count < 0 or fresh_count > fresh_size or channel_size < CHANNELS * committee_size:
        return ERROR_BOUNDS
    alarms = 0
    for i in range(fresh_count):
        row = fresh[i]
        if row < 0 or row >= tag_size:
            return ERROR_BOUNDS
        r = committee_row[row]
        if r < 0:
            continue
        if r >= committee_size:
            return ERROR_BOUNDS
        d = detector[r]
        if d < 0 or d >= detector_size:
            return ERROR_BOUNDS
        bins = clock_bins[r]
        bin_first = clock_first[r]
        if bins < 0 or bins > CLOCK_BINS_MAX or bin_first < 0 or bin_first > clock_size - bins:
            return ERROR_BOUNDS
        x = value[row]
        novelty[r] = 0.0
        if status[row] >> 30 != 0 or x - x != 0.0:
            alarm[d] = -1
            score[d] = NAN
            continue
        if x > _MAGNITUDE_MAX:
            x = _MAGNITUDE_MAX
        if x < -_MAGNITUDE_MAX:
            x = -_MAGNITUDE_MAX
        time = source_time[row]
        n = count[r] + 0
        first = CHANNELS * r
        if n <= 0:
            count[r] = 1
            since[r] = _COUNT_MAX
            last_time[r] = time
            interval[r] = 0.0
            fast[r] = x
            slow[r] = x
            base[r] = x
            variance[r] = 0.0
            deviation[r] = 0.0
            season[r] = 0.0
            budget[r] = 0.0
            best[r] = 0.0
            held[r] = 0.0
            value_low[r] = x
            value_high[r] = x
            channel[r] = 0
            excess[r] = 0.0
            for k in range(CHANNELS):
                channel_low[first + k] = 0.0
                channel_high[first + k] = 0.0
            for k in range(bins):
                clock_mean[bin_first + k] = NAN
                clock_deviation[bin_first + k] = 0.0
            alarm[d] = -1
            score[d] = NAN
            continue

        # --- the channels, with this sample in them --------------------------------------------------------------------
        low = value_low[r]
        high = value_high[r]
        width = high - low
        if width > 0.0:
            if x > high + _REACH * width:
                x = high + _REACH * width
            if x < low - _REACH * width:
                x = low - _REACH * width
        part = 1.0 / (float(n) + 1.0)
        gain = max(0.001, part)
        typical = 1.0 * deviation[r]
        typical = typical + gain * (abs(x - base[r]) - typical)
        deviation[r] = typical
        base[r] = base[r] + gain * (x - base[r])
        gain = max(0.03125, part)
        step = x - fast[r]
        level = fast[r] + gain * step
        fast[r] = level
        square = 1.0 * variance[r]
        square = square + gain * (step * step * (1.0 - gain) - square)
        variance[r] = square
        slow[r] = slow[r] + max(0.00390625, part) * (x - slow[r])
        apart = (float(time) - float(last_time[r])) * 1e-9
        last_time[r] = time
        between = 1.0 * interval[r]
        if apart > 0.0:
            if between <= 0.0:
                between = apart
            elif apart > _GAP_MAX * between:
                apart = _GAP_MAX * between
            between = between + max(0.01, part) * (apart - between)
            interval[r] = between
        off = 0.0
        if bins > 0:
            into = time % DAY_NS
            cell = into * bins // DAY_NS
            at = bin_first + cell
            mean = 1.0 * clock_mean[at]
            if mean != mean:
                clock_mean[at] = x
                clock_deviation[at] = typical
            else:
                wide = 1.0 * clock_deviation[at]
                unit = 0.5 * (wide + typical)
                gap = x - mean
                if abs(gap) >= unit * _RATIO_MAX:
                    if gap > 0.0:
                        off = _RATIO_MAX
                    if gap < 0.0:
                        off = -_RATIO_MAX
                else:
                    off = gap / unit
                # One visit to a bin is to count alike whether it brings 6 samples or 1800; the first day is a plain mean.
                visit = 1.0
                known = 1.0
                if between > 0.0:
                    bin_s = _DAY_S / float(bins)
                    visit = max(1.0, bin_s / between)
                    days = float(int(float(n) * min(1.0, between / _DAY_S)))
                    within = max(0.0, float(into) * 1e-9 - float(cell) * bin_s)
                    known = days * visit + 1.0 + min(within / between, float(n))
                gain = min(1.0, max(_CLOCK_GAIN / visit, 1.0 / known))
                clock_mean[at] = mean + gain * gap
                clock_deviation[at] = wide + gain * (abs(gap) - wide)
        smooth = 1.0 * season[r]
        smooth = smooth + max(0.03125, part) * (off - smooth)
        season[r] = smooth

        # --- records ---------------------------------------------------------------------------------------------------
        grown = 0.0
        if x > high:
            grown = x - high
            value_high[r] = x
        if x < low:
            grown = low - x
            value_low[r] = x
        unit = _TOLERANCE * width
        most = 0.0
        if grown > 0.0:
            most = _EXCESS_MAX
            if grown < unit * _EXCESS_MAX:
                most = grown / unit
        which = _VALUE
        total = 0.0
        if most > 0.0:
            total = log_of(1.0 + most)
        e = stretch(first + _SPIKE - 1, x - level, channel_low, channel_high)
        if e > 0.0:
            total = total + log_of(1.0 + e)
            if e > most:
                most = e
                which = _SPIKE
        e = stretch(first + _DRIFT - 1, level - slow[r], channel_low, channel_high)
        if e > 0.0:
            total = total + log_of(1.0 + e)
            if e > most:
                most = e
                which = _DRIFT
        # The floor of a thousandth of the usual deviation keeps a value that stands still from records of rounding.
        square = min(max(square + 1e-6 * typical * typical, 1e-37), 1e38)
        if n < _SPREAD_AFTER:
            channel_low[first + _SPREAD - 1] = square
            channel_high[first + _SPREAD - 1] = square
        e = stretch_ratio(first + _SPREAD - 1, square, channel_low, channel_high)
        if e > 0.0:
            total = total + log_of(1.0 + e)
            if e > most:
                most = e
                which = _SPREAD
        if bins > 0:
            e = stretch(first + _SEASON - 1, smooth, channel_low, channel_high)
            if e > 0.0:
                total = total + log_of(1.0 + e)
                if e > most:
                    most = e
                    which = _SEASON
            e = stretch(first + _CLOCK - 1, off, channel_low, channel_high)
            if e > 0.0:
                total = total + log_of(1.0 + e)
                if e > most:
                    most = e
                    which = _CLOCK

        # --- the verdict -----------------------------------------------------------------------------------------------
        rate = 1.0 * budget[r]
        v = total / (rate + _FLOOR)
        budget[r] = rate + _BUDGET * (total - rate)
        if n < _COUNT_MAX:
            count[r] = n + 1
        if n < warmup[r]:
            alarm[d] = -1
            score[d] = NAN
            continue
        ago = since[r] + 0
        if ago < _COUNT_MAX:
            ago += 1
        before = 1.0 * best[r]
        starts = v > 0.0
        if ago <= hold[r] and v <= before:
            starts = False
        if ago <= mute[r] and before >= limit[r]:
            starts = False
        if starts:
            novelty[r] = v
            best[r] = v
            ago = 0
        since[r] = ago
        y = _HELD * (1.0 * held[r])
        if v > y:
            y = v
            channel[r] = which
            excess[r] = most
        held[r] = y
        score[d] = y
        alarming = 0
        if y >= limit[r]:
            alarming = 1
        alarm[d] = alarming
        alarms += alarming
    return alarms
