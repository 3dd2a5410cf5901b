import math
import random

from kernels.table import CHECK_RANGE
from tests.kernels.harness import NAN, Columns, agree, numbers, refused, rows_of, statuses


def reference(columns: Columns, *, checks: int, fresh_count: int, now: int) -> int:
    marked = 0
    for row in columns["fresh.row"][:fresh_count]:
        if columns["tag.status"][row] >> 30:
            continue
        value, low, high = (columns[f"tag.{name}"][row] for name in ("value", "range_low", "range_high"))
        status = 0
        if not math.isfinite(value):
            status = 0x808C0000
        elif not math.isnan(low) and value < low:
            status = 0x803C0000 | 0x0500
        elif not math.isnan(high) and value > high:
            status = 0x803C0000 | 0x0600
        if status:
            columns["tag.status"][row] = status
            marked += 1
    return marked


def test_outside_the_range_is_bad_with_the_side_named_and_the_limits_are_inside() -> None:
    given = {
        "fresh.row": [0, 1, 2, 3, 4, 5, 6],
        "tag.value": [-0.1, 0.0, 100.0, 100.1, NAN, -math.inf, 500.0],
        "tag.range_low": [0.0] * 6 + [NAN],
        "tag.range_high": [100.0] * 6 + [NAN],
        "tag.status": [0] * 7,
    }
    result, after = agree("judge", given, reference, checks=CHECK_RANGE, fresh_count=7, now=0)
    assert result == 4
    assert after["tag.status"] == [0x803C0500, 0, 0, 0x803C0600, 0x808C0000, 0x808C0000, 0]


def test_random_and_adversarial_rows() -> None:
    rng = random.Random(23)
    for _ in range(100):
        tags = rng.randint(0, 30)
        fresh = rows_of(rng, tags)
        given = {
            "fresh.row": fresh,
            "tag.value": numbers(rng, tags),
            "tag.range_low": [rng.choice((NAN, 18.0, -0.0, -math.inf)) for _ in range(tags)],
            "tag.range_high": [rng.choice((NAN, 22.0, 0.0, math.inf)) for _ in range(tags)],
            "tag.status": statuses(rng, tags),
        }
        agree("judge", given, reference, checks=CHECK_RANGE, fresh_count=len(fresh), now=0)


def test_rows_outside_the_tag_table_are_refused() -> None:
    for row in (-1, 1):
        assert refused("judge", {"fresh.row": [row]}, {"tag": 1}, checks=CHECK_RANGE, fresh_count=1, now=0) == {-1}
    assert refused("judge", {"fresh.row": [0]}, {"tag": 1}, checks=CHECK_RANGE, fresh_count=2, now=0) == {-1}
