import random

from tests.kernels.harness import INT_MAX, NAN, Columns, agree, refused, rows_of, statuses


def reference(columns: Columns, fresh_count: int) -> int:
    found = 0
    for row in columns["fresh.row"][:fresh_count]:
        first, count = columns["tag.detector_first"][row], columns["tag.detector_count"][row]
        heard = [
            (columns["detector.kind"][d], columns["detector.alarm"][d], columns["detector.score"][d])
            for d in range(first, first + count)
        ]
        if not heard:
            continue
        anomaly = sum(1 << kind for kind, alarm, _ in heard if alarm == 1)
        if not anomaly and any(alarm == -1 for _, alarm, _ in heard):
            anomaly = -1
        score = max((score for _, alarm, score in heard if alarm != -1), default=NAN)
        if columns["tag.status"][row] >> 30 != 0:
            anomaly, score = -1, NAN
        columns["tag.anomaly"][row], columns["tag.anomaly_score"][row] = anomaly, score
        found += anomaly > 0
    return found


def test_alarms_add_up_and_not_knowing_is_not_none() -> None:
    given = {
        "fresh.row": list(range(8)),
        "tag.status": [0, 0, 0, 0, 0, 0, 0x80070000, 0],
        "tag.detector_first": [0, 2, 3, 5, 7, 7, 1, 0],
        "tag.detector_count": [2, 1, 2, 2, 2, 1, 1, 0],
        #                 0 none+none  1   2 none+sixth  3 first+sixth  unknown+none
        "detector.kind": [0, 1, 0, 0, 5, 0, 5, 0, 1],
        "detector.alarm": [0, 0, 1, 0, 1, 1, 1, -1, 0],
        "detector.score": [1.5, 0.5, 7.0, 1.5, 3.0, 7.0, 3.0, NAN, 0.5],
        "tag.anomaly": [55] * 8,
    }
    result, after = agree("verdict", given, reference, fresh_count=8)
    assert after["tag.anomaly"] == [0, 1, 32, 33, -1, -1, -1, 55]
    assert result == 3


def test_random_rows() -> None:
    rng = random.Random(33)
    for _ in range(80):
        tags = rng.randint(0, 20)
        counts = [rng.choice((0, 1, 1, 2, 5)) for _ in range(tags)]
        total = sum(counts)
        given: Columns = {
            "fresh.row": rows_of(rng, tags),
            "tag.status": statuses(rng, tags),
            "tag.detector_first": [sum(counts[:row]) for row in range(tags)],
            "tag.detector_count": counts,
            "detector.kind": [],
            "detector.alarm": [rng.randint(-1, 1) for _ in range(total)],
        }
        for count in counts:
            given["detector.kind"] += rng.sample(range(63), count)
        given["detector.score"] = [NAN if alarm < 0 else rng.uniform(0, 9) for alarm in given["detector.alarm"]]
        agree("verdict", given, reference, fresh_count=len(given["fresh.row"]))


def test_rows_outside_their_tables_are_refused() -> None:
    rows = {"tag": 1, "detector": 1}
    assert refused("verdict", {"fresh.row": [1]}, rows, fresh_count=1) == {-1}
    assert refused("verdict", {"fresh.row": [0]}, rows, fresh_count=2) == {-1}
    for first, count in ((0, 2), (1, 1), (-1, 1), (0, -1), (0, INT_MAX), (INT_MAX, 1)):
        given = {"fresh.row": [0], "tag.detector_first": [first], "tag.detector_count": [count]}
        assert refused("verdict", given, rows, fresh_count=1) == {-1}


def test_a_kind_outside_the_mask_is_refused() -> None:
    for kind in (-1, 63):
        given = {"fresh.row": [0], "tag.detector_count": [1], "detector.alarm": [1], "detector.kind": [kind]}
        assert refused("verdict", given, {"tag": 1}, fresh_count=1) == {-1}
