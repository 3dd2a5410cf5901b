import math
import random

from kernels.table import CHECK_RATE
from tests.kernels.harness import NAN, Columns, agree, numbers, refused, rows_of, statuses

SECOND = 1_000_000_000
NOT_ACCURATE = 0x40930000


def reference(columns: Columns, *, checks: int, fresh_count: int, now: int) -> int:
    marked = 0
    for row in columns["fresh.row"][:fresh_count]:
        limit, value, time = (columns[f"tag.{name}"][row] for name in ("rate_max", "value", "event_time"))
        if math.isnan(limit) or columns["tag.status"][row] >> 30 != 0:
            continue
        before, then = columns["tag.rate_value"][row], columns["tag.rate_time"][row]
        columns["tag.rate_value"][row], columns["tag.rate_time"][row] = value, time
        if math.isnan(before) or time <= then:
            continue
        seconds = (time - then) / 1e9
        if abs(value - before) / seconds > limit:
            columns["tag.status"][row] = NOT_ACCURATE
            marked += 1
    return marked


def follow(values: list[float], times: list[int], statuses_in: list[int] | None = None) -> list[int]:
    """Feed one tag sample by sample; return the status of each."""
    state: Columns = {"tag.rate_value": [NAN], "tag.rate_time": [0]}
    seen = []
    for value, time, status in zip(values, times, statuses_in or [0] * len(values), strict=True):
        given = {"fresh.row": [0], "tag.value": [value], "tag.event_time": [time], "tag.status": [status]}
        _, after = agree(
            "judge", given | {"tag.rate_max": [2.0]} | state, reference, checks=CHECK_RATE, fresh_count=1, now=0
        )
        state = {name: after[name] for name in state}
        seen.append(after["tag.status"][0])
    return seen


def test_a_spike_costs_two_marks_and_a_step_one() -> None:
    seconds = [i * SECOND for i in range(1, 7)]
    spike = follow([10.0, 10.0, 50.0, 10.0, 11.0, 13.0], seconds)
    assert spike == [0, 0, NOT_ACCURATE, NOT_ACCURATE, 0, 0]
    assert follow([10.0, 50.0, 50.0], seconds[:3]) == [0, NOT_ACCURATE, 0]


def test_bad_samples_are_no_reference_and_the_same_time_is_not_judged() -> None:
    assert follow([10.0, 99.0, 14.0], [SECOND, 2 * SECOND, 3 * SECOND], [0, 0x80070000, 0]) == [0, 0x80070000, 0]
    assert follow([10.0, 99.0, 98.0], [SECOND, SECOND, SECOND // 2]) == [0, 0, 0]


def test_random_and_adversarial_rows() -> None:
    rng = random.Random(25)
    for _ in range(100):
        tags = rng.randint(0, 30)
        fresh = rows_of(rng, tags)
        times = (1, SECOND, 2 * SECOND, 2**62, -(2**62), 0)
        given = {
            "fresh.row": fresh,
            "tag.value": numbers(rng, tags),
            "tag.event_time": [rng.choice(times) for _ in range(tags)],
            "tag.rate_max": [rng.choice((NAN, 0.5, 1e-300, math.inf)) for _ in range(tags)],
            "tag.status": statuses(rng, tags),
            "tag.rate_value": numbers(rng, tags),
            "tag.rate_time": [rng.choice(times[:-2]) for _ in range(tags)],
        }
        agree("judge", given, reference, checks=CHECK_RATE, fresh_count=len(fresh), now=0)


def test_rows_outside_the_tag_table_are_refused() -> None:
    assert refused("judge", {"fresh.row": [-1]}, {"tag": 1}, checks=CHECK_RATE, fresh_count=1, now=0) == {-1}
    assert refused("judge", {"fresh.row": [0]}, {"tag": 1}, checks=CHECK_RATE, fresh_count=2, now=0) == {-1}
