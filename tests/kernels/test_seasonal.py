import math
import random

from tests.kernels.harness import INT_MAX, NAN, Columns, agree, numbers, refused
from tests.kernels.watching import alarms, cases, follow, judged, outside

HOUR = 3600 * 10**9
SETTINGS = {"period": 24 * HOUR, "bins": 4, "r_max": 8.0, "alpha": 0.1, "warmup": 2, "profile_first": 0}
LEVELS = (10.0, 30.0, 20.0, 15.0)


def watch(cell: dict, x: float, time: int) -> tuple[int, float]:
    columns, first = cell["columns"], cell["profile_first"]
    level, deviation, count = (columns[f"profile.{name}"] for name in ("level", "deviation", "count"))
    here = int(time % cell["period"] * cell["bins"] // cell["period"])
    if cell["bin"] != here + 1:
        if cell["bin"] and cell["samples"] and cell["weight"] > 0:
            close(cell, first + cell["bin"] - 1, level, deviation, count)
        cell |= {"bin": here + 1, "samples": 0, "weight": 0.0, "total": 0.0, "distance": 0.0}
    p = first + here
    alarm, score = -1, NAN
    if count[p] >= cell["warmup"]:
        scale = 0.5 * (deviation[p] + cell["spread"])
        score = abs(x - level[p]) / scale if scale > 1e-12 * abs(level[p]) else 0.0
        alarm = int(score > cell["r_max"])
    share = 0.1 if alarm == 1 else 1.0
    centre = level[p] if count[p] else cell["total"] / cell["weight"] if cell["weight"] > 0 else x
    total, distance = cell["total"] + share * x, cell["distance"] + share * abs(x - centre)
    if math.isfinite(total) and math.isfinite(distance):
        cell |= {"samples": cell["samples"] + 1, "weight": cell["weight"] + share, "total": total, "distance": distance}
    return alarm, score


def close(cell: dict, p: int, level: list, deviation: list, count: list) -> None:
    trust = cell["weight"] / cell["samples"]
    mean, usual = cell["total"] / cell["weight"], cell["distance"] / cell["weight"]
    new_level, new_deviation = mean, usual
    if count[p]:
        w = max(cell["alpha"], 1 / (count[p] + 1)) * trust
        new_level = level[p] + w * (mean - level[p])
        new_deviation = deviation[p] + w * (usual - deviation[p])
    w = max(cell["alpha"] / cell["bins"], 1 / (cell["visits"] + 1))
    spread = cell["spread"] + w * trust * (usual - cell["spread"]) if cell["visits"] else usual
    if math.isfinite(new_level + new_deviation + spread):
        level[p], deviation[p], count[p] = new_level, new_deviation, count[p] + 1
        cell["spread"], cell["visits"] = spread, cell["visits"] + 1


def reference(columns: Columns, fresh_count: int) -> int:
    return judged("seasonal", watch, columns, fresh_count)


def seen(samples, **more):
    return follow("seasonal", reference, SETTINGS, samples, child_rows=4, **more)


def day(number: int) -> list[tuple[float, int]]:
    """A day of 24 samples: a level per quarter and a little noise."""
    return [
        (LEVELS[hour // 6] + 0.1 * ((7 * hour + number) % 5 - 2), number * 24 * HOUR + hour * HOUR)
        for hour in range(24)
    ]


DAYS = [sample for number in range(4) for sample in day(number)]


def test_a_value_that_is_usual_at_noon_is_unusual_at_night() -> None:
    night, noon = 4 * 24 * HOUR + HOUR, 4 * 24 * HOUR + 8 * HOUR
    assert alarms(seen([*DAYS, (30.0, night)]))[-1] == 1
    assert alarms(seen([*DAYS, (10.0, night), (30.0, noon)]))[-2:] == [0, 0]


def test_a_bin_does_not_know_before_it_has_had_its_visits() -> None:
    told = alarms(seen(DAYS))
    assert set(told[: 2 * 24]) == {-1}
    assert set(told[2 * 24 :]) == {0}


def test_an_unusual_visit_teaches_little() -> None:
    odd = [(60.0, 4 * 24 * HOUR + hour * HOUR) for hour in range(6)]
    told = seen([*DAYS, *odd, *day(4)[6:]])
    assert alarms(told)[96:102] == [1] * 6
    assert abs(told[-1]["profile.level"][0] - 10.0) < 2


def test_gaps_duplicates_and_a_clock_that_goes_back_are_visits_like_others() -> None:
    told = seen([*DAYS, *DAYS[:5], *DAYS[:5], (10.0, 9 * 24 * HOUR), (10.0, -5)])
    assert 1 not in alarms(told)
    assert alarms(told)[-1] == -1


def test_bad_samples_never_teach() -> None:
    clean = seen(DAYS)
    dirty = [*DAYS[:60], (900.0, 60 * HOUR), (NAN, 60 * HOUR), (math.inf, 60 * HOUR), *DAYS[60:]]
    assert seen(dirty, bad=frozenset({60}))[-1] == clean[-1]


def test_random_and_adversarial_rows() -> None:
    rng = random.Random(44)
    choices = {
        "period": (HOUR, 24 * HOUR),
        "bins": (2, 3),
        "r_max": (1.0, 8.0),
        "alpha": (0.1, 1.0, 1e-9),
        "warmup": (1, 3),
        "profile_first": (0,),
        "bin": (0, 1, 2),
        "samples": (0, 1, 10**9),
        "weight": (0.0, 0.1, 5e-324, 1e9),
        "distance": (0.0, 1.0, 1e308),
        "spread": (0.0, 1.0, 1e-300),
        "visits": (0, 1, 10**9),
    }
    for given in cases("seasonal", choices, 44):
        tags, detectors = len(given["tag.value"]), len(given["seasonal.bin"])
        given["tag.ingest_time"] = [rng.choice((-1, 0, HOUR, 10**18, INT_MAX)) for _ in range(tags)]
        given["seasonal.profile_first"] = [3 * place for place in range(detectors)]
        given["profile.level"] = numbers(rng, 3 * detectors, finite=True)
        given["profile.deviation"] = [abs(x) for x in numbers(rng, 3 * detectors, finite=True)]
        given["profile.count"] = [rng.choice((0, 1, 3, 10**9)) for _ in range(3 * detectors)]
        agree("seasonal", given, reference, fresh_count=len(given["fresh.row"]))


def test_rows_outside_their_tables_are_refused() -> None:
    assert outside("seasonal", period=[HOUR], bins=[2]) == {-1}


def test_a_profile_that_cannot_be_is_refused() -> None:
    rows = {"tag": 1, "seasonal": 1, "detector": 1, "profile": 2}
    sound = {"period": HOUR, "bins": 2, "profile_first": 0, "bin": 0}
    for change in (
        {"period": 0},
        {"bins": 0},
        {"bins": INT_MAX},
        {"bins": 3},
        {"profile_first": 1},
        {"bin": 3},
        {"bin": -1},
    ):
        given = {f"seasonal.{name}": [cell] for name, cell in (sound | change).items()}
        assert refused("seasonal", {"fresh.row": [0]} | given, rows, fresh_count=1) == {-1}
