"""Other streaming detectors on the same series, with and without the hold-off and persistence that ours has."""

from __future__ import annotations

import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from gatewayd.core.detect.defaults import COMMITTEE
from hil.bench.baselines import hold_off, peak_hold
from hil.bench.detectors import Committee
from hil.bench.peers import streaming_scores
from hil.bench.peers.install import BUILD, environment
from hil.bench.processes import BenchError
from hil.bench.rounds import say
from hil.bench.scoring.nab import Corpus, Series
from hil.bench.scoring.vus import vus_pr

if TYPE_CHECKING:
    from hil.bench.anomaly import Report

PACKAGES = {
    "river_hst": ("river==0.26.1",),
    "river_gaussian": ("river==0.26.1",),
    "rrcf": ("rrcf==0.4.4", "setuptools==65.5.0"),
    "stumpy": ("stumpy==1.14.1",),
    "pysad_loda": ("pysad==0.7.0",),
}
QUICK = ("river_hst", "river_gaussian")  # the others take a millisecond a sample and more
ROWS_MAX = {"stumpy": 20_000, "rrcf": 20_000, "pysad_loda": 60_000}  # about; whole series, the shortest first
PEAK_KEPT = 0.99
TIMEOUT_S = 1800


def add_peers(series: Sequence[Series], report: Report, *, quick: bool) -> None:
    """Measure each peer; one that cannot be had is named in `settings["missing"]` with the reason."""
    for name, packages in PACKAGES.items():
        if quick and name not in QUICK:
            continue
        say(f"{name}: scoring")
        try:
            _measure(name, packages, _share(name, series), report)
        except BenchError as missing:
            report.settings.setdefault("missing", {})[name] = str(missing)
            say(f"{name} is missing: {missing}")


def _share(name: str, series: Sequence[Series]) -> list[Series]:
    """As many series as a slow peer is through with in minutes; ours of the same share is told beside."""
    room, share = ROWS_MAX.get(name), []
    if room is None:
        return list(series)
    for one in sorted(series, key=lambda one: len(one.values)):
        if len(one.values) > room:
            break
        room -= len(one.values)
        share.append(one)
    return share


def _measure(name: str, packages: tuple[str, ...], series: Sequence[Series], report: Report) -> None:
    python = environment(name.partition("_")[0], packages)
    scores, seconds = _run(name, python, series)
    rows = sum(len(one.values) for one in series)
    report.put(f"ns_per_sample_{name}", 1e9 * seconds / rows)
    made_of = "" if name not in ROWS_MAX else "_of_a_share"
    corpus = Corpus(series)
    if made_of:
        report.put(f"nab_standard_committee_on_the_share_of_{name}", corpus.score(_ours(series), "standard").score)
    report.put(f"nab_standard_{name}{made_of}", corpus.score(scores, "standard").score)
    held = {file: hold_off(said, COMMITTEE.hold) for file, said in scores.items()}
    report.put(f"nab_standard_{name}{made_of}_held", corpus.score(held, "standard").score)
    areas = [vus_pr(peak_hold(scores[one.name], PEAK_KEPT), one.labels(), 100) for one in series if one.windows]
    report.put(f"nab_vus_pr_{name}{made_of}_held", float(np.mean(areas)) if areas else float("nan"))
    setup = streaming_scores.MAKERS[name].__doc__
    report.settings.setdefault("peers", {})[name] = {"packages": packages, "setup": setup, "rows": rows}


def _ours(series: Sequence[Series]) -> dict[str, Any]:
    committee = Committee()
    return {one.name: committee.scores(one.time_ns, one.values).event for one in series}


def _run(name: str, python: Path, series: Sequence[Series]) -> tuple[dict[str, Any], float]:
    folder = BUILD / "run"
    folder.mkdir(parents=True, exist_ok=True)
    given, wanted = folder / f"{name}-in.npz", folder / f"{name}-out.npz"
    np.savez(given, **{f"s{number}": np.array(one.values) for number, one in enumerate(series)})
    command = [str(python), streaming_scores.__file__, name, str(given), str(wanted)]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=TIMEOUT_S, check=False)
    except subprocess.TimeoutExpired as error:
        raise BenchError(f"{name} took more than {TIMEOUT_S} s") from error
    if done.returncode:
        raise BenchError(f"{name} failed: {(done.stderr.strip().splitlines() or ['no message'])[-1]}")
    said = np.load(wanted)
    return {one.name: said[f"s{number}"] for number, one in enumerate(series)}, float(said["_seconds"])
