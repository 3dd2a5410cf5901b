import random

from tests.kernels.harness import INT_MAX, NAN, Columns, agree, refused, rows_of

S = 10**9


def reference(columns: Columns, fresh_count: int) -> int:
    changed = 0
    for row in columns["fresh.row"][:fresh_count]:
        first, many = columns["tag.detector_first"][row], columns["tag.detector_count"][row]
        for d in range(first, first + many):
            cell = {name: columns[f"detector.{name}"][d] for name in CELLS}
            changed += hold(cell, columns["tag.ingest_mono"][row])
            for name in CELLS:
                columns[f"detector.{name}"][d] = cell[name]
    return changed


CELLS = ("hold_off", "hold_for", "score", "alarm", "passed_time", "passed_score")


def hold(cell: dict, now: int) -> int:
    if (cell["hold_off"] <= 0 and cell["hold_for"] <= 0) or cell["alarm"] == -1:
        return 0
    passed = 0 < cell["passed_time"] <= now
    since = now - cell["passed_time"]
    muted = 0
    if cell["alarm"] == 1:
        if not (passed and since < cell["hold_off"] and not cell["score"] > cell["passed_score"]):
            cell["passed_time"], cell["passed_score"] = now, cell["score"]
            return 0
        cell["alarm"], muted = 0, 1
    if passed and since < cell["hold_for"]:
        cell["alarm"], cell["score"] = 1, cell["passed_score"]
        return muted + 1
    return muted


def follow(samples: list[tuple[int, int, float]], *, hold_off: int = 0, hold_for: int = 0) -> list[tuple[int, float]]:
    """Feed (second, alarm, score); return what passes."""
    passed: Columns = {"detector.passed_time": [0], "detector.passed_score": [0.0]}
    told = []
    for second, alarm, score in samples:
        given = {"fresh.row": [0], "tag.ingest_mono": [second * S], "tag.detector_count": [1]} | passed
        given |= {"detector.alarm": [alarm], "detector.score": [score]}
        given |= {"detector.hold_off": [hold_off * S], "detector.hold_for": [hold_for * S]}
        _, after = agree("hold", given, reference, fresh_count=1)
        passed = {name: after[name] for name in passed}
        told.append((after["detector.alarm"][0], after["detector.score"][0]))
    return told


def test_within_the_hold_off_only_a_higher_score_alarms_again() -> None:
    told = follow([(1, 1, 5.0), (2, 1, 5.0), (3, 1, 6.0), (12, 1, 5.0), (13, 1, 1.0)], hold_off=10)
    assert [alarm for alarm, _ in told] == [1, 0, 1, 0, 1]


def test_an_alarm_lasts_as_long_as_it_is_held_with_its_score() -> None:
    told = follow([(1, 1, 5.0), (2, 0, 0.1), (5, 0, 0.1), (6, 0, 0.1)], hold_for=5)
    assert told == [(1, 5.0), (1, 5.0), (1, 5.0), (0, 0.1)]


def test_what_is_not_known_is_neither_muted_nor_held() -> None:
    told = follow([(1, 1, 5.0), (2, -1, 0.0), (3, 0, 0.1)], hold_off=10, hold_for=10)
    assert [alarm for alarm, _ in told] == [1, -1, 1]


def test_a_clock_that_goes_back_holds_nothing() -> None:
    told = follow([(9, 1, 5.0), (2, 0, 0.1), (3, 1, 1.0)], hold_off=10, hold_for=10)
    assert [alarm for alarm, _ in told] == [1, 0, 1]


def test_random_rows() -> None:
    rng = random.Random(52)
    for _ in range(80):
        tags = rng.randint(0, 10)
        counts = [rng.choice((0, 1, 2)) for _ in range(tags)]
        size = sum(counts)
        given: Columns = {
            "fresh.row": rows_of(rng, tags),
            "tag.ingest_mono": [rng.choice((0, 5, 9, 10**18)) for _ in range(tags)],
            "tag.detector_first": [sum(counts[:row]) for row in range(tags)],
            "tag.detector_count": counts,
            "detector.score": [rng.choice((0.0, 1.0, 5.0, NAN)) for _ in range(size)],
            "detector.alarm": [rng.randint(-1, 1) for _ in range(size)],
            "detector.hold_off": [rng.choice((0, 3, 100, -1)) for _ in range(size)],
            "detector.hold_for": [rng.choice((0, 3, 100, -1)) for _ in range(size)],
            "detector.passed_time": [rng.choice((0, 3, 5, 8, -9)) for _ in range(size)],
            "detector.passed_score": [rng.choice((0.0, 1.0, 5.0, NAN)) for _ in range(size)],
        }
        agree("hold", given, reference, fresh_count=len(given["fresh.row"]))


def test_rows_outside_their_tables_are_refused() -> None:
    rows = {"tag": 1, "detector": 1}
    assert refused("hold", {"fresh.row": [1]}, rows, fresh_count=1) == {-1}
    assert refused("hold", {"fresh.row": [0]}, rows, fresh_count=2) == {-1}
    for first, many in ((0, 2), (1, 1), (-1, 1), (0, -1), (0, INT_MAX), (INT_MAX, 1)):
        given = {"fresh.row": [0], "tag.detector_first": [first], "tag.detector_count": [many]}
        assert refused("hold", given, rows, fresh_count=1) == {-1}
