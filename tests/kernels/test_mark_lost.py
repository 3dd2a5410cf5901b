import random

from tests.kernels.decoded import ERROR_BOUNDS, tag_columns
from tests.kernels.decoded import TIMES as SAMPLE_TIMES
from tests.kernels.harness import NAN, Columns, agree, refused

KERNEL = "mark_lost"
TIMES = {name: time for name, time in SAMPLE_TIMES.items() if name != "response_mono"}
TIMEOUT = 0x800A0000


def reference(columns: Columns, **s: int) -> int:
    fresh = s["fresh_count"]
    for i in range(s["first"], s["first"] + s["count"]):
        row = columns["plan.row"][i]
        columns["tag.value"][row] = NAN
        columns["tag.status"][row] = s["lost_status"]
        columns["tag.ingest_time"][row] = s["response_time"]
        columns["tag.processing_time"][row] = s["now"]
        if columns["tag.fresh_mark"][row] != s["pass_number"]:
            columns["tag.fresh_mark"][row] = s["pass_number"]
            columns["fresh.row"][fresh] = row
            fresh += 1
    return fresh


def test_a_lost_sample_is_nan_with_the_status_of_the_loss_and_does_not_count_as_a_sample() -> None:
    given = {"plan.row": [2, 0]} | tag_columns(random.Random(1), 3)
    span = {"first": 0, "count": 2, "fresh_count": 0, "pass_number": 9, "lost_status": TIMEOUT}
    result, after = agree(KERNEL, given, reference, **span, **TIMES)
    assert (result, after["fresh.row"][:2]) == (2, [2, 0])
    assert after["tag.sequence"] == given["tag.sequence"]
    assert after["tag.source_time"] == [5, 5, 5]
    assert after["tag.status"] == [TIMEOUT, 0x80310000, TIMEOUT]


def test_random_plans() -> None:
    rng = random.Random(21)
    for _ in range(50):
        tags, plans = rng.randint(1, 9), rng.randint(0, 12)
        given = {"plan.row": [rng.randrange(tags) for _ in range(plans)]} | tag_columns(rng, tags)
        first = rng.randint(0, plans)
        span = {"first": first, "count": rng.randint(0, plans - first), "fresh_count": 0, "pass_number": 4}
        agree(KERNEL, given, reference, **span, lost_status=TIMEOUT, **TIMES)


def test_ranges_and_rows_outside_their_buffers_are_refused() -> None:
    given = {"plan.row": [0]} | tag_columns(random.Random(3), 1)
    good = {"first": 0, "count": 1, "fresh_count": 0, "pass_number": 9, "lost_status": TIMEOUT} | TIMES
    for name, number in (("first", 1), ("first", -1), ("count", 2), ("count", -1), ("fresh_count", 1)):
        assert refused(KERNEL, given, **(good | {name: number})) == {ERROR_BOUNDS}, (name, number)
    assert refused(KERNEL, given | {"plan.row": [1]}, **good) == {ERROR_BOUNDS}
