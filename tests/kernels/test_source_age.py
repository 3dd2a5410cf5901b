import random

from kernels.table import CHECK_AGE
from tests.kernels.harness import Columns, agree, refused, rows_of, statuses

NOW = 1_750_000_000_000_000_000
SECOND = 1_000_000_000


def reference(columns: Columns, *, checks: int, fresh_count: int, now: int) -> int:
    marked = 0
    for row in columns["fresh.row"][:fresh_count]:
        limit = columns["tag.source_age_max"][row]
        too_old = limit > 0 and now - columns["tag.source_time"][row] > limit
        if too_old and columns["tag.status"][row] >> 30 == 0:
            columns["tag.status"][row] = 0x40900000
            marked += 1
    return marked


def test_a_value_older_than_allowed_or_of_unknown_age_is_only_the_last_usable() -> None:
    given = {
        "fresh.row": [0, 1, 2, 3, 4],
        "tag.source_time": [NOW - 5 * SECOND, NOW - 5 * SECOND - 1, 0, NOW + SECOND, NOW - 900 * SECOND],
        "tag.source_age_max": [5 * SECOND] * 4 + [0],
        "tag.status": [0] * 5,
    }
    result, after = agree("judge", given, reference, checks=CHECK_AGE, fresh_count=5, now=NOW)
    assert (result, after["tag.status"]) == (2, [0, 0x40900000, 0x40900000, 0, 0])


def test_random_and_adversarial_rows() -> None:
    rng = random.Random(24)
    for _ in range(60):
        tags = rng.randint(0, 30)
        fresh = rows_of(rng, tags)
        given = {
            "fresh.row": fresh,
            "tag.source_time": [rng.choice((0, NOW, NOW - SECOND, NOW - 2, 2**62, -(2**62))) for _ in range(tags)],
            "tag.source_age_max": [rng.choice((0, 1, SECOND, 31_536_000 * SECOND)) for _ in range(tags)],
            "tag.status": statuses(rng, tags),
        }
        agree("judge", given, reference, checks=CHECK_AGE, fresh_count=len(fresh), now=NOW)


def test_rows_outside_the_tag_table_are_refused() -> None:
    assert refused("judge", {"fresh.row": [1]}, {"tag": 1}, checks=CHECK_AGE, fresh_count=1, now=NOW) == {-1}
    assert refused("judge", {"fresh.row": [0]}, {"tag": 1}, checks=CHECK_AGE, fresh_count=2, now=NOW) == {-1}
