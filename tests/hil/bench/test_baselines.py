import numpy as np
import pytest

from hil.bench.baselines import clock, flow_only, hold_off, peak_hold, range_record, z_score


def test_the_clock_reads_nothing():
    assert np.flatnonzero(clock([0.0] * 1300)).tolist() == [599, 1199]


def test_a_range_record_is_measured_in_parts_of_the_range():
    values = [0.0, 10.0] * 200 + [11.0, 11.0, 5.0, -0.55]
    assert range_record(values)[400:].tolist() == [pytest.approx(2.0), 0.0, 0.0, pytest.approx(1.0)]


def test_z_is_of_the_mean_and_deviation_before():
    values = [1.0, -1.0] * 300 + [10.0]
    assert z_score(values)[-1] == pytest.approx(10.0, rel=0.05)


def test_the_hold_off_lets_only_more_through():
    assert hold_off([1.0, 1.0, 2.0, 1.5, 0.0, 1.0], 3).tolist() == [1.0, 0.0, 2.0, 0.0, 0.0, 0.0]
    assert hold_off([1.0, 0.0, 0.0, 1.0], 2).tolist() == [1.0, 0.0, 0.0, 1.0]


def test_a_held_peak_fades():
    assert peak_hold([4.0, 0.0, 3.0, 0.0], 0.5).tolist() == [4.0, 2.0, 3.0, 1.5]


def test_a_step_of_the_flow_is_seen_against_its_calibration():
    values = np.concatenate([np.sin(np.arange(400.0)), np.full(100, 8.0)])
    said = flow_only(values, 400)
    assert said[20:400].max() < 5.0 < said[-1]
