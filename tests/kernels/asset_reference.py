"""Assets for the tests of their two kernels, and what the two share in their slow references."""

from __future__ import annotations

import math
import random
from collections.abc import Iterator

from kernels.logarithm import log_of
from tests.kernels.harness import Columns

ROWS = 100  # the shortest calibration
SETTLE, SETTLE_SCORE = 20, 60


def asset(members: int, *, rows: int = ROWS, limit: float = 1.65) -> Columns:
    """The columns of one asset of the first `members` tags, for either kernel."""
    return {
        "tag.value": [0.0] * members,
        "tag.status": [0] * members,
        "tag.fresh_mark": [0] * members,
        "asset.members": [members],
        "asset.calibration": [rows],
        "asset.limit": [limit],
        "asset.distance_limit": [2.2],
        "member.tag": list(range(members)),
        "sample.value": [0.0] * (rows * members),
        "factor.value": [0.0] * (members * (members + 1) // 2),
        "order.value": [0.0] * rows,
    }


def plant(count: int, seed: int = 4) -> list[list[float]]:
    """Rows of three tags: the second follows the first, the third goes its own way."""
    rng, rows, level = random.Random(seed), [], 0.0
    for _ in range(count):
        level += 0.3 * (rng.gauss(0.0, 1.0) - level)
        rows.append([50.0 + level, 10.0 + 0.5 * level + rng.gauss(0.0, 0.02), 3.0 + rng.gauss(0.0, 0.1)])
    return rows


def ewma(values: list[float], gain: float) -> Iterator[float]:
    level = values[0]
    for t, x in enumerate(values):
        level = level + max(gain, 1.0 / (t + 1.0)) * (x - level)
        yield level


def smoothed(terms: list[float]) -> list[float]:
    """EWMA of gain 0.2 of log(1 + term), from 0."""
    level, seen = 0.0, []
    for term in terms:
        level = level + 0.2 * (log_of(1.0 + term) - level)
        seen.append(level)
    return seen


def usual(scores: list[float]) -> float:
    settled = sorted(scores[SETTLE_SCORE:])
    return settled[int(0.99 * (len(settled) - 1))]


def far(x: float, middle: float, scale: float) -> float:
    if not scale > 0.0:
        return 0.0
    return abs(x - middle) / scale if abs(x - middle) < 1e4 * scale else 1e4


def clamped(x: float) -> float:
    return min(max(x, -1e18), 1e18)


def is_usable(x: float, status: int) -> bool:
    return status >> 30 == 0 and math.isfinite(x)
