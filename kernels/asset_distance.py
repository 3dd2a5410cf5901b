"""Distance of an asset's tags from what they were together while it was learnt, and the verdict on the asset."""

from __future__ import annotations

import math

from kernels.asset_levels import (
    ADAPT,
    CALIBRATION_MAX,
    CALIBRATION_MIN,
    FAST,
    MEMBERS_MAX,
    QUANTILE,
    SETTLE,
    SETTLE_SCORE,
    SMOOTH,
)
from kernels.columns import F8, I8
from kernels.logarithm import log_of
from kernels.order import sort
from kernels.status import NAN
from kernels.table import ERROR_BOUNDS

_RIDGE = 1e-3  # of a tag's own variance, added to it: tags that say the same must not divide by nothing
_RELEASE = 0.95  # part of a limit at which an alarm ends
_WHITE_MAX = 1e15


def whiten(m: int, i: int, first: int, triangle: int, centred: float, factor: F8, white: F8) -> float:
    """Solve row `i` of L w = x - mean into `white[m]`; return w squared. A tag that did not move has no part in it."""
    row = triangle + i * (i + 1) // 2
    if not factor[row + i] > 0.0:
        white[m] = 0.0
        return 0.0
    rest = centred
    for j in range(i):
        rest = rest - factor[row + j] * white[first + j]
    w = rest / factor[row + i]
    w = min(max(w, -_WHITE_MAX), _WHITE_MAX)
    white[m] = w
    return w * w


def asset_distance(
    asset_first: I8,
    asset_members: I8,
    asset_samples_first: I8,
    asset_factor_first: I8,
    asset_calibration: I8,
    asset_limit: F8,
    asset_distance_limit: F8,
    asset_count: I8,
    asset_mark: I8,
    asset_level_ratio: F8,
    asset_distance: F8,
    asset_distance_usual: F8,
    asset_distance_ratio: F8,
    asset_score: F8,
    asset_alarm: I8,
    member_fast: F8,
    member_mean: F8,
    member_white: F8,
    sample_value: F8,
    factor_value: F8,
    order_value: F8,
    assets: int,
    pass_number: int,
    asset_size: int,
    member_size: int,
    sample_size: int,
    factor_size: int,
    order_size: int,
) -> int:
    """Judge every asset that `asset_levels` has just judged by all its tags together, and by both.

    Columns as in `asset_levels`; `factor_value` (factor_size,) holds the lower triangle of the Cholesky factor L, row
    by row, from `factor_first`. When the rows are learnt, `mean` and L L' are those of the tags' EWMAs of gain 0.2, with
    0.1 % of each variance added to it. With w from L w = E - mean, over D tags,

        distance += 0.2 (log(1 + sqrt(w'w / D)) - distance)        score = (level_ratio + distance_ratio) / 2

    `distance_ratio` is `distance` over `distance_usual`, its 99 % quantile over the rows learnt. All directions count,
    the ones with the least variance most: Hotelling's T2 and the residual Q of a PCA in one. `alarm` becomes 1 when the
    score reaches `limit` or `distance_ratio` alone `distance_limit`, and ends when both are under 0.95 of theirs.
    While there is none `mean` follows by 0.001 (E - mean).

    Returns:
        Assets that alarm; ERROR_BOUNDS when an asset's rows are outside their tables.

    Source: Hotelling 1947; Lowry et al. 1992, Technometrics 34(1) for the distance of an EWMA.
    """
    if assets < 0 or assets > asset_size:
        return ERROR_BOUNDS
    alarms = 0
    for a in range(assets):
        if asset_mark[a] != pass_number:
            continue
        first = asset_first[a]
        members = asset_members[a]
        rows = asset_calibration[a]
        kept = asset_samples_first[a]
        triangle = asset_factor_first[a]
        if rows < CALIBRATION_MIN or rows > CALIBRATION_MAX or rows > order_size or members < 1:
            return ERROR_BOUNDS
        if members > MEMBERS_MAX or first < 0 or first > member_size - members:
            return ERROR_BOUNDS
        if kept < 0 or kept > sample_size - rows * members:
            return ERROR_BOUNDS
        if triangle < 0 or triangle > factor_size - members * (members + 1) // 2:
            return ERROR_BOUNDS
        size = float(members)
        if asset_count[a] == rows:
            settled = float(rows - SETTLE)
            distance = 0.0
            for turn in range(3):
                for t in range(rows):
                    square = 0.0
                    for i in range(members):
                        m = first + i
                        x = sample_value[kept + t * members + i]
                        # `fast` is already where the last row left it; here it goes through the same once more.
                        if t == 0:
                            member_fast[m] = x
                        else:
                            member_fast[m] = member_fast[m] + max(FAST, 1.0 / (float(t) + 1.0)) * (x - member_fast[m])
                        if turn == 0:
                            if t == SETTLE:
                                member_mean[m] = member_fast[m] / settled
                            elif t > SETTLE:
                                member_mean[m] = member_mean[m] + member_fast[m] / settled
                        elif turn == 1:
                            member_white[m] = member_fast[m] - member_mean[m]
                            if t >= SETTLE:
                                row = triangle + i * (i + 1) // 2
                                for j in range(i + 1):
                                    part = member_white[m] * member_white[first + j] / settled
                                    if t > SETTLE:
                                        part = part + factor_value[row + j]
                                    factor_value[row + j] = part
                        else:
                            square = square + whiten(
                                m, i, first, triangle, member_fast[m] - member_mean[m], factor_value, member_white
                            )
                    if turn == 2:
                        distance = distance + SMOOTH * (log_of(1.0 + math.sqrt(square / size)) - distance)
                        if t >= SETTLE_SCORE:
                            order_value[t - SETTLE_SCORE] = distance
                if turn == 1:
                    for i in range(members):
                        row = triangle + i * (i + 1) // 2
                        own = factor_value[row + i]
                        least = 1e-12 * abs(member_mean[first + i])
                        for j in range(i + 1):
                            other = triangle + j * (j + 1) // 2
                            rest = factor_value[row + j]
                            if i == j:
                                rest = rest + _RIDGE * own
                            for k in range(j):
                                rest = rest - factor_value[row + k] * factor_value[other + k]
                            if i == j:
                                factor_value[row + i] = 0.0
                                if own > least * least and rest > 0.0:
                                    factor_value[row + i] = math.sqrt(rest)
                            elif factor_value[other + j] > 0.0:
                                factor_value[row + j] = rest / factor_value[other + j]
                            else:
                                factor_value[row + j] = 0.0
            sort(order_value, rows - SETTLE_SCORE)
            asset_distance_usual[a] = order_value[int(QUANTILE * float(rows - SETTLE_SCORE - 1))]
            asset_distance[a] = distance
            asset_distance_ratio[a] = NAN
            continue
        square = 0.0
        for i in range(members):
            m = first + i
            square = square + whiten(m, i, first, triangle, member_fast[m] - member_mean[m], factor_value, member_white)
        distance = asset_distance[a] + SMOOTH * (log_of(1.0 + math.sqrt(square / size)) - asset_distance[a])
        asset_distance[a] = distance
        ratio = 0.0
        if asset_distance_usual[a] > 0.0:
            ratio = distance / asset_distance_usual[a]
        asset_distance_ratio[a] = ratio
        score = 0.5 * (asset_level_ratio[a] + ratio)
        asset_score[a] = score
        least = 1.0
        if asset_alarm[a] == 1:
            least = _RELEASE
        alarming = 0
        if score >= least * asset_limit[a] or ratio >= least * asset_distance_limit[a]:
            alarming = 1
        asset_alarm[a] = alarming
        alarms += alarming
        if alarming == 0:
            for m in range(first, first + members):
                member_mean[m] = member_mean[m] + ADAPT * (member_fast[m] - member_mean[m])
    return alarms
