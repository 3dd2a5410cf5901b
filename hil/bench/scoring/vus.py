"""VUS-PR: the volume under the precision-recall surface over widths of a tolerance around each labelled stretch.

Source: Paparrizos et al. 2022, PVLDB 15(11); Liu and Paparrizos 2024 (TSB-AD), whose scores it reproduces.
"""

from __future__ import annotations

from typing import Any

import numpy as np

THRESHOLDS = 250


def stretches(labels: Any) -> list[tuple[int, int]]:
    """First and last row of every run of labelled rows."""
    edges = np.diff(np.concatenate(([0], (np.asarray(labels) > 0).astype(np.int8), [0])))
    return list(zip(np.flatnonzero(edges == 1).tolist(), (np.flatnonzero(edges == -1) - 1).tolist(), strict=True))


def vus_pr(scores: Any, labels: Any, tolerance: int) -> float:
    """Return the mean over tolerances 0 to `tolerance` rows of the area under precision and range recall; NaN unlabelled."""
    scores, labels = np.asarray(scores, float), (np.asarray(labels) > 0).astype(float)
    spans = stretches(labels)
    if not spans:
        return float("nan")
    order = np.argsort(-scores, kind="stable")
    ordered = scores[order]
    picks = ((len(scores) - 1) * np.arange(THRESHOLDS) / (THRESHOLDS - 1)).astype(int)
    alarms = np.searchsorted(-ordered, -ordered[picks], side="right")  # rows at or above each threshold
    areas = [_area(order, alarms, labels, spans, width) for width in range(tolerance + 1)]
    return float(np.mean(areas))


def _area(order: Any, alarms: Any, labels: Any, spans: list[tuple[int, int]], width: int) -> float:
    soft, group = _softened(labels, spans, width)
    hits = np.cumsum(soft[order])[alarms - 1]
    margins = np.cumsum(np.where(labels[order] > 0, 0.0, soft[order]))[alarms - 1]
    met = _groups_met(order, group, alarms)
    recall = np.minimum(hits / (labels.sum() + 0.5 * margins), 1.0) * met / (group.max() + 1)
    return float(np.sum(np.diff(np.concatenate(([0.0], recall))) * hits / alarms))


def _softened(labels: Any, spans: list[tuple[int, int]], width: int) -> tuple[Any, Any]:
    """Labels that fade over half a width on both sides, and the merged stretch each row belongs to (-1 none)."""
    soft, group = labels.copy(), np.full(len(labels), -1)
    half, number, last_end = width // 2, -1, -2
    for first, last in spans:
        start, end = max(0, first - half), min(len(labels) - 1, last + half)
        before, after = np.arange(start, first), np.arange(last + 1, end + 1)
        if width:
            soft[before] = np.minimum(1.0, soft[before] + np.sqrt(1.0 - (first - before) / width))
            soft[after] = np.minimum(1.0, soft[after] + np.sqrt(1.0 - (after - last) / width))
        number += start > last_end + 1
        group[start : end + 1] = number
        last_end = end
    return soft, group


def _groups_met(order: Any, group: Any, alarms: Any) -> Any:
    """How many stretches have a row among the first so many of the order."""
    of_row = group[order]
    firsts = [np.flatnonzero(of_row == number)[0] for number in range(group.max() + 1)]
    return np.searchsorted(np.sort(firsts), alarms, side="left")
