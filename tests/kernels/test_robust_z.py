import math
import random
import statistics

import pytest

from tests.kernels.harness import NAN, Columns, agree
from tests.kernels.watching import alarms, cases, follow, judged, outside, scores

SETTINGS = {"step": 0.02, "z_max": 8.0, "warmup": 60}
NOISE = [20.0 + 0.1 * ((7 * i) % 11 - 5) for i in range(120)]


def watch(cell: dict, x: float, time: int) -> tuple[int, float]:
    n, median, mad = cell["count"], cell["median"], cell["deviation"]
    distance = abs(x - median)
    alarm, score = -1, NAN
    if n >= cell["warmup"]:
        score = distance / (1.4826 * mad) if mad > 1e-12 * abs(median) else 0.0
        alarm = int(score > cell["z_max"])
    is_far = distance > 5 * mad
    run = min(cell["run"] + 1, 21) if is_far else max(cell["run"] - 5, 0)
    if n == 0:
        median, mad = x, 0.0
    elif n < 10:
        w = 1 / (n + 1)
        median, mad = median + w * (x - median), mad + w * (distance - mad)
    else:
        w = max(cell["step"], 1 / (n + 1))
        step = w * mad
        median = median + step if x > median else median - step if x < median else median
        if mad > 0:
            mad = (
                2 * mad
                if is_far and run > 20
                else mad + step
                if distance > mad
                else mad - step
                if distance < mad
                else mad
            )
        else:
            mad = w * distance
    if math.isfinite(median) and math.isfinite(mad):
        cell |= {"median": median, "deviation": mad, "count": n + 1, "run": run}
    return alarm, score


def reference(columns: Columns, fresh_count: int) -> int:
    return judged("robust_z", watch, columns, fresh_count)


def seen(samples, **more):
    return follow("robust_z", reference, SETTINGS, samples, **more)


def test_it_finds_the_median_and_its_deviation_among_wild_samples() -> None:
    rng = random.Random(7)
    samples = [900.0 if rng.random() < 0.05 else rng.gauss(20.0, 1.0) for _ in range(1500)]
    last = seen(samples)[-1]
    assert last["robust_z.median"][0] == pytest.approx(20.0, abs=0.3)
    normal = [x for x in samples if x < 100]
    mad = statistics.median(abs(x - statistics.median(normal)) for x in normal)
    assert last["robust_z.deviation"][0] == pytest.approx(mad, rel=0.3)


def test_a_spike_alarms_and_widens_nothing_for_long() -> None:
    told = seen([*NOISE, 25.0, *NOISE[:20], 25.0])
    assert (alarms(told)[119], alarms(told)[120], alarms(told)[-1]) == (0, 1, 1)
    assert set(alarms(told)[121:-1]) == {0}


def test_what_stood_still_and_moves_again_is_normal_soon() -> None:
    told = alarms(seen([*NOISE, *[20.0] * 2000, *NOISE * 3]))
    assert 1 in told[2120:]
    assert set(told[-180:]) == {0}


def test_bad_samples_never_teach() -> None:
    clean = seen(NOISE)
    dirty = seen([*NOISE[:70], 900.0, NAN, math.inf, *NOISE[70:]], bad=frozenset({70}))
    assert alarms(dirty)[70:73] == [-1] * 3
    assert dirty[-1] == clean[-1]


def test_a_constant_has_no_z() -> None:
    assert set(scores(seen([7.0] * 80))[60:]) == {0.0}


def test_random_and_adversarial_rows() -> None:
    choices = {
        "step": (0.01, 1.0, 1e-9),
        "z_max": (1.0, 8.0),
        "warmup": (2, 60),
        "deviation": (0.0, 1.0, 5e-324, 1e-300, 1e300, 1.7e308),
        "run": (0, 19, 20, 21),
        "count": (0, 1, 9, 10, 60, 10**9),
    }
    for given in cases("robust_z", choices, 42):
        agree("robust_z", given, reference, fresh_count=len(given["fresh.row"]))


def test_rows_outside_their_tables_are_refused() -> None:
    assert outside("robust_z") == {-1}
