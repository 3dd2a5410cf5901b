import random

from tests.kernels.harness import Columns, agree, refused, statuses

SECOND = 1_000_000_000
NO_COMMUNICATION = 0x408F0000


def reference(columns: Columns, tag_count: int, fresh_count: int, now_mono: int, pass_number: int) -> int:
    deadlines = []
    for row in range(tag_count):
        after = columns["tag.stale_after"][row]
        if after == 0:
            continue
        last = max(columns["tag.ingest_mono"][row], columns["tag.confirmed_mono"][row])
        if not columns["tag.stale"][row] and now_mono - last >= after:
            columns["tag.stale"][row] = 1
            if columns["tag.status"][row] < 0x80000000:
                columns["tag.status"][row] = NO_COMMUNICATION
            if columns["tag.fresh_mark"][row] != pass_number:
                columns["tag.fresh_mark"][row] = pass_number
                columns["fresh.row"][fresh_count] = row
                fresh_count += 1
        heard = now_mono if columns["tag.stale"][row] else last
        deadlines.append(heard + after)
    columns["out.value"][0] = min(deadlines, default=0)
    return fresh_count


def test_a_silent_tag_turns_stale_at_its_deadline_and_not_before() -> None:
    given = {
        "tag.ingest_mono": [10 * SECOND, 12 * SECOND, 0, 10 * SECOND],
        "tag.stale_after": [5 * SECOND, 5 * SECOND, 0, 5 * SECOND],
        "tag.status": [0, 0x40900000, 0, 0x80310000],
        "fresh.row": [0] * 4,
        "out.value": [99] * 8,
    }
    common = {"tag_count": 4, "fresh_count": 0, "pass_number": 3}
    result, after = agree("stale_check", given, reference, now_mono=15 * SECOND - 1, **common)
    assert (result, after["tag.stale"], after["out.value"][0]) == (0, [0, 0, 0, 0], 15 * SECOND)
    result, after = agree("stale_check", given, reference, now_mono=15 * SECOND, **common)
    assert (result, after["fresh.row"][:2], after["tag.stale"]) == (2, [0, 3], [1, 0, 0, 1])
    assert after["tag.status"] == [NO_COMMUNICATION, 0x40900000, 0, 0x80310000]
    assert after["out.value"][0] == 17 * SECOND


def test_the_deadline_is_a_lower_bound_whatever_arrives_in_between() -> None:
    """Played second by second: calling only when due marks the same rows at the same time as calling always."""
    rng = random.Random(27)
    for _ in range(20):
        rows = 6
        lazy: Columns = {
            "tag.ingest_mono": [0] * rows,
            "tag.stale_after": [rng.randint(0, 5) * SECOND for _ in range(rows)],
            "tag.status": [0] * rows,
            "tag.stale": [0] * rows,
            "tag.fresh_mark": [0] * rows,
            "fresh.row": [0] * rows,
            "out.value": [0] * 8,
        }
        eager = {name: list(cells) for name, cells in lazy.items()}
        due = 0
        for second in range(1, 40):
            for row in range(rows):
                if rng.random() < 0.15:
                    for state in (lazy, eager):
                        state["tag.ingest_mono"][row], state["tag.stale"][row] = second * SECOND, 0
            span = {"tag_count": rows, "fresh_count": 0, "now_mono": second * SECOND, "pass_number": second}
            _, eager = agree("stale_check", eager, reference, **span)
            if due <= second * SECOND:
                _, lazy = agree("stale_check", lazy, reference, **span)
                due = lazy["out.value"][0] or 1 << 62
            assert lazy["tag.stale"] == eager["tag.stale"]


def test_a_confirmed_tag_is_not_stale_and_a_stale_one_is_not_made_young_by_a_confirmation() -> None:
    """P-STALE: silence while the subscription lives is no age, but what went stale needs a sample to come back."""
    given = {
        "tag.ingest_mono": [10 * SECOND] * 2,
        "tag.confirmed_mono": [14 * SECOND] * 2,
        "tag.stale_after": [5 * SECOND] * 2,
        "tag.status": [0, NO_COMMUNICATION],
        "tag.stale": [0, 1],
        "fresh.row": [0] * 2,
        "out.value": [0] * 8,
    }
    common = {"tag_count": 2, "fresh_count": 0, "pass_number": 3}
    result, after = agree("stale_check", given, reference, now_mono=18 * SECOND, **common)
    assert (result, after["tag.stale"], after["tag.status"]) == (0, [0, 1], [0, NO_COMMUNICATION])
    result, after = agree("stale_check", given, reference, now_mono=19 * SECOND, **common)
    assert (result, after["tag.stale"]) == (1, [1, 1])


def test_without_limits_there_is_no_deadline() -> None:
    span = {"tag_count": 2, "fresh_count": 0, "now_mono": SECOND, "pass_number": 1}
    _, after = agree("stale_check", {"out.value": [7] * 8}, reference, {"tag": 2, "fresh": 2}, **span)
    assert after["out.value"][0] == 0


def test_random_rows() -> None:
    rng = random.Random(28)
    for _ in range(60):
        tags = rng.randint(0, 20)
        given = {
            "tag.ingest_mono": [rng.randint(1, 30) * SECOND for _ in range(tags)],
            "tag.confirmed_mono": [rng.choice((0, rng.randint(1, 30) * SECOND)) for _ in range(tags)],
            "tag.stale_after": [rng.choice((0, SECOND, 10 * SECOND)) for _ in range(tags)],
            "tag.status": statuses(rng, tags),
            "tag.stale": [rng.randint(0, 1) for _ in range(tags)],
            "tag.fresh_mark": [rng.choice((1, 2)) for _ in range(tags)],
            "fresh.row": [-1] * tags,
            "out.value": [0] * 8,
        }
        span = {"tag_count": rng.randint(0, tags), "fresh_count": 0, "now_mono": 20 * SECOND, "pass_number": 2}
        agree("stale_check", given, reference, **span)


def test_counts_outside_their_buffers_are_refused() -> None:
    good = {"tag_count": 1, "fresh_count": 0, "now_mono": 9 * SECOND, "pass_number": 1}
    given = {"tag.stale_after": [1], "out.value": [0] * 8, "fresh.row": [0]}
    assert refused("stale_check", given, **good) == {1}
    for name, number in (("tag_count", 2), ("tag_count", -1), ("fresh_count", 1), ("fresh_count", -1)):
        assert refused("stale_check", given, **(good | {name: number})) == {-1}, (name, number)
