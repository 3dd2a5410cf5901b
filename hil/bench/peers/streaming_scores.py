"""Other streaming detectors over the same series: `python streaming_scores.py NAME IN.npz OUT.npz`, in an environment of theirs.

Imports nothing of this project. IN holds one array per series; OUT the scores under the same names, and `_seconds` spent.
Each is set up as its authors do in their examples; what that is stands in `MAKERS`.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from typing import Any

import numpy as np

Scorer = Callable[[float], float]  # takes the next value, returns its score


def river_hst() -> Scorer:
    """Half-space trees: 10 of height 8, window 250, over values scaled by the range so far."""
    from river import anomaly, preprocessing

    scaler = preprocessing.MinMaxScaler()
    trees = anomaly.HalfSpaceTrees(n_trees=10, height=8, window_size=250, seed=42)

    def score(x: float) -> float:
        scaler.learn_one({"x": x})
        scaled = scaler.transform_one({"x": x})
        said = trees.score_one(scaled)
        trees.learn_one(scaled)
        return float(said)

    return score


def river_gaussian() -> Scorer:
    """Tail of a normal distribution over the last 500 values."""
    from river import anomaly

    scorer = anomaly.GaussianScorer(window_size=500, grace_period=250)

    def score(x: float) -> float:
        said = scorer.score_one(None, x)
        scorer.learn_one(None, x)
        return float(said)

    return score


def rrcf() -> Scorer:
    """Robust random cut forest: 10 trees of 128 points, shingles of 4."""
    import rrcf as library

    trees = [library.RCTree() for _ in range(10)]
    np.random.seed(42)  # noqa: NPY002 # the library draws from it
    recent: list[float] = []
    state = {"row": 0}

    def score(x: float) -> float:
        recent.append(x)
        if len(recent) < 4:
            return 0.0
        del recent[:-4]
        row = state["row"] = state["row"] + 1
        total = 0.0
        for tree in trees:
            if len(tree.leaves) >= 128:
                tree.forget_point(row - 128)
            tree.insert_point(tuple(recent), index=row)
            total += tree.codisp(row)
        return total / len(trees)

    return score


def stumpy() -> Scorer:
    """Left matrix profile of the last 48 values, by stumpi, begun after 250."""
    import stumpy as library

    start: list[float] = []
    streams: list[Any] = []

    def score(x: float) -> float:
        if not streams:
            start.append(x)
            if len(start) == 250:
                streams.append(library.stumpi(np.array(start), m=48, egress=False))
            return 0.0
        streams[0].update(x)
        said = float(streams[0].left_P_[-1])
        return said if np.isfinite(said) else 0.0

    return score


def pysad_loda() -> Scorer:
    """LODA as PySAD has it, with its defaults, over shingles of 4."""
    from pysad.models import LODA

    model = LODA()
    recent: list[float] = []

    def score(x: float) -> float:
        recent.append(x)
        if len(recent) < 4:
            return 0.0
        del recent[:-4]
        row = np.array(recent)
        model.fit_partial(row)
        said = float(np.asarray(model.score_partial(row)).ravel()[0])
        return said if np.isfinite(said) else 0.0

    return score


MAKERS: dict[str, Callable[[], Scorer]] = {
    "river_hst": river_hst,
    "river_gaussian": river_gaussian,
    "rrcf": rrcf,
    "stumpy": stumpy,
    "pysad_loda": pysad_loda,
}


def main() -> None:
    name, given, wanted = sys.argv[1:]
    series = np.load(given)
    scores, seconds = {}, 0.0
    for key in series.files:
        score = MAKERS[name]()
        values = series[key].tolist()
        started = time.perf_counter()
        scores[key] = np.array([score(x) for x in values])
        seconds += time.perf_counter() - started
    np.savez(wanted, _seconds=np.array(seconds), **scores)


if __name__ == "__main__":
    main()
