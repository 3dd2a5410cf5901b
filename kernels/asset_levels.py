"""Levels of an asset's tags: does any of them stand where it did not stand while the asset was learnt?"""

from __future__ import annotations

import math

from kernels.columns import F8, I8
from kernels.logarithm import log_of
from kernels.order import sort
from kernels.status import NAN
from kernels.table import ERROR_BOUNDS

# What follows was chosen on the development half of the data sets; docs/anomaly.md says how flat it is around.
FAST = 0.2
SLOW = 0.05
SMOOTH = 0.2
ADAPT = 0.001  # part by which what is usual follows the plant from row to row while nothing alarms
QUANTILE = 0.99
SETTLE = 20  # rows before an EWMA counts
SETTLE_SCORE = 60  # rows before a smoothed score counts
CALIBRATION_MIN = 100
CALIBRATION_MAX = 100_000
MEMBERS_MAX = 1000
MAGNITUDE_MAX = 1e18
_Z_MAX = 1e4
_REACH = 32.0  # scales that a level is followed for at most: one wild row, taken before anything alarms, must not stay
_NORMAL = 1.4826  # standard deviations in a median absolute deviation of normal noise
_SPREAD_MIN = 0.1  # of the standard deviation: a value that hardly ever moves has no median deviation


def taken(value: F8, tag: int) -> float:
    """Return a tag's value within the range whose squares are safe."""
    return min(max(value[tag], -MAGNITUDE_MAX), MAGNITUDE_MAX)


def far(x: float, middle: float, scale: float) -> float:
    """Return how many scales x lies from the middle, 0 where there is no scale."""
    if not scale > 0.0:
        return 0.0
    distance = abs(x - middle)
    if distance >= _Z_MAX * scale:
        return _Z_MAX
    return distance / scale


def followed(middle: float, level: float, scale: float) -> float:
    """Return the middle after it has followed the level; what lies beyond `_REACH` scales is a fault, not the plant."""
    reach = _REACH * scale
    return middle + ADAPT * min(max(level - middle, -reach), reach)


def asset_levels(
    value: F8,
    status: I8,
    fresh_mark: I8,
    asset_first: I8,
    asset_members: I8,
    asset_samples_first: I8,
    asset_calibration: I8,
    asset_count: I8,
    asset_mark: I8,
    asset_level: F8,
    asset_level_usual: F8,
    asset_level_ratio: F8,
    asset_score: F8,
    asset_alarm: I8,
    asset_furthest: I8,
    asset_z: F8,
    member_tag: I8,
    member_fast: F8,
    member_slow: F8,
    member_fast_middle: F8,
    member_fast_scale: F8,
    member_slow_middle: F8,
    member_slow_scale: F8,
    sample_value: F8,
    order_value: F8,
    assets: int,
    pass_number: int,
    tag_size: int,
    asset_size: int,
    member_size: int,
    sample_size: int,
    order_size: int,
) -> int:
    """Take one row of every asset of which a tag is fresh: learn it, or judge the levels of its tags.

    `value` (contract units), `status`, `fresh_mark` are (tag_size,); the asset's columns (asset_size,), its members the
    rows [first, first + members) of table member (member_size,), the rows learnt [samples_first, samples_first +
    calibration * members) of `sample_value` (sample_size,); `order_value` (order_size,) is scratch of at least
    `calibration` cells. The first `calibration` rows (100 to 100,000) are kept. Then, for each tag and for EWMAs of
    gain 0.2 and 0.05, `middle` is their median and `scale` 1.4826 median deviations, at least 0.1 standard deviations;
    a tag that did not move has scale 0 and is left out. From there on

        z = max |E - middle| / scale over tags and gains        level += 0.2 (log(1 + z) - level)

    and while the asset does not alarm each `middle` follows by 0.001 (E - middle), of at most 32 scales, so that a slow
    season is no anomaly, but an anomaly does not become the rule. `level_ratio` is `level` over `level_usual`, its 99 %
    quantile over the rows learnt. `furthest` is the tag row with the greatest z. An asset with `count` 0 learns anew. A
    row of which a tag is not Good or not finite changes nothing: `alarm` -1 and `score` NaN. `mark` is the pass number
    for `asset_distance` to go on from.

    Returns:
        Rows judged; ERROR_BOUNDS when an asset's rows are outside their tables, or its calibration outside its limits.

    Source: Roberts 1959 for the EWMA chart; Rousseeuw and Croux 1993, JASA 88(424) for median deviations.
    """
    if assets < 0 or assets > asset_size:
        return ERROR_BOUNDS
    judged = 0
    for a in range(assets):
        first = asset_first[a]
        members = asset_members[a]
        rows = asset_calibration[a]
        kept = asset_samples_first[a]
        if rows < CALIBRATION_MIN or rows > CALIBRATION_MAX or rows > order_size or members < 1:
            return ERROR_BOUNDS
        if members > MEMBERS_MAX or first < 0 or first > member_size - members:
            return ERROR_BOUNDS
        if kept < 0 or kept > sample_size - rows * members:
            return ERROR_BOUNDS
        is_fresh = 0
        is_bad = 0
        for j in range(first, first + members):
            tag = member_tag[j]
            if tag < 0 or tag >= tag_size:
                return ERROR_BOUNDS
            if fresh_mark[tag] == pass_number:
                is_fresh = 1
            if status[tag] >> 30 != 0 or value[tag] - value[tag] != 0.0:
                is_bad = 1
        if is_fresh == 0:
            continue
        if is_bad != 0:
            asset_alarm[a] = -1
            asset_score[a] = NAN
            continue
        count = asset_count[a]
        if count < rows:
            if count < 0:
                count = 0
            for j in range(members):
                sample_value[kept + count * members + j] = taken(value, member_tag[first + j])
            count += 1
            asset_count[a] = count
            asset_alarm[a] = -1
            asset_score[a] = NAN
            if count < rows:
                continue

            # --- learn: middle and scale of each tag's two EWMAs -----------------------------------------------------------
            settled = rows - SETTLE
            for j in range(members):
                for pace in range(2):
                    total = 0.0
                    middle = 0.0
                    scale = 0.0
                    spread = 0.0
                    for turn in range(3):
                        level = sample_value[kept + j]
                        for t in range(rows):
                            gain = FAST
                            if pace == 1:
                                gain = SLOW
                            level = level + max(gain, 1.0 / (float(t) + 1.0)) * (
                                sample_value[kept + t * members + j] - level
                            )
                            if t >= SETTLE:
                                if turn == 0:
                                    order_value[t - SETTLE] = level
                                    total = total + level
                                elif turn == 1:
                                    order_value[t - SETTLE] = abs(level - middle)
                                else:
                                    spread = spread + (level - total) * (level - total)
                        if turn < 2:
                            sort(order_value, settled)
                        if turn == 0:
                            middle = order_value[settled // 2]
                            total = total / float(settled)
                        if turn == 1:
                            scale = _NORMAL * order_value[settled // 2]
                    scale = max(scale, _SPREAD_MIN * math.sqrt(spread / float(settled)))
                    # Of a value that stood still the EWMA's own rounding is left: that is no scale.
                    if scale <= 1e-12 * abs(middle):
                        scale = 0.0
                    if pace == 0:
                        member_fast_middle[first + j] = middle
                        member_fast_scale[first + j] = scale
                    else:
                        member_slow_middle[first + j] = middle
                        member_slow_scale[first + j] = scale
                member_fast[first + j] = sample_value[kept + j]
                member_slow[first + j] = sample_value[kept + j]

            # --- and what levels are usual, by going through the rows as through new ones --------------------------------
            level = 0.0
            for t in range(rows):
                part = 1.0 / (float(t) + 1.0)
                z = 0.0
                for j in range(members):
                    m = first + j
                    x = sample_value[kept + t * members + j]
                    member_fast[m] = member_fast[m] + max(FAST, part) * (x - member_fast[m])
                    member_slow[m] = member_slow[m] + max(SLOW, part) * (x - member_slow[m])
                    z = max(z, far(member_fast[m], member_fast_middle[m], member_fast_scale[m]))
                    z = max(z, far(member_slow[m], member_slow_middle[m], member_slow_scale[m]))
                level = level + SMOOTH * (log_of(1.0 + z) - level)
                if t >= SETTLE_SCORE:
                    order_value[t - SETTLE_SCORE] = level
            sort(order_value, rows - SETTLE_SCORE)
            asset_level_usual[a] = order_value[int(QUANTILE * float(rows - SETTLE_SCORE - 1))]
            asset_level[a] = level
            asset_level_ratio[a] = NAN
            asset_mark[a] = pass_number
            continue

        # --- judge ---------------------------------------------------------------------------------------------------------
        z = 0.0
        furthest = member_tag[first]
        for m in range(first, first + members):
            x = taken(value, member_tag[m])
            fast = member_fast[m] + FAST * (x - member_fast[m])
            slow = member_slow[m] + SLOW * (x - member_slow[m])
            member_fast[m] = fast
            member_slow[m] = slow
            far_fast = far(fast, member_fast_middle[m], member_fast_scale[m])
            far_slow = far(slow, member_slow_middle[m], member_slow_scale[m])
            further = max(far_fast, far_slow)
            if further > z:
                z = further
                furthest = member_tag[m]
            if asset_alarm[a] != 1:
                member_fast_middle[m] = followed(member_fast_middle[m], fast, member_fast_scale[m])
                member_slow_middle[m] = followed(member_slow_middle[m], slow, member_slow_scale[m])
        level = asset_level[a] + SMOOTH * (log_of(1.0 + z) - asset_level[a])
        asset_level[a] = level
        ratio = 0.0
        if asset_level_usual[a] > 0.0:
            ratio = level / asset_level_usual[a]
        asset_level_ratio[a] = ratio
        asset_furthest[a] = furthest
        asset_z[a] = z
        asset_count[a] = count + 1
        asset_mark[a] = pass_number
        judged += 1
    return judged
