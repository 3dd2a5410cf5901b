import math
import random

import pytest

from kernels.detectors import TAIL_BUCKETS
from tests.kernels.harness import INT_MAX, NAN, Columns, agree, refused, rows_of, run


def reference(columns: Columns, fresh_count: int) -> int:
    alarms = 0
    for row in columns["fresh.row"][:fresh_count]:
        first, many = columns["tag.detector_first"][row], columns["tag.detector_count"][row]
        for d in range(first, first + many):
            limit, base = columns["detector.tail_max"][d], columns["detector.tail_first"][d]
            if not limit > 0:
                continue
            columns["detector.rarity"][d] = NAN
            if math.isnan(columns["detector.score"][d]):
                columns["detector.alarm"][d] = -1
            if columns["detector.alarm"][d] == -1:
                continue
            columns["detector.alarm"][d] = alarm = count(columns, d, base, limit)
            alarms += alarm == 1
    return alarms


def count(columns: Columns, d: int, base: int, limit: float) -> int:
    cells, total = columns["tail.count"], columns["detector.tail_total"][d]
    place = bucket_of(columns["detector.score"][d])
    alarm = -1
    if total * limit >= 1:
        rarity = (sum(cells[base + place : base + TAIL_BUCKETS]) + 1) / (total + 1)
        columns["detector.rarity"][d], alarm = rarity, int(rarity <= limit)
    cells[base + place] += 1
    if total + 1 >= 262_144:
        cells[base : base + TAIL_BUCKETS] = [cell // 2 for cell in cells[base : base + TAIL_BUCKETS]]
        total = sum(cells[base : base + TAIL_BUCKETS]) - 1
    columns["detector.tail_total"][d] = total + 1
    return alarm


def bucket_of(score: float) -> int:
    """Four buckets to an octave from 2^-6; by comparison, where the kernel looks at the bits."""
    edges = [2.0**octave * (1 + quarter / 4) for octave in range(-6, 10) for quarter in range(4)]
    return max(sum(score >= edge for edge in edges) - 1, 0)


def one(**cells: float) -> Columns:
    sound = {"tail_max": 0.01, "tail_first": 0, "tail_total": 0, "alarm": 0, "score": 1.0}
    columns: Columns = {f"detector.{name}": [cell] for name, cell in (sound | cells).items()}
    return columns | {"fresh.row": [0], "tag.detector_first": [0], "tag.detector_count": [1]}


def feed(scores: list[float], tail_max: float) -> list[int]:
    """Feed scores to one detector; return its alarms. In the plain form alone: the others are compared below."""
    kept: Columns = {"tail.count": [0] * TAIL_BUCKETS}
    total, told = 0, []
    for score in scores:
        given = one(tail_max=tail_max, tail_total=total, score=score) | kept | {"detector.rarity": [0.0]}
        _, after = run("tail", "python", given, fresh_count=1)
        kept["tail.count"] = list(memoryview(after["tail.count"]).cast("q"))
        total = memoryview(after["detector.tail_total"]).cast("q")[0]
        told.append(memoryview(after["detector.alarm"]).cast("q")[0])
    return told


def test_it_does_not_know_before_so_rare_a_score_can_be_told() -> None:
    told = feed([1.0] * 100 + [50.0], 0.01)
    assert told[:100] == [-1] * 100
    assert told[100] == 1


@pytest.mark.parametrize("shape", ["gauss", "heavy"])
def test_it_alarms_about_as_often_as_it_was_told_whatever_the_scores_are_like(shape: str) -> None:
    rng = random.Random(3)
    draw = (lambda: abs(rng.gauss(0, 1))) if shape == "gauss" else (lambda: rng.paretovariate(1.2))
    told = feed([draw() for _ in range(8000)], 0.02)
    assert told.count(1) / 8000 < 0.02


def test_random_and_adversarial_rows() -> None:
    rng = random.Random(51)
    for _ in range(15):
        tags = rng.randint(0, 6)
        counts = [rng.choice((0, 1, 2)) for _ in range(tags)]
        size = max(1, sum(counts))
        hist = [rng.choice((0, 0, 1, 1000, 9000)) for _ in range(TAIL_BUCKETS * size)]
        sums = [sum(hist[TAIL_BUCKETS * d : TAIL_BUCKETS * (d + 1)]) for d in range(size)]
        given: Columns = {
            "fresh.row": rows_of(rng, tags),
            "tag.detector_first": [sum(counts[:row]) for row in range(tags)],
            "tag.detector_count": counts,
            "detector.tail_max": [rng.choice((0.0, 1e-5, 0.01, 0.1, NAN)) for _ in range(size)],
            "detector.tail_first": [TAIL_BUCKETS * d for d in range(size)],
            "detector.tail_total": [rng.choice((total, 262_143)) for total in sums],
            "detector.alarm": [rng.randint(-1, 1) for _ in range(size)],
            "detector.score": [
                rng.choice((0.0, -0.0, 5e-324, 1e-3, 1.0, 7.3, 1e4, math.inf, NAN, -2.0)) for _ in range(size)
            ],
            "tail.count": hist,
        }
        agree("tail", given, reference, fresh_count=len(given["fresh.row"]))


def test_rows_outside_their_tables_are_refused() -> None:
    rows = {"tail": TAIL_BUCKETS}
    assert refused("tail", one() | {"fresh.row": [1]}, rows, fresh_count=1) == {-1}
    assert refused("tail", one(), rows, fresh_count=2) == {-1}
    for first, many in ((0, 2), (1, 1), (-1, 1), (0, -1), (0, INT_MAX), (INT_MAX, 1)):
        given = one() | {"tag.detector_first": [first], "tag.detector_count": [many]}
        assert refused("tail", given, rows, fresh_count=1) == {-1}
    for first in (-1, 1):
        assert refused("tail", one(tail_first=first), rows, fresh_count=1) == {-1}
