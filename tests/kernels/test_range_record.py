import math

import pytest

from tests.kernels.harness import NAN, Columns, agree
from tests.kernels.watching import alarms, cases, follow, judged, outside, scores

SETTINGS = {"tolerance": 0.05, "e_max": 1.0, "leak": 0.0, "warmup": 20}
RAMP = [10.0 + (i % 11) for i in range(40)]  # 10 to 20


def watch(cell: dict, x: float, time: int) -> tuple[int, float]:
    if cell["count"] == 0:
        cell["low"] = cell["high"] = x
    low, high = cell["low"], cell["high"]
    width = high - low
    is_warm = cell["count"] >= cell["warmup"]
    alarm, score = -1, NAN
    if is_warm:
        beyond = x - high if x > high else low - x if x < low else 0.0
        unit = cell["tolerance"] * width
        score = beyond / unit if 0 < unit < math.inf else 0.0
        alarm = int(score > cell["e_max"])
    leak = cell["leak"] * width if math.isfinite(width) else 0.0
    new_low, new_high = min(low + leak, x), max(high - leak, x)
    if is_warm and 0 < width < math.inf:
        new_low, new_high = max(new_low, low - width), min(new_high, high + width)
    if math.isfinite(new_low) and math.isfinite(new_high):
        cell["low"], cell["high"], cell["count"] = new_low, new_high, cell["count"] + 1
    return alarm, score


def reference(columns: Columns, fresh_count: int) -> int:
    return judged("range_record", watch, columns, fresh_count)


def seen(samples, **settings):
    return follow("range_record", reference, SETTINGS | settings, samples)


def test_a_record_alarms_by_how_far_it_lies_outside_and_only_once() -> None:
    told = seen([*RAMP, 20.4, 21.0, 21.0, 9.0])
    assert alarms(told)[:20] == [-1] * 20
    assert alarms(told)[40:] == [0, 1, 0, 1]
    assert scores(told)[40] == pytest.approx(0.4 / (0.05 * 10))


def test_one_wild_sample_widens_the_range_by_no_more_than_its_width() -> None:
    told = seen([*RAMP, 1.7e308, 35.0])
    assert told[40]["range_record.high"] == [30.0]
    assert alarms(told)[40:] == [1, 1]


def test_with_a_leak_the_range_forgets() -> None:
    told = seen([*RAMP, *[15.0] * 60, 20.0], leak=0.02)
    assert alarms(told)[-1] == 1


def test_bad_samples_never_teach() -> None:
    clean = seen(RAMP)
    dirty = follow("range_record", reference, SETTINGS, [*RAMP[:30], 900.0, NAN, math.inf, *RAMP[30:]], bad={30})
    assert alarms(dirty)[30:33] == [-1] * 3
    assert dirty[-1] == clean[-1]


def test_without_a_width_nothing_is_told_and_the_first_step_gives_one() -> None:
    assert alarms(seen([7.0] * 25 + [9.0, 7.5, 9.5]))[25:] == [0, 0, 1]


def test_random_and_adversarial_rows() -> None:
    choices = {
        "tolerance": (0.05, 1.0, 5e-324),
        "e_max": (1.0, 0.1),
        "leak": (0.0, 1e-5, 0.49),
        "warmup": (2, 60),
        "count": (0, 1, 59, 60, 10**9),
    }
    for given in cases("range_record", choices, 43):
        for low, high in zip(given["range_record.low"], given["range_record.high"], strict=True):
            assert math.isfinite(low - low + high - high)
        pairs = [sorted(pair) for pair in zip(given["range_record.low"], given["range_record.high"], strict=True)]
        given["range_record.low"] = [low for low, _ in pairs]
        given["range_record.high"] = [high for _, high in pairs]
        agree("range_record", given, reference, fresh_count=len(given["fresh.row"]))


def test_rows_outside_their_tables_are_refused() -> None:
    assert outside("range_record") == {-1}
