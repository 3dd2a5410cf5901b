import random

from tests.kernels.harness import NAN, Columns, agree, refused, rows_of, statuses


def reference(columns: Columns, fresh_count: int) -> int:
    found = 0
    for row in columns["fresh.row"][:fresh_count]:
        heard = []  # (bit, alarm, score) of each detector
        for bit, name in ((1, "ewma"), (2, "cusum")):
            r = columns[f"tag.{name}_row"][row]
            if r >= 0:
                heard.append((bit, columns[f"{name}.alarm"][r], columns[f"{name}.score"][r]))
        if not heard:
            continue
        anomaly = sum(bit for bit, alarm, _ in heard if alarm == 1)
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
        "tag.ewma_row": [0, 1, 0, 1, 2, 1, 1, -1],
        "tag.cusum_row": [0, 0, 1, 1, 0, -1, 1, -1],
        "ewma.alarm": [0, 1, -1],
        "ewma.score": [1.5, 7.0, NAN],
        "cusum.alarm": [0, 1],
        "cusum.score": [0.5, 1.5],
        "tag.anomaly": [55] * 8,
    }
    result, after = agree("verdict", given, reference, fresh_count=8)
    assert after["tag.anomaly"] == [0, 1, 2, 3, -1, 1, -1, 55]
    assert result == 4


def test_random_rows() -> None:
    rng = random.Random(33)
    for _ in range(80):
        tags, detectors = rng.randint(0, 20), rng.randint(1, 5)
        given: Columns = {"fresh.row": rows_of(rng, tags), "tag.status": statuses(rng, tags)}
        for name in ("ewma", "cusum"):
            given[f"tag.{name}_row"] = [rng.randint(-1, detectors - 1) for _ in range(tags)]
            given[f"{name}.alarm"] = [rng.randint(-1, 1) for _ in range(detectors)]
            given[f"{name}.score"] = [NAN if alarm < 0 else rng.uniform(0, 9) for alarm in given[f"{name}.alarm"]]
        agree("verdict", given, reference, fresh_count=len(given["fresh.row"]))


def test_rows_outside_their_tables_are_refused() -> None:
    rows = {"tag": 1, "ewma": 1, "cusum": 1}
    assert refused("verdict", {"fresh.row": [1]}, rows, fresh_count=1) == {-1}
    assert refused("verdict", {"fresh.row": [0], "tag.ewma_row": [1]}, rows, fresh_count=1) == {-1}
    assert refused("verdict", {"fresh.row": [0], "tag.cusum_row": [1]}, rows, fresh_count=1) == {-1}
    assert refused("verdict", {"fresh.row": [0]}, rows, fresh_count=2) == {-1}
