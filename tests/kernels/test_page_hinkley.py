import math

from tests.kernels.harness import NAN, Columns, agree
from tests.kernels.moments_reference import Moments
from tests.kernels.watching import alarms, cases, follow, judged, outside, scores

SETTINGS = {"alpha": 0.001, "delta": 0.5, "limit": 25.0, "warmup": 60}
NOISE = [20.0 + 0.1 * ((7 * i) % 11 - 5) for i in range(120)]


def watch(cell: dict, x: float, time: int) -> tuple[int, float]:
    past = Moments(cell["alpha"], cell["mean"], cell["variance"], cell["count"])
    alarm, score = -1, NAN
    if past.count >= cell["warmup"] and cell["limit"] > 0:
        z = min(max(past.z(x), -cell["limit"] / 2), cell["limit"] / 2)
        cell["rise"] = max(0.0, cell["rise"] + z - cell["delta"])
        cell["fall"] = max(0.0, cell["fall"] - z - cell["delta"])
        score = max(cell["rise"], cell["fall"]) / cell["limit"]
        alarm = int(max(cell["rise"], cell["fall"]) > cell["limit"])
        if alarm:
            cell["rise"] = cell["fall"] = 0.0
            past.count = 0
    past.learn(x, False)
    cell["mean"], cell["variance"], cell["count"] = past.mean, past.variance, past.count
    return alarm, score


def reference(columns: Columns, fresh_count: int) -> int:
    return judged("page_hinkley", watch, columns, fresh_count)


def seen(samples, **more):
    return follow("page_hinkley", reference, SETTINGS, samples, **more)


def test_a_new_level_alarms_once_and_is_then_normal() -> None:
    told = alarms(seen([*NOISE, *[x + 0.6 for x in NOISE * 2]]))
    assert set(told[60:120]) == {0}
    assert told[120:].count(1) == 1
    assert told[-1] == 0  # warmed up again, at the new level


def test_one_wild_sample_alone_does_not_alarm() -> None:
    for wild in (1e6, -1e6, 1.7e308):
        assert 1 not in alarms(seen([*NOISE, wild, *NOISE[:20]]))


def test_a_slow_ramp_is_found() -> None:
    assert 1 in alarms(seen([*NOISE, *[20.0 + 0.02 * i for i in range(80)]]))


def test_bad_samples_change_nothing() -> None:
    clean = seen(NOISE)
    dirty = seen([*NOISE[:70], 900.0, NAN, math.inf, *NOISE[70:]], bad=frozenset({70}))
    assert alarms(dirty)[70:73] == [-1] * 3
    assert dirty[-1] == clean[-1]


def test_a_constant_never_alarms() -> None:
    assert set(scores(seen([7.0] * 80))[60:]) == {0.0}


def test_random_and_adversarial_rows() -> None:
    choices = {
        "alpha": (0.05, 1.0, 1e-9),
        "delta": (0.0, 0.5, 1e300),
        "limit": (0.0, 1.0, 25.0, 5e-324),
        "warmup": (2, 60),
        "variance": (0.0, 1.0, 1e-300, 1e300),
        "count": (0, 1, 59, 60, 10**9),
        "rise": (0.0, 0.7, 30.0),
        "fall": (0.0, 0.7, 30.0),
    }
    for given in cases("page_hinkley", choices, 41):
        agree("page_hinkley", given, reference, fresh_count=len(given["fresh.row"]))


def test_rows_outside_their_tables_are_refused() -> None:
    assert outside("page_hinkley") == {-1}
