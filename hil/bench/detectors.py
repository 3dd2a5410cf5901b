"""The detectors as the daemon runs them: the compiled kernels, fed row by row. What they are measured against, too."""

from __future__ import annotations

import time
from array import array
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from msgspec import Struct

from gatewayd.compiled import load_kernels
from gatewayd.core.detect.defaults import ASSET, COMMITTEE
from gatewayd.core.detectors import CATALOGUE
from gatewayd.core.kernels import FORMATS, Kernels
from gatewayd.model.detectors import AssetDetect
from gatewayd.model.detectors import Committee as CommitteeSettings
from kernels.table import CHANNELS, TABLES

_SIZES = {"f8": 8, "f4": 4, "i8": 8, "i4": 4, "u1": 1}
Columns = dict[str, memoryview]


class Scores(Struct, frozen=True):
    """What a detector said of each row."""

    event: Any  # float64; > 0 where something starts
    level: Any  # float64; the score with its persistence


def tables(rows: Mapping[str, int]) -> Columns:
    """Allocate every table of the kernels with as many rows as said, none for the others."""
    return {
        f"{table}.{name}": memoryview(array(FORMATS[kind], bytes(_SIZES[kind] * rows.get(table, 0))))
        for table, columns in TABLES.items()
        for name, kind in columns
    }


def committee_tables(tags: int, settings: CommitteeSettings) -> Columns:
    """Bind one committee to each of `tags` tags, all on the fresh list."""
    bins = settings.clock_bins
    sizes = {
        "fresh": tags,
        "tag": tags,
        "committee": tags,
        "detector": tags,
        "channel": CHANNELS * tags,
        "clock": bins * tags,
    }
    columns = tables(sizes)
    for row in range(tags):
        columns["fresh.row"][row] = columns["tag.committee_row"][row] = columns["committee.detector"][row] = row
        columns["committee.clock_first"][row] = bins * row
        for name in ("limit", "warmup", "hold", "mute", "clock_bins"):
            columns[f"committee.{name}"][row] = getattr(settings, name)
    return columns


class Committee:
    """The record committee over one series at a time."""

    def __init__(self, settings: CommitteeSettings = COMMITTEE, kernels: Kernels | None = None) -> None:
        self._columns = committee_tables(1, settings)
        self._judge = (kernels or load_kernels("aot")).bind("committee", self._columns)

    def scores(self, time_ns: Sequence[int], values: Sequence[float]) -> Scores:
        columns, judge = self._columns, self._judge
        columns["committee.count"][0] = 0
        value, source_time = columns["tag.value"], columns["tag.source_time"]
        novelty, score = columns["committee.novelty"], columns["detector.score"]
        event, level = np.zeros(len(values)), np.zeros(len(values))
        for row, (when, x) in enumerate(zip(time_ns, values, strict=True)):
            value[0], source_time[0] = x, when
            judge(1)
            event[row], level[row] = novelty[0], score[0]
        return Scores(event, np.nan_to_num(level, nan=0.0))


def bytes_per_tag(settings: CommitteeSettings = COMMITTEE) -> int:
    """Return the bytes of state one committee keeps, its ranges and its profile of the day with it."""
    kinds, names = dict(TABLES["committee"]), [each.name for each in CATALOGUE]
    own = sum(_SIZES[kinds[name]] for name in CATALOGUE[names.index("committee")].learned)
    ranges = CHANNELS * sum(_SIZES[kind] for _, kind in TABLES["channel"])
    return own + ranges + settings.clock_bins * sum(_SIZES[kind] for _, kind in TABLES["clock"])


def ns_per_sample(settings: CommitteeSettings = COMMITTEE, *, tags: int = 1000, rounds: int = 600) -> float:
    """Return ns per sample of a call over many tags at once, as a cycle makes it: best of 5 medians, warmed up."""
    columns = committee_tables(tags, settings)
    judge = load_kernels("aot").bind("committee", columns)
    noise = np.random.default_rng(7).normal(20.0, 1.0, (64, tags))
    value, source_time = np.asarray(columns["tag.value"]), np.asarray(columns["tag.source_time"])
    took = []
    for turn in range(settings.warmup + rounds):
        value[:] = noise[turn % 64]
        source_time[:] = turn * 300_000_000_000
        started = time.perf_counter_ns()
        judge(tags)
        took.append((time.perf_counter_ns() - started) / tags)
    parts = np.array_split(np.array(took[settings.warmup :]), 5)
    return float(min(np.median(part) for part in parts))


class AssetScores(Struct, frozen=True):
    """What the asset detectors said of each row; NaN while they learn."""

    level: Any  # level_ratio
    distance: Any  # distance_ratio
    score: Any
    alarm: Any  # bool


class Asset:
    """The asset detectors over one asset of `members` tags."""

    def __init__(self, members: int, settings: AssetDetect = ASSET, kernels: Kernels | None = None) -> None:
        rows = settings.calibration
        sizes = {"tag": members, "asset": 1, "member": members, "sample": rows * members, "order": rows}
        columns = tables(sizes | {"factor": members * (members + 1) // 2})
        for name in ("calibration", "limit", "distance_limit"):
            columns[f"asset.{name}"][0] = getattr(settings, name)
        columns["asset.members"][0] = members
        for member in range(members):
            columns["member.tag"][member] = member
        kernels = kernels or load_kernels("aot")
        self._columns = columns
        self._levels = kernels.bind("asset_levels", columns)
        self._distance = kernels.bind("asset_distance", columns)

    def scores(self, rows: Any) -> AssetScores:
        """Go through an array (rows, members)."""
        columns = self._columns
        columns["asset.count"][0] = 0
        value, fresh_mark = np.asarray(columns["tag.value"]), columns["tag.fresh_mark"]
        said = np.zeros((4, len(rows)))
        for turn, row in enumerate(rows, start=1):
            value[:] = row
            fresh_mark[0] = turn
            self._levels(1, turn)
            self._distance(1, turn)
            said[:, turn - 1] = (
                columns["asset.level_ratio"][0],
                columns["asset.distance_ratio"][0],
                columns["asset.score"][0],
                columns["asset.alarm"][0] == 1,
            )
        return AssetScores(said[0], said[1], said[2], said[3] > 0.0)

    def ns_per_row(self, rows: Any) -> float:
        """Return ns per row of both kernels, learning left out: median over the rows after the calibration."""
        columns, took = self._columns, []
        value, fresh_mark = np.asarray(columns["tag.value"]), columns["tag.fresh_mark"]
        columns["asset.count"][0] = 0
        for turn, row in enumerate(rows, start=1):
            value[:] = row
            fresh_mark[0] = turn
            started = time.perf_counter_ns()
            self._levels(1, turn)
            self._distance(1, turn)
            took.append(time.perf_counter_ns() - started)
        return float(np.median(took[columns["asset.calibration"][0] :]))
