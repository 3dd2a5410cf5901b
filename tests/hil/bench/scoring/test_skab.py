import math

import numpy as np
import pytest

from hil.bench.scoring.skab import auc, changepoint_scores, flips, load, rates


def test_rates_of_a_case_counted_by_hand():
    """Two hits, one miss, one false alarm, four quiet rows, in two runs."""
    found = rates([np.array([1, 1, 1, 0]), np.array([0, 0, 0, 0])], [np.array([1, 1, 0, 1]), np.array([0, 0, 0, 0])])
    assert found.f1 == pytest.approx(2 / 3)
    assert (found.far, found.mar) == (pytest.approx(20.0), pytest.approx(100 / 3))
    assert found.mcc == pytest.approx((2 * 4 - 1 * 1) / math.sqrt(3 * 3 * 5 * 5))


def test_an_alarm_that_is_always_on_has_an_f1_and_no_mcc():
    found = rates([np.array([1, 0])], [np.array([1, 1])])
    assert (found.f1, found.far, found.mcc) == (pytest.approx(2 / 3), 100.0, 0.0)


def test_changepoints_are_where_an_alarm_begins_and_ends():
    assert flips([0, 1, 1, 0]).tolist() == [0, 1, 0, 1]
    assert flips([1, 1]).tolist() == [1, 0]


def scores(truth: list[int], said: list[int]) -> dict[str, float]:
    time_s = np.arange(300.0)
    marked = [np.isin(np.arange(300), rows).astype(int) for rows in (truth, said)]
    return changepoint_scores([time_s], [marked[0]], [marked[1]])


def test_a_changepoint_said_at_once_is_100_and_none_is_0():
    assert scores([100], [100])["standard"] == pytest.approx(100.0)
    assert scores([100], []) == {"standard": 0.0, "low_fp": 0.0, "low_fn": 0.0}


def test_one_said_late_is_worth_less_and_one_said_for_nothing_costs():
    assert scores([100], [130])["standard"] == pytest.approx(100 * (0.445 + 1) / 2, abs=0.5)
    assert scores([100], [100, 200])["standard"] == pytest.approx(100.0 - 5.5)
    assert scores([100], [100, 200])["low_fp"] == pytest.approx(100.0 - 11.0)


def test_the_later_of_two_windows_begins_where_the_earlier_ends():
    """Changepoints at 100 and 130: what is said at 140 belongs to the first."""
    assert scores([100, 130], [140])["standard"] < 50.0
    assert scores([100, 130], [100, 161])["standard"] == pytest.approx(100.0, abs=1.0)


def test_auc_counts_ties_half():
    assert auc([3.0, 1.0, 2.0], [1, 0, 0]) == 1.0
    assert auc([1.0, 1.0], [1, 0]) == 0.5


def test_a_folder_is_read_as_it_is_shipped(tmp_path):
    (tmp_path / "valve1").mkdir()
    row = ";".join(["1.5"] * 8)
    (tmp_path / "valve1" / "0.csv").write_text(f"head\n2020-03-09 10:14:33;{row};1;0\n2020-03-09 10:14:34;{row};0;1\n")
    (tmp_path / "anomaly-free.csv").write_text(f"head\n2020-02-08 13:30:47;{row}\n")
    labelled, sound = load(tmp_path)
    assert [run.name for run in labelled + sound] == ["valve1/0.csv", "anomaly-free.csv"]
    assert labelled[0].anomaly.tolist() == [1.0, 0.0]
    assert labelled[0].changepoint.tolist() == [0.0, 1.0]
    assert np.diff(labelled[0].time_s).tolist() == [1.0]
