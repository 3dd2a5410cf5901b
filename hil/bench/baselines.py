"""What a detector must beat to be worth its bytes: one-liners, and one that reads no data at all."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

CLOCK_ROWS = 600
TOLERANCE = 0.05
WARM_UP = 256  # as for the committee: rows that nobody is judged by


def clock(values: Sequence[float]) -> Any:
    """Alarm every 600 rows, whatever is measured."""
    said = np.zeros(len(values))
    said[CLOCK_ROWS - 1 :: CLOCK_ROWS] = 1.0
    return said


def range_record(values: Sequence[float]) -> Any:
    """How far a value breaks the range of all before it, in units of 5 % of that range."""
    said = np.zeros(len(values))
    low = high = values[0]
    for row, x in enumerate(values):
        unit = TOLERANCE * (high - low)
        grown = max(x - high, low - x, 0.0)
        said[row] = min(grown / unit, 1e6) if unit > 0.0 else 0.0
        low, high = min(low, x), max(high, x)
    said[:WARM_UP] = 0.0
    return said


def z_score(values: Sequence[float]) -> Any:
    """|z| by an EWMA of gain 0.005."""
    said = np.zeros(len(values))
    mean, variance = values[0], 0.0
    for row, x in enumerate(values):
        gain = max(0.005, 1.0 / (row + 1.0))
        away = x - mean
        said[row] = abs(away) / np.sqrt(variance) if variance > 0.0 else 0.0
        mean += gain * away
        variance += gain * (away * away * (1.0 - gain) - variance)
    said[:WARM_UP] = 0.0
    return said


BASELINES: dict[str, Callable[[Sequence[float]], Any]] = {
    "clock": clock,
    "range_record": range_record,
    "z_score": z_score,
}


def hold_off(scores: Any, rows: int) -> Any:
    """Our hold-off for everybody: a score passes only if it is above the last that passed, for so many rows."""
    out, best, left = np.zeros(len(scores)), 0.0, 0
    for row, score in enumerate(np.asarray(scores).tolist()):
        if left > 0 and score <= best:
            left -= 1
            continue
        out[row] = score
        best, left = (score, rows) if score > 0.0 else (0.0, 0)
    return out


def peak_hold(scores: Any, kept: float) -> Any:
    """Our persistence for everybody: a score fades by a factor per row."""
    out, held = np.zeros(len(scores)), 0.0
    for row, score in enumerate(np.asarray(scores).tolist()):
        held = max(score, kept * held)
        out[row] = held
    return out


def flow_only(values: Any, calibration: int, gain: float = 0.05) -> Any:
    """|z| of one column's EWMA against the rows it was calibrated on."""
    level = values[0]
    levels = np.empty(len(values))
    for row, x in enumerate(values.tolist()):
        level += max(gain, 1.0 / (row + 1.0)) * (x - level)
        levels[row] = level
    settled = levels[20:calibration]
    return np.abs(levels - settled.mean()) / (settled.std() + 1e-9)
