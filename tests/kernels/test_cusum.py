import math
import random

from tests.kernels.harness import INT_MAX, NAN, Columns, agree, numbers, refused, rows_of, statuses
from tests.kernels.moments_reference import Moments

STATE = {"mean": 0.0, "variance": 0.0, "count": 0, "high": 0.0, "low": 0.0}


def reference(columns: Columns, fresh_count: int) -> int:
    alarms = 0
    for row in columns["fresh.row"][:fresh_count]:
        r = columns["tag.cusum_row"][row]
        if r < 0:
            continue
        cell = {name: columns[f"cusum.{name}"][r] for name in ("alpha", "k", "h", "warmup", *STATE)}
        x = columns["tag.value"][row]
        alarm, score = -1, NAN
        if columns["tag.status"][row] >> 30 == 0 and math.isfinite(x):
            past = Moments(cell["alpha"], cell["mean"], cell["variance"], cell["count"])
            if past.count >= cell["warmup"]:
                z = past.z(x)
                high = min(max(0.0, cell["high"] + z - cell["k"]), 2 * cell["h"])
                low = min(max(0.0, cell["low"] - z - cell["k"]), 2 * cell["h"])
                columns["cusum.high"][r], columns["cusum.low"][r] = high, low
                alarm = int(max(high, low) > cell["h"])
                score = max(high, low) / cell["h"]
            past.learn(x, alarm == 1)
            columns["cusum.mean"][r], columns["cusum.variance"][r] = past.mean, past.variance
            columns["cusum.count"][r] = past.count
        d = columns["cusum.detector"][r]
        columns["detector.score"][d], columns["detector.alarm"][d] = score, alarm
        alarms += alarm == 1
    return alarms


def follow(values: list[float], bad: set[int] = frozenset()) -> list[Columns]:
    """Feed one tag sample by sample; return the detector after each."""
    state: Columns = {f"cusum.{name}": [cell] for name, cell in STATE.items()}
    state |= {"detector.score": [0.0], "detector.alarm": [0]}
    seen = []
    for i, value in enumerate(values):
        given = {"fresh.row": [0], "tag.value": [value], "tag.status": [0x40900000 if i in bad else 0]}
        given |= {"tag.cusum_row": [0], "cusum.alpha": [0.01], "cusum.k": [0.5], "cusum.h": [8.0], "cusum.warmup": [30]}
        _, after = agree("cusum", given | state, reference, fresh_count=1)
        state = {name: after[name] for name in state}
        seen.append(state)
    return seen


def alarms(seen: list[Columns]) -> list[int]:
    return [state["detector.alarm"][0] for state in seen]


NOISE = [20.0 + 0.1 * ((7 * i) % 11 - 5) for i in range(66)]  # standard deviation 0.32


def test_a_small_lasting_shift_is_found_that_no_single_sample_shows() -> None:
    for sign in (1, -1):
        seen = alarms(follow([*NOISE, *[x + sign * 0.6 for x in NOISE[:30]]]))
        assert set(seen[:30]) == {-1}
        assert set(seen[30:66]) == {0}
        assert 1 in seen[66:80]


def test_an_alarm_ends_however_long_it_lasted() -> None:
    seen = follow([*NOISE, *[21.5] * 40, *NOISE])
    assert alarms(seen)[105] == 1
    assert seen[105]["detector.score"][0] == 2.0
    assert alarms(seen)[-1] == 0


def test_samples_that_are_not_good_change_nothing() -> None:
    clean, dirty = follow(NOISE), follow([*NOISE[:50], 900.0, NAN, *NOISE[50:]], bad={50})
    assert alarms(dirty)[50:52] == [-1, -1]
    assert dirty[-1] == clean[-1]


def test_random_and_adversarial_rows() -> None:
    rng = random.Random(32)
    for _ in range(100):
        tags, detectors = rng.randint(0, 20), rng.randint(1, 6)
        fresh = rows_of(rng, tags)
        given = {
            "fresh.row": fresh,
            "tag.value": numbers(rng, tags),
            "tag.status": statuses(rng, tags),
            "tag.cusum_row": [rng.randint(-1, detectors - 1) for _ in range(tags)],
            "cusum.detector": rng.sample(range(detectors), detectors),
            "detector.alarm": [5] * detectors,
            "cusum.alpha": [rng.choice((0.05, 1.0, 1e-9)) for _ in range(detectors)],
            "cusum.k": [rng.choice((0.0, 0.5, 1e300)) for _ in range(detectors)],
            "cusum.h": [rng.choice((1.0, 8.0, 5e-324)) for _ in range(detectors)],
            "cusum.warmup": [rng.choice((2, 60)) for _ in range(detectors)],
            "cusum.mean": numbers(rng, detectors, finite=True),
            "cusum.variance": [abs(x) for x in numbers(rng, detectors, finite=True)],
            "cusum.count": [rng.choice((0, 1, 59, 60, 10**9)) for _ in range(detectors)],
            "cusum.high": [rng.choice((0.0, 0.7, 9.0)) for _ in range(detectors)],
            "cusum.low": [rng.choice((0.0, 0.7, 9.0)) for _ in range(detectors)],
        }
        agree("cusum", given, reference, fresh_count=len(fresh))


def test_rows_outside_their_tables_are_refused() -> None:
    rows = {"tag": 1, "cusum": 1, "detector": 1}
    assert refused("cusum", {"fresh.row": [1]}, rows, fresh_count=1) == {-1}
    assert refused("cusum", {"fresh.row": [0]}, rows, fresh_count=2) == {-1}
    for r in (1, INT_MAX):
        assert refused("cusum", {"fresh.row": [0], "tag.cusum_row": [r]}, rows, fresh_count=1) == {-1}
    for d in (-1, 1):
        assert refused("cusum", {"fresh.row": [0], "cusum.detector": [d]}, rows, fresh_count=1) == {-1}
