"""How well the anomaly detectors find what people labelled, on the data folders the user names, and what they cost.

`python -m hil.bench anomaly --data DIR`: DIR holds any of `nab`, `skab`, `tep`. A set that is not there gives no figure.
docs/anomaly.md says how each figure is made, and what is wrong with the data sets.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from msgspec import Struct, structs

from gatewayd.core.detect.defaults import ASSET, COMMITTEE
from hil.bench.baselines import BASELINES, flow_only, hold_off
from hil.bench.detectors import Asset, Committee, Scores, bytes_per_tag, ns_per_sample
from hil.bench.goals import ceiling, floor, judged
from hil.bench.processes import BenchError
from hil.bench.rounds import say
from hil.bench.scoring import nab, skab, tep
from hil.bench.scoring.bootstrap import interval
from hil.bench.scoring.vus import vus_pr

GOALS = (
    floor("NAB standard", "nab_standard", "", 70.5),
    floor("NAB low FP", "nab_low_fp", "", 65.0),
    floor("NAB low FN", "nab_low_fn", "", 75.5),
    floor("NAB VUS-PR", "nab_vus_pr", "", 0.46),
    floor("SKAB F1, limit without labels", "skab_f1", "", 0.77),
    floor("SKAB MCC, limit without labels", "skab_mcc", "", 0.54),
    floor("TEP fault detection rate, %", "tep_fdr", "", 93.5),
    ceiling("TEP false alarms, %", "tep_far", "", 1.0),
    ceiling("ns per sample", "ns_per_sample", "", 50.0),
    ceiling("bytes per tag", "bytes_per_tag", "", 512.0),
)
NAB_TOLERANCE = 100  # rows, of VUS-PR
SKAB_TOLERANCE = 60
FOLDS = 10
TEP_FAR = 1.0  # %


class Size(Struct, frozen=True):
    """How much is measured."""

    draws: int  # of the bootstrap
    rounds: int  # of the timing
    tolerance: int = NAB_TOLERANCE


FULL = Size(draws=1000, rounds=3000)
QUICK = Size(draws=100, rounds=300)


class Report:
    """What came out: figures, and in `settings` what they need to be read."""

    def __init__(self) -> None:
        self.figures: dict[str, float] = {}
        self.settings: dict[str, Any] = {"intervals_95": {}}

    def put(self, name: str, value: float, within: tuple[float, float] | None = None) -> None:
        """Take one figure; NaN means that there was nothing to make it of."""
        if value == value:
            self.figures[name] = float(value)
            if within is not None:
                self.settings["intervals_95"][name] = [round(end, 4) for end in within]


def run(*, quick: bool, data: Path, peers: bool = False) -> dict[str, Any]:
    """Score every set that is in the folder.

    Raises:
        BenchError: none of them is.
    """
    size, report = QUICK if quick else FULL, Report()
    report.settings |= {
        "quick": quick,
        "committee": structs.asdict(COMMITTEE),
        "asset": structs.asdict(ASSET),
        "data": {},
    }
    sets: dict[str, Callable[[Path, Size, Report], None]] = {"nab": score_nab, "skab": score_skab, "tep": score_tep}
    for name, score in sets.items():
        if (data / name).is_dir():
            say(f"{name}: scoring")
            report.settings["data"][name] = fingerprint(data / name)
            score(data / name, size, report)
    if not report.settings["data"]:
        raise BenchError(f"{data} holds none of {', '.join(sets)}; name the folder that does with --data")
    measure_costs(size, report)
    if peers and (data / "nab").is_dir():
        from hil.bench.peers.streaming import add_peers

        add_peers(nab.load(data / "nab"), report, quick=quick)
    rows = judged(GOALS, report.figures)
    return {"figures": report.figures, "settings": report.settings, "goals": rows}


def fingerprint(folder: Path) -> dict[str, Any]:
    """Return how many files there are, and one SHA-256 over their names and contents."""
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    digest = hashlib.sha256()
    for path in files:
        digest.update(f"{path.relative_to(folder).as_posix()} {path.stat().st_size}\n".encode() + path.read_bytes())
    return {"files": len(files), "sha256": digest.hexdigest()}


def measure_costs(size: Size, report: Report) -> None:
    report.put("ns_per_sample", ns_per_sample(COMMITTEE, rounds=size.rounds))
    without_clock = structs.replace(COMMITTEE, clock_bins=0)
    report.put("ns_per_sample_no_clock", ns_per_sample(without_clock, rounds=size.rounds))
    report.put("bytes_per_tag", float(bytes_per_tag(COMMITTEE)))
    report.put("bytes_per_tag_no_clock", float(bytes_per_tag(without_clock)))


# --- one tag at a time: NAB ---------------------------------------------------------------------------------------------


def score_nab(folder: Path, size: Size, report: Report) -> None:
    series = nab.load(folder)
    committee = Committee()
    said = {one.name: committee.scores(one.time_ns, one.values) for one in series}
    events = {name: scores.event for name, scores in said.items()}
    corpus = nab.Corpus(series)
    for profile in nab.PROFILES:
        best = corpus.score(events, profile)
        shipped = corpus.score(events, profile, COMMITTEE.limit)
        report.put(f"nab_{profile}", best.score)
        report.put(f"nab_{profile}_shipped", shipped.score, nab_interval(series, events, profile, size))
        if profile == "standard":
            report.settings["nab_standard"] = structs.asdict(best)
            report.settings["nab_standard_shipped"] = structs.asdict(shipped)
    put_vus(series, said, size, report)
    put_events(series, events, report)
    report.put("nab_standard_null", 0.0)
    for name, baseline in BASELINES.items():
        scores = {one.name: baseline(one.values) for one in series}
        report.put(f"nab_standard_{name}", corpus.score(scores, "standard").score)
        held = {file: hold_off(score, COMMITTEE.hold) for file, score in scores.items()}
        report.put(f"nab_standard_{name}_held", corpus.score(held, "standard").score)
    report.settings["nab_folders"] = by_folder(series, events)


def nab_interval(
    series: Sequence[nab.Series], events: Mapping[str, Any], profile: str, size: Size
) -> tuple[float, float]:
    """Interval of the score at the shipped threshold, which is a sum over files."""
    weights = nab.PROFILES[profile]
    parts = [nab.Corpus([one]).score(events, profile, COMMITTEE.limit) for one in series]
    raw = np.array([part.raw for part in parts])
    windows = np.array([part.windows for part in parts])

    def figure(files: Sequence[int]) -> float:
        count = int(windows[files].sum())
        gained = float(raw[files].sum()) + weights.missed * count
        return 100.0 * gained / (count * (weights.found + weights.missed)) if count else float("nan")

    return interval(len(series), figure, draws=size.draws)


def put_vus(series: Sequence[nab.Series], said: Mapping[str, Scores], size: Size, report: Report) -> None:
    """Mean over the files that have labels, of the score with its persistence."""
    areas = [vus_pr(said[one.name].level, one.labels(), size.tolerance) for one in series if one.windows]
    if areas:
        draw = interval(len(areas), lambda files: float(np.mean(np.array(areas)[files])), draws=size.draws)
        report.put("nab_vus_pr", float(np.mean(areas)), draw)


def put_events(series: Sequence[nab.Series], events: Mapping[str, Any], report: Report) -> None:
    """Windows found and false alarms per 10,000 rows at the shipped limit, as an operator would count them."""
    found = windows = false = rows = 0
    for one in series:
        alarms = np.flatnonzero(events[one.name] >= COMMITTEE.limit)
        alarms = alarms[alarms >= nab.probation(len(one.values))]
        inside = one.labels()[alarms] > 0
        found += sum(bool(((alarms >= first) & (alarms <= last)).any()) for first, last in one.windows)
        windows += len(one.windows)
        false += int((~inside).sum())
        rows += len(one.values) - nab.probation(len(one.values))
    report.put("nab_false_alarms_per_10k_rows", 1e4 * false / rows)
    if windows:
        report.put("nab_windows_found_percent", 100.0 * found / windows)


def by_folder(series: Sequence[nab.Series], events: Mapping[str, Any]) -> dict[str, float]:
    """The standard score at the shipped threshold of each folder that has windows."""
    folders = sorted({one.name.partition("/")[0] for one in series if one.windows})
    return {
        folder: round(
            nab.Corpus([one for one in series if one.name.startswith(folder + "/")])
            .score(events, "standard", COMMITTEE.limit)
            .score,
            1,
        )
        for folder in folders
    }


# --- assets: SKAB -------------------------------------------------------------------------------------------------------


def score_skab(folder: Path, size: Size, report: Report) -> None:
    runs, sound = skab.load(folder)
    asset = Asset(skab.TAGS)
    said = [asset.scores(one.values) for one in runs]
    start = skab.CALIBRATION
    truths = [one.anomaly[start:] for one in runs]
    alarms = [scores.alarm[start:] for scores in said]
    found = skab.rates(truths, alarms)
    for name, value in structs.asdict(found).items():
        draw = interval(len(runs), lambda files, name=name: _rate(truths, alarms, files, name), draws=size.draws)
        report.put(f"skab_{name}", value, draw)
    times, points = [one.time_s[start:] for one in runs], [one.changepoint[start:] for one in runs]
    for profile, score in skab.changepoint_scores(times, points, [skab.flips(alarm) for alarm in alarms]).items():
        report.put(f"skab_cp_{profile}", score)
    scores = [one.score[start:] for one in said]
    report.put("skab_auc", _mean(map(skab.auc, scores, truths)))
    report.put("skab_vus_pr", _mean(vus_pr(s, t, SKAB_TOLERANCE) for s, t in zip(scores, truths, strict=True)))
    report.put("skab_ns_per_row", asset.ns_per_row(runs[0].values))
    for one in sound:
        report.put("skab_sound_run_alarm_percent", 100.0 * float(asset.scores(one.values).alarm[start:].mean()))
    _put_skab_baselines(runs, truths, report)


def _rate(truths: Sequence[Any], alarms: Sequence[Any], files: Sequence[int], name: str) -> float:
    return float(getattr(skab.rates([truths[n] for n in files], [alarms[n] for n in files]), name))


def _put_skab_baselines(runs: Sequence[skab.Run], truths: Sequence[Any], report: Report) -> None:
    always = skab.rates(truths, [np.ones(len(truth)) for truth in truths])
    report.put("skab_f1_always", always.f1)
    report.put("skab_mcc_always", always.mcc)
    start = skab.CALIBRATION
    flow = [flow_only(one.values[:, skab.FLOW], start) for one in runs]
    usual = [np.quantile(one[60:start], 0.99) for one in flow]
    alarms = [one[start:] > ASSET.limit * limit for one, limit in zip(flow, usual, strict=True)]
    found = skab.rates(truths, alarms)
    report.put("skab_f1_flow_only", found.f1)
    report.put("skab_mcc_flow_only", found.mcc)
    report.put(
        "skab_auc_flow_only", _mean(skab.auc(one[start:], truth) for one, truth in zip(flow, truths, strict=True))
    )


def _mean(values: Any) -> float:
    found = list(values)
    return float(np.mean(found)) if found else float("nan")


# --- assets: Tennessee Eastman ------------------------------------------------------------------------------------------


def score_tep(folder: Path, size: Size, report: Report) -> None:
    files = tep.load(folder)
    if "d00" not in files:
        return
    learnt = files["d00"]
    asset = Asset(tep.TAGS, structs.replace(ASSET, calibration=len(learnt)))
    said = {
        name: asset.scores(np.vstack([learnt, rows])).distance[len(learnt) :]
        for name, rows in files.items()
        if name != "d00"
    }
    limit = limit_from(learnt)
    names = tep.faults(said)
    rates = np.array([tep.detected(said[name], limit) for name in names])
    if names:
        draw = interval(len(names), lambda drawn: float(rates[drawn].mean()), draws=size.draws)
        report.put("tep_fdr", float(rates.mean()), draw)
        seen = [rate for name, rate in zip(names, rates, strict=True) if name[:3] not in tep.HARDLY_SEEN]
        report.put("tep_fdr_without_3_9_15", _mean(seen))
        report.put(
            "tep_false_before_fault_percent", 100.0 * _mean(np.mean(said[n][: tep.FAULT_AT] > limit) for n in names)
        )
        report.settings["tep_faults"] = {
            name: {"fdr": round(float(rate), 1), "delay_rows": tep.delay(said[name], limit)}
            for name, rate in zip(names, rates, strict=True)
        }
    report.settings["tep_limit"] = limit
    if "d00_te" in said:
        report.put("tep_far", 100.0 * float(np.mean(said["d00_te"] > limit)))
        at = float(np.quantile(said["d00_te"], 1.0 - TEP_FAR / 100.0))
        report.put("tep_fdr_at_1_percent", _mean(tep.detected(said[name], at) for name in names))
    report.put("tep_ns_per_row", asset.ns_per_row(np.vstack([learnt, learnt])))


def limit_from(learnt: Any) -> float:
    """Return the limit of 1 % false alarms from the rows learnt alone.

    A model looks better on the rows it was made of than on new ones. So each tenth of them is judged by a model of the
    other nine, and the limit is the 99 % quantile of what all of those say.
    """
    held, fold = [], len(learnt) // FOLDS
    asset = Asset(learnt.shape[1], structs.replace(ASSET, calibration=len(learnt) - fold))
    for number in range(FOLDS):
        first, last = number * fold, (number + 1) * fold
        rows = np.vstack([learnt[:first], learnt[last : FOLDS * fold], learnt[FOLDS * fold :], learnt[first:last]])
        held.append(asset.scores(rows).distance[len(learnt) - fold :])
    return float(np.quantile(np.concatenate(held), 1.0 - TEP_FAR / 100.0))
