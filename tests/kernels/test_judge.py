import random

import pytest

from kernels.table import CHECK_AGE, CHECK_RANGE, CHECK_RATE, CHECK_STUCK
from tests.kernels import test_range_check, test_rate_check, test_source_age, test_stuck_check
from tests.kernels.harness import NAN, Columns, agree, numbers, rows_of, statuses

SECOND = 1_000_000_000
NOW = 1_750_000_000_000_000_000
IN_ORDER = {
    CHECK_RANGE: test_range_check.reference,
    CHECK_AGE: test_source_age.reference,
    CHECK_RATE: test_rate_check.reference,
    CHECK_STUCK: test_stuck_check.reference,
}


def reference(columns: Columns, *, checks: int, fresh_count: int, now: int) -> int:
    """Walk over the rows once for each check."""
    wanted = [(check, one) for check, one in IN_ORDER.items() if checks & check]
    return sum(one(columns, checks=check, fresh_count=fresh_count, now=now) for check, one in wanted)


def plant(rng: random.Random, tags: int) -> Columns:
    return {
        "fresh.row": rows_of(rng, tags),
        "tag.value": numbers(rng, tags),
        "tag.status": statuses(rng, tags),
        "tag.range_low": [rng.choice((NAN, 15.0)) for _ in range(tags)],
        "tag.range_high": [rng.choice((NAN, 25.0)) for _ in range(tags)],
        "tag.source_time": [NOW - rng.choice((0, 3, 8)) * SECOND for _ in range(tags)],
        "tag.source_age_max": [rng.choice((0, 5)) * SECOND for _ in range(tags)],
        "tag.event_time": [rng.randint(1, 9) * SECOND for _ in range(tags)],
        "tag.rate_max": [rng.choice((NAN, 0.5)) for _ in range(tags)],
        "tag.rate_value": numbers(rng, tags),
        "tag.rate_time": [rng.randint(1, 9) * SECOND for _ in range(tags)],
        "tag.ingest_mono": [rng.randint(1, 30) * SECOND for _ in range(tags)],
        "tag.stuck_after": [rng.choice((0, 10)) * SECOND for _ in range(tags)],
        "tag.stuck_deadband": [rng.choice((0.0, 50.0)) for _ in range(tags)],
        "tag.stuck_value": numbers(rng, tags),
        "tag.stuck_since": [rng.choice((0, 1, 10)) * SECOND for _ in range(tags)],
    }


@pytest.mark.parametrize("checks", range(16))
def test_one_walk_is_the_checks_one_after_the_other(checks: int) -> None:
    rng = random.Random(checks)
    for _ in range(20):
        given = plant(rng, rng.randint(0, 40))
        agree("judge", given, reference, checks=checks, fresh_count=len(given["fresh.row"]), now=NOW)


def test_the_first_check_that_objects_decides_and_the_later_ones_do_not_learn() -> None:
    given = {
        "fresh.row": [0],
        "tag.value": [500.0],
        "tag.range_high": [100.0],
        "tag.event_time": [2 * SECOND],
        "tag.rate_max": [1.0],
        "tag.rate_value": [20.0],
        "tag.rate_time": [SECOND],
        "tag.range_low": [0.0],
    }
    _, after = agree("judge", given, reference, checks=CHECK_RANGE | CHECK_RATE, fresh_count=1, now=NOW)
    assert (after["tag.status"], after["tag.rate_value"]) == ([0x803C0600], [20.0])
