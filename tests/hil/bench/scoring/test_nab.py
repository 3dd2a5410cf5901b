import json
import math

import pytest

from hil.bench.scoring.nab import Corpus, Series, load, probation, sigmoid, worth

NAME = "realWorld/pump.csv"
ROWS, FIRST, LAST = 100, 50, 59  # 15 rows of probation, one window of ten


def series(windows=((FIRST, LAST),)) -> Series:
    return Series(NAME, [300 * 10**9 * row for row in range(ROWS)], [1.0] * ROWS, tuple(windows))


def scored(alarms: dict[int, float], profile: str = "standard", threshold: float | None = None):
    said = [alarms.get(row, 0.0) for row in range(ROWS)]
    return Corpus([series()]).score({NAME: said}, profile, threshold)


def test_probation_is_15_percent_and_at_most_750_rows():
    assert [probation(rows) for rows in (100, 4032, 5000, 22_000)] == [15, 604, 750, 750]


def test_no_alarm_is_0_and_the_first_row_of_each_window_is_100():
    assert scored({}, threshold=0.5).score == 0.0
    assert scored({FIRST: 1.0}).score == pytest.approx(100.0)
    assert scored({FIRST: 1.0, LAST: 1.0}).score == pytest.approx(100.0), "only the best row of a window counts"


def test_a_late_alarm_is_worth_less():
    """Row 54 of a window of ten rows from 50: 6 rows to its end, itself included."""
    by_hand = (2.0 / (1.0 + math.exp(-3.0)) - 1.0) / (2.0 / (1.0 + math.exp(-5.0)) - 1.0)
    assert scored({54: 1.0}).score == pytest.approx(50.0 * (by_hand + 1.0))


def test_a_false_row_costs_011_of_a_window_and_022_with_the_profile_against_them():
    assert scored({20: 1.0, FIRST: 1.0}, threshold=0.5).score == pytest.approx(100.0 - 50.0 * 0.11)
    assert scored({20: 1.0, FIRST: 1.0}, "low_fp", 0.5).score == pytest.approx(100.0 - 50.0 * 0.22)
    assert scored({20: 1.0}, "low_fn", 0.5).score == pytest.approx(100.0 * -0.11 / 3.0)


def test_just_after_a_window_a_row_costs_little():
    value, _ = worth(ROWS, [(FIRST, LAST)])
    assert value[LAST + 1] == pytest.approx(sigmoid(1 / 9))
    assert -0.5 < value[LAST + 1] < 0.0
    assert value[LAST + 30] == -1.0


def test_rows_of_the_probation_count_for_nothing():
    assert scored({3: 9.0, FIRST: 1.0}).score == pytest.approx(100.0)


def test_without_a_threshold_the_best_one_is_taken():
    found = scored({20: 1.0, 30: 3.0, FIRST: 2.0})
    assert (found.threshold, found.false_rows, found.found) == (2.0, 1, 1)
    assert scored({20: 1.0}).threshold == math.inf


def test_a_folder_is_read_as_it_is_shipped(tmp_path):
    (tmp_path / "realWorld").mkdir()
    rows = ["timestamp,value", "2014-02-14 14:30:00,0.5", "2014-02-14 14:35:00,7", "2014-02-14 14:35:00,8"]
    (tmp_path / NAME).write_text("\n".join(rows))
    labels = {NAME: [["2014-02-14 14:35:00.000000", "2014-02-14 14:35:00.000000"]], "realWorld/absent.csv": []}
    (tmp_path / "windows.json").write_text(json.dumps(labels))
    [one] = load(tmp_path)
    assert (one.name, one.values, one.windows) == (NAME, [0.5, 7.0, 8.0], ((1, 1),))
    assert one.time_ns[1] - one.time_ns[0] == 300 * 10**9
    assert one.labels().tolist() == [0, 1, 0]
