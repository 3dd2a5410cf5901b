import math
import random
import statistics

from tests.kernels.harness import INT_MAX, NAN, Columns, agree, numbers, refused, rows_of, statuses
from tests.kernels.moments_reference import Moments

STATE = ("mean", "variance", "count")


def reference(columns: Columns, fresh_count: int) -> int:
    alarms = 0
    for row in columns["fresh.row"][:fresh_count]:
        r = columns["tag.ewma_row"][row]
        if r < 0:
            continue
        cell = {name: columns[f"ewma.{name}"][r] for name in ("alpha", "z_max", "warmup", *STATE)}
        x = columns["tag.value"][row]
        alarm, score = -1, NAN
        if columns["tag.status"][row] >> 30 == 0 and math.isfinite(x):
            past = Moments(cell["alpha"], cell["mean"], cell["variance"], cell["count"])
            if past.count >= cell["warmup"]:
                score = abs(past.z(x))
                alarm = int(score > cell["z_max"])
            past.learn(x, alarm == 1)
            columns["ewma.mean"][r], columns["ewma.variance"][r] = past.mean, past.variance
            columns["ewma.count"][r] = past.count
        d = columns["ewma.detector"][r]
        columns["detector.score"][d], columns["detector.alarm"][d] = score, alarm
        alarms += alarm == 1
    return alarms


def follow(values: list[float], bad: set[int] = frozenset(), *, warmup: int = 5, alpha: float = 0.1) -> list[Columns]:
    """Feed one tag sample by sample; return the detector after each."""
    state: Columns = {f"ewma.{name}": [0 if name == "count" else 0.0] for name in STATE}
    state |= {"detector.score": [0.0], "detector.alarm": [0]}
    seen = []
    for i, value in enumerate(values):
        given = {"fresh.row": [0], "tag.value": [value], "tag.status": [0x80070000 if i in bad else 0]}
        given |= {"tag.ewma_row": [0], "ewma.alpha": [alpha], "ewma.z_max": [5.0], "ewma.warmup": [warmup]} | state
        _, after = agree("ewma", given, reference, fresh_count=1)
        state = {name: after[name] for name in state}
        seen.append(state)
    return seen


def alarms(seen: list[Columns]) -> list[int]:
    return [state["detector.alarm"][0] for state in seen]


NOISE = [20.0 + 0.1 * ((7 * i) % 11 - 5) for i in range(60)]


def test_while_warming_up_it_does_not_know_and_the_mean_is_the_plain_mean() -> None:
    seen = follow(NOISE[:8], warmup=100)
    assert alarms(seen) == [-1] * 8
    assert math.isclose(seen[-1]["ewma.mean"][0], statistics.fmean(NOISE[:8]))
    assert math.isclose(seen[-1]["ewma.variance"][0], statistics.pvariance(NOISE[:8]))


def test_a_jump_alarms_and_does_not_teach_itself_away_at_once() -> None:
    seen = follow([*NOISE, *[25.0] * 10])
    assert alarms(seen)[:5] == [-1] * 5
    assert set(alarms(seen)[5:60]) == {0}
    assert alarms(seen)[60:63] == [1, 1, 1]


def test_bad_samples_never_teach() -> None:
    clean = follow(NOISE)
    dirty = follow([*NOISE[:30], 900.0, NAN, math.inf, *NOISE[30:]], bad={30})
    assert alarms(dirty)[30:33] == [-1, -1, -1]
    assert dirty[-1] == clean[-1]


def test_a_signal_without_spread_has_no_z() -> None:
    seen = follow([7.0] * 20 + [7.5])
    assert (seen[-1]["detector.score"][0], alarms(seen)[-1]) == (0.0, 0)


def test_a_value_whose_square_overflows_alarms_and_teaches_nothing() -> None:
    seen = follow([*NOISE, 1.7e308, 20.0])
    assert alarms(seen)[60:] == [1, 0]
    assert seen[60]["ewma.mean"] == seen[59]["ewma.mean"]


def test_random_and_adversarial_rows() -> None:
    rng = random.Random(31)
    for _ in range(100):
        tags, detectors = rng.randint(0, 20), rng.randint(1, 6)
        fresh = rows_of(rng, tags)
        given = {
            "fresh.row": fresh,
            "tag.value": numbers(rng, tags),
            "tag.status": statuses(rng, tags),
            "tag.ewma_row": [rng.randint(-1, detectors - 1) for _ in range(tags)],
            "ewma.detector": rng.sample(range(detectors), detectors),
            "detector.alarm": [5] * detectors,
            "ewma.alpha": [rng.choice((0.05, 1.0, 1e-9)) for _ in range(detectors)],
            "ewma.z_max": [rng.choice((1.0, 6.0)) for _ in range(detectors)],
            "ewma.warmup": [rng.choice((2, 60)) for _ in range(detectors)],
            "ewma.mean": numbers(rng, detectors, finite=True),
            "ewma.variance": [abs(x) for x in numbers(rng, detectors, finite=True)],
            "ewma.count": [rng.choice((0, 1, 59, 60, 10**9)) for _ in range(detectors)],
        }
        agree("ewma", given, reference, fresh_count=len(fresh))


def test_rows_outside_their_tables_are_refused() -> None:
    rows = {"tag": 1, "ewma": 1, "detector": 1}
    assert refused("ewma", {"fresh.row": [1]}, rows, fresh_count=1) == {-1}
    assert refused("ewma", {"fresh.row": [0]}, rows, fresh_count=2) == {-1}
    for r in (1, INT_MAX):
        assert refused("ewma", {"fresh.row": [0], "tag.ewma_row": [r]}, rows, fresh_count=1) == {-1}
    for d in (-1, 1):
        assert refused("ewma", {"fresh.row": [0], "ewma.detector": [d]}, rows, fresh_count=1) == {-1}
