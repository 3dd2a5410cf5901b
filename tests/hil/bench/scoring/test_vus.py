import math

import numpy as np
import pytest

from hil.bench.scoring.vus import stretches, vus_pr


def test_stretches_are_the_runs_of_labelled_rows():
    assert stretches([0, 1, 1, 0, 0, 1]) == [(1, 2), (5, 5)]
    assert stretches([0, 0]) == []


def test_a_perfect_score_is_1_and_nothing_labelled_is_no_score():
    labels = [0] * 50 + [1] * 10 + [0] * 50
    assert vus_pr(labels, labels, 0) == pytest.approx(1.0)
    assert math.isnan(vus_pr([1.0, 2.0], [0, 0], 10))


def test_without_a_tolerance_it_is_the_area_under_precision_and_recall():
    """Scores 4 3 2 1, labels 1 0 1 0: recall .5 at precision 1, then 1 at 2/3."""
    assert vus_pr([4.0, 3.0, 2.0, 1.0], [1, 0, 1, 0], 0) == pytest.approx(
        # each of the two stretches met counts half: recall (1/2)(1/2), then (2/2)(2/2)
        0.25 * 1.0 + 0.75 * (2.0 / 3.0)
    )


def test_an_alarm_beside_a_stretch_is_worth_something_only_with_a_tolerance():
    labels, scores = np.zeros(200), np.zeros(200)
    labels[100:110], scores[97] = 1, 1.0
    assert vus_pr(scores, labels, 20) > vus_pr(scores, labels, 0)


def test_a_chance_ranking_is_about_the_share_of_labelled_rows():
    labels = np.zeros(20_000)
    labels[5000:7000] = 1
    assert vus_pr(np.random.default_rng(1).random(20_000), labels, 10) == pytest.approx(0.1, abs=0.02)
