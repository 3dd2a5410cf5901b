import numpy as np
import pytest

from hil.bench.scoring.bootstrap import interval


def test_a_figure_that_all_files_share_has_no_spread():
    assert interval(10, lambda files: 3.0, draws=50) == (3.0, 3.0)


def test_the_interval_of_a_mean_is_as_wide_as_theory_says():
    values = np.random.default_rng(3).normal(10.0, 2.0, 100)
    low, high = interval(100, lambda files: float(values[files].mean()), draws=2000)
    assert (high - low) / 2 == pytest.approx(1.96 * values.std() / 10.0, rel=0.15)
    assert low < values.mean() < high


def test_the_same_draws_are_made_each_time():
    assert interval(5, sum, draws=20) == interval(5, sum, draws=20)
