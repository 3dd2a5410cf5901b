"""The scores of the Skoltech Anomaly Benchmark: rows in alarm, and changepoints.

Source: Katser and Kozitsin 2020, doi 10.34740/KAGGLE/DSV/1693952, and the scoring of its leaderboard.
"""

from __future__ import annotations

import csv
import math
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
from msgspec import Struct

CALIBRATION = 400  # rows at each file's beginning that are not scored
WINDOW_S = 60.0
TAGS = 8
FLOW = 7  # the column of the pump's flow
_WEIGHTS = {"standard": (1.0, -0.11, -1.0), "low_fp": (1.0, -0.22, -1.0), "low_fn": (1.0, -0.11, -2.0)}
_STEPS = 1000


class Run(Struct, frozen=True):
    """One experiment. Without labels it is all sound."""

    name: str
    time_s: Any  # (rows,)
    values: Any  # (rows, 8)
    anomaly: Any  # 0/1
    changepoint: Any  # 0/1


class Rates(Struct, frozen=True):
    f1: float
    far: float  # % of sound rows in alarm
    mar: float  # % of anomalous rows not in alarm
    mcc: float


def load(folder: Path) -> tuple[list[Run], list[Run]]:
    """Return the labelled experiments, and the ones without an anomaly."""
    runs = [_run(path, folder) for path in sorted(folder.rglob("*.csv"))]
    return [run for run in runs if run.anomaly.any()], [run for run in runs if not run.anomaly.any()]


def _run(path: Path, folder: Path) -> Run:
    with path.open() as file:
        rows = list(csv.reader(file, delimiter=";"))[1:]
    cells = np.array([[float(x) for x in row[1:]] for row in rows])
    time_s = np.array([datetime.fromisoformat(row[0]).replace(tzinfo=UTC).timestamp() for row in rows])
    none = np.zeros(len(rows))
    has_labels = cells.shape[1] > TAGS
    labels = (cells[:, TAGS], cells[:, TAGS + 1]) if has_labels else (none, none)
    return Run(path.relative_to(folder).as_posix(), time_s, np.ascontiguousarray(cells[:, :TAGS]), *labels)


def rates(truths: Sequence[Any], alarms: Sequence[Any]) -> Rates:
    """Pool the rows of all runs."""
    truth, alarm = np.concatenate(truths) > 0, np.concatenate(alarms) > 0
    hit, false = float((truth & alarm).sum()), float((~truth & alarm).sum())
    missed, quiet = float((truth & ~alarm).sum()), float((~truth & ~alarm).sum())
    product = (hit + false) * (hit + missed) * (quiet + false) * (quiet + missed)
    return Rates(
        f1=hit / max(hit + 0.5 * (false + missed), 1.0),
        far=100.0 * false / max(false + quiet, 1.0),
        mar=100.0 * missed / max(missed + hit, 1.0),
        mcc=(hit * quiet - false * missed) / math.sqrt(product) if product else 0.0,
    )


def flips(alarm: Any) -> Any:
    """Rows where an alarm begins or ends: the changepoints a detector of rows says."""
    return np.abs(np.diff((np.asarray(alarm) > 0).astype(int), prepend=0))


def changepoint_scores(times_s: Sequence[Any], truths: Sequence[Any], said: Sequence[Any]) -> dict[str, float]:
    """Return the NAB-like score of changepoints per profile: windows of 60 s from each, the later of two is cut."""
    totals = dict.fromkeys(_WEIGHTS, 0.0)
    count = 0
    for time_s, truth, points in zip(times_s, truths, said, strict=True):
        windows = _windows(time_s[np.asarray(truth) > 0])
        found, missed, false = _match(windows, time_s[np.asarray(points) > 0])
        count += len(windows)
        for profile, (hit, wrong, miss) in _WEIGHTS.items():
            totals[profile] += wrong * false + miss * missed + sum(_fall(place, hit, wrong) for place in found)
    return {
        profile: 100.0 * (totals[profile] - miss * count) / (count * (hit - miss))
        for profile, (hit, _, miss) in _WEIGHTS.items()
    }


def _windows(starts: Any) -> list[tuple[float, float]]:
    windows: list[tuple[float, float]] = []
    for start in starts:
        first = windows[-1][1] if windows and windows[-1][1] >= start else start
        windows.append((first, start + WINDOW_S))
    return windows


def _match(windows: list[tuple[float, float]], points: Any) -> tuple[list[float], int, int]:
    """Return where in its window each found changepoint was said (0 to 1), how many were missed, how many said in none."""
    used, found, missed = np.zeros(len(points), bool), [], 0
    for first, last in windows:
        inside = (points >= first) & (points <= last)
        used |= inside
        if inside.any():
            found.append(float((points[inside][0] - first) / (last - first)))
        else:
            missed += 1
    return found, missed, int((~used).sum())


def _fall(place: float, hit: float, wrong: float) -> float:
    """From `hit` at the left edge to `wrong` at the right, along a tanh."""
    angle = -math.pi / 2 + math.pi * min(int(place * _STEPS), _STEPS - 1) / (_STEPS - 1)
    return (hit - wrong) / 2 * -math.tanh(angle) / math.tanh(math.pi / 2) + (hit - wrong) / 2 + wrong


def auc(scores: Any, labels: Any) -> float:
    """Return the chance that an anomalous row scores above a sound one; ties count half."""
    scores, positive = np.asarray(scores, float), np.asarray(labels) > 0
    ordered = np.sort(scores[~positive])
    below = np.searchsorted(ordered, scores[positive], side="left")
    upto = np.searchsorted(ordered, scores[positive], side="right")
    return float(np.mean(below + upto) / 2 / max(len(ordered), 1))
