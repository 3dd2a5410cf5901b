"""The score of the Numenta Anomaly Benchmark, written from its published definition.

Source: Lavin and Ahmad 2015, "Evaluating Real-time Anomaly Detection Algorithms"; Ahmad et al. 2017, Neurocomputing 262.
"""

from __future__ import annotations

import csv
import json
import math
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
from msgspec import Struct

FAR_PAST_A_WINDOW = 3.0  # in widths: from there on a false alarm costs all it can


class Profile(Struct, frozen=True):
    """What a window found, a false row and a window missed weigh."""

    found: float
    false: float
    missed: float


PROFILES = {"standard": Profile(1.0, 0.11, 1.0), "low_fp": Profile(1.0, 0.22, 1.0), "low_fn": Profile(1.0, 0.11, 2.0)}


class Series(Struct, frozen=True):
    """One file: what is measured, and where its labels say something happened (first and last row of each window)."""

    name: str
    time_ns: Sequence[int]
    values: Sequence[float]
    windows: tuple[tuple[int, int], ...]

    def labels(self) -> Any:
        """0/1 per row."""
        marked = np.zeros(len(self.values), np.int64)
        for first, last in self.windows:
            marked[first : last + 1] = 1
        return marked


class NabScore(Struct, frozen=True):
    """A score, 0 = no alarm at all, 100 = every window at its first row and nothing else."""

    score: float
    threshold: float
    false_rows: int
    found: int
    windows: int
    raw: float  # before it is brought to 0..100


def load(folder: Path) -> list[Series]:
    """Read every series of a NAB folder that is there. Its labels: `windows.json`, here or as in the NAB repository."""
    labels = next(iter([*folder.rglob("windows.json"), *folder.rglob("combined_windows.json")]))
    found = []
    for name, windows in sorted(json.loads(labels.read_text()).items()):
        path = next((p for p in (folder / name, folder / "data" / name) if p.exists()), None)
        if path is not None:
            found.append(_series(name, path, windows))
    return found


def _series(name: str, path: Path, windows: Sequence[Sequence[str]]) -> Series:
    with path.open() as file:
        rows = [(_stamp(row[0]), float(row[1])) for row in list(csv.reader(file))[1:]]
    first_row: dict[int, int] = {}
    for number, (stamp, _) in enumerate(rows):
        first_row.setdefault(stamp, number)
    spans = tuple((first_row[_stamp(first)], first_row[_stamp(last)]) for first, last in windows)
    return Series(name, [stamp for stamp, _ in rows], [x for _, x in rows], spans)


def _stamp(text: str) -> int:
    return int(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()) * 1_000_000_000


def probation(rows: int) -> int:
    """Rows at a file's beginning that are not scored."""
    return math.ceil(min(math.floor(0.15 * rows), 0.15 * 5000))


def sigmoid(position: float) -> float:
    """Worth of a row by its place: -1 the left edge of a window, 0 its right edge, in widths after that."""
    return -1.0 if position > FAR_PAST_A_WINDOW else 2.0 / (1.0 + math.exp(5.0 * position)) - 1.0


def worth(rows: int, windows: Sequence[tuple[int, int]]) -> tuple[Any, Any]:
    """Return of each row its unweighted worth, and the window it lies in: -1 none, -2 not scored."""
    value, window = np.full(rows, -1.0), np.full(rows, -1)
    for number, (first, last) in enumerate(windows):
        width = float(last - first + 1)
        for row in range(first, last + 1):
            value[row] = sigmoid(-(last - row + 1) / width) / sigmoid(-1.0)
            window[row] = number
        until = windows[number + 1][0] if number + 1 < len(windows) else rows
        for row in range(last + 1, until):
            value[row] = sigmoid((row - last) / (width - 1.0))
    window[: probation(rows)] = -2
    return value, window


class Corpus:
    """The scored rows of some series, one after the other."""

    def __init__(self, series: Sequence[Series]) -> None:
        parts, self.windows = [], 0
        for one in series:
            value, window = worth(len(one.values), one.windows)
            parts.append((one.name, value, np.where(window >= 0, window + self.windows, window)))
            self.windows += len(one.windows)
        self._names = [(name, window != -2) for name, _, window in parts]
        self._value = np.concatenate([value[window != -2] for _, value, window in parts])
        self._window = np.concatenate([window[window != -2] for _, _, window in parts])

    def score(self, scores: Mapping[str, Any], profile: str, threshold: float | None = None) -> NabScore:
        """Score rows at or above a threshold; without one, as the official score does, at the one that is best here."""
        weights = PROFILES[profile]
        said = np.concatenate([np.asarray(scores[name], float)[is_scored] for name, is_scored in self._names])
        if threshold is None:
            threshold = self._best(said, weights)
        best, false_sum, false_rows = self._found(said, weights, threshold)
        raw = best.sum() + false_sum
        if not self.windows:
            return NabScore(math.nan, threshold, false_rows, 0, 0, float(raw))
        score = 100.0 * (raw + weights.missed * self.windows) / (self.windows * (weights.found + weights.missed))
        found = int((best > -weights.missed).sum())
        return NabScore(float(score), threshold, false_rows, found, self.windows, float(raw))

    def _found(self, said: Any, weights: Profile, threshold: float) -> tuple[Any, float, int]:
        best = np.full(self.windows, -weights.missed)
        over = said >= threshold
        inside = over & (self._window >= 0)
        np.maximum.at(best, self._window[inside], weights.found * self._value[inside])
        outside = over & (self._window < 0)
        return best, weights.false * float(self._value[outside].sum()), int(outside.sum())

    def _best(self, said: Any, weights: Profile) -> float:
        """Sweep every score from the greatest down. Zeros are no alarms of anybody, and come last."""
        order = np.argsort(-said, kind="stable")
        total, best, best_threshold = 0.0, 0.0, math.inf
        found: dict[int, float] = {}
        values, windows, ordered = self._value[order].tolist(), self._window[order].tolist(), said[order].tolist()
        for place, (value, window, threshold) in enumerate(zip(values, windows, ordered, strict=True)):
            if window < 0:
                total += weights.false * value
            else:
                gained = weights.found * value
                before = found.get(window, -weights.missed)
                if gained > before:
                    total += gained - before
                    found[window] = gained
            is_last_of_its_score = place + 1 == len(ordered) or ordered[place + 1] != threshold
            if is_last_of_its_score and total > best:
                best, best_threshold = total, threshold
        return best_threshold
