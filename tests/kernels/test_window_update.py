"""Rings of samples, in every form, against a history that forgets nothing."""

from __future__ import annotations

import math
import random

import pytest

from tests.core.expr.plant import BAD, SECOND, START, UNCERTAIN, Plant
from tests.kernels.harness import FORMS, kernels


@pytest.fixture(params=FORMS)
def plant(request):
    """One tag `a` with a window of 10 s (28 cells) and one of 2 s (16 cells)."""
    return Plant(["rate(a, 10s) > avg(a, 2s)"], kernels=kernels(request.param))


def held(plant, window=0):
    """Samples of a window as (seconds after the start, value), oldest first."""
    first, size = plant.window.ring_first[window], plant.window.ring_size[window]
    head, count = plant.window.head[window], plant.window.count[window]
    cells = [first + (head - back) % size for back in reversed(range(count))]
    return [((plant.ring.time[cell] - START) / SECOND, plant.ring.value[cell]) for cell in cells]


def late(plant, window=0):
    return plant.window.late[window], plant.window.lost[window]


def tell(plant, *samples):
    for seconds, value in samples:
        plant.now = START + round(seconds * SECOND)
        plant.sample("a", value)


def test_each_window_keeps_the_samples_of_its_own_duration(plant):
    tell(plant, (0, 1.0), (1, 2.0), (2, 3.0), (3, 4.0))
    assert held(plant, 0) == [(0, 1.0), (1, 2.0), (2, 3.0), (3, 4.0)]
    assert held(plant, 1) == [(1, 2.0), (2, 3.0), (3, 4.0)]


def test_it_says_how_many_samples_entered(plant):
    plant.tag.value[0], plant.tag.status[0], plant.tag.ingest_mono[0] = 1.0, 0, START
    plant.tag.event_time[0], plant.tag.sequence[0] = START, 1
    assert plant.refresh("a") == 2
    assert plant.refresh("b") == 0
    assert plant.refresh() == 0


def test_a_row_that_is_fresh_without_a_new_sample_enters_once(plant):
    tell(plant, (0, 1.0), (1, 2.0))
    assert plant.refresh("a") == 0
    assert held(plant) == [(0, 1.0), (1, 2.0)]


@pytest.mark.parametrize(("value", "status"), [(9.0, BAD), (9.0, UNCERTAIN), (math.nan, 0)])
def test_a_bad_sample_does_not_enter_and_breaks_the_coverage(plant, value, status):
    tell(plant, (0, 1.0))
    assert plant.window.full_since[0] == START
    plant.now = START + SECOND
    plant.sample("a", value, status)
    assert held(plant) == [(0, 1.0)]
    assert plant.window.full_since[0] == 0
    tell(plant, (2, 3.0), (3, 4.0))
    assert plant.window.full_since[0] == START + 2 * SECOND
    assert held(plant) == [(0, 1.0), (2, 3.0), (3, 4.0)]


def test_turning_stale_breaks_the_coverage(plant):
    tell(plant, (0, 1.0))
    plant.advance(5)
    plant.turn_stale("a")
    assert list(plant.window.full_since) == [0, 0]


def test_a_silence_longer_than_the_window_starts_its_coverage_anew(plant):
    tell(plant, (0, 1.0), (1, 2.0), (3.5, 3.0))
    assert plant.window.full_since[0] == START
    assert plant.window.full_since[1] == START + 3.5 * SECOND
    assert held(plant, 1) == [(3.5, 3.0)]


def test_a_full_ring_loses_its_oldest_counts_it_and_is_unknown_until_nothing_is_missing(plant):
    samples = [(step / 10, float(step)) for step in range(40)]
    tell(plant, *samples)
    assert held(plant, 0) == samples[-28:]
    assert held(plant, 1) == samples[-16:]
    assert plant.window.full_since[0] == START
    assert [late(plant, window) for window in (0, 1)] == [(0, 12), (0, 24)]
    assert plant.window.cut[0] == START + round(1.1 * SECOND)
    assert math.isnan(plant.ask())
    plant.advance(10)
    tell(plant, *[((plant.now - START) / SECOND + step, 1.0) for step in range(8)])
    assert plant.ask() == 0.0


def test_a_ring_goes_round_many_times_without_losing_order(plant):
    samples = [(step * 0.75, float(step)) for step in range(500)]
    for step, sample in enumerate(samples):
        tell(plant, sample)
        assert held(plant) == [past for past in samples[: step + 1] if past[0] >= sample[0] - 10]


def taken(plant, arrives, event, value):
    """A sample that arrives later than it was taken, both in seconds after the start."""
    plant.now = START + round(arrives * SECOND)
    plant.sample("a", value, event=START + round(event * SECOND))


def test_a_late_sample_enters_where_it_belongs(plant):
    tell(plant, (0, 1.0), (1, 2.0), (5, 3.0))
    taken(plant, 6, 3, 9.0)
    assert held(plant, 0) == [(0, 1.0), (1, 2.0), (3, 9.0), (5, 3.0)]
    assert held(plant, 1) == [(3, 9.0), (5, 3.0)]
    taken(plant, 7, 0.5, 8.0)
    assert held(plant, 0) == [(0, 1.0), (0.5, 8.0), (1, 2.0), (3, 9.0), (5, 3.0)]
    assert [late(plant, window) for window in (0, 1)] == [(0, 0), (1, 0)]


def test_the_order_of_arrival_does_not_matter_to_what_is_held(plant):
    samples = [(step * 0.75, float(step)) for step in range(12)]
    rng = random.Random(7)
    for _ in range(20):
        made = Plant(["rate(a, 10s) > avg(a, 2s)"], kernels=plant.kernels)
        for event, value in rng.sample(samples, len(samples)):
            taken(made, 9, event, value)
        assert held(made, 0) == samples
        assert held(made, 1) == samples[-3:]


def test_a_sample_of_the_same_time_takes_the_others_place_and_makes_nothing_younger(plant):
    tell(plant, (0, 1.0), (1, 2.0))
    taken(plant, 3, 1, 7.0)
    taken(plant, 4, 0, 5.0)
    assert held(plant) == [(0, 5.0), (1, 7.0)]
    assert plant.window.newest_mono[0] == START + SECOND


def test_a_sample_older_than_the_window_is_counted_and_left_out(plant):
    tell(plant, (0, 1.0), (1, 2.0))
    taken(plant, 2, -9.5, 7.0)
    assert held(plant) == [(0, 1.0), (1, 2.0)]
    assert late(plant) == (1, 0)
    assert plant.refresh("a") == 0  # without a new sample it is not counted again
    assert late(plant) == (1, 0)


def test_a_device_whose_clock_was_set_back_begins_anew_once_all_that_was_kept_has_left(plant):
    tell(plant, (0, 1.0), (1, 2.0))
    taken(plant, 11, -500, 7.0)
    assert late(plant) == (1, 0)
    taken(plant, 11.5, -499.5, 8.0)
    assert held(plant) == [(-499.5, 8.0)]
    assert plant.window.full_since[0] == START - 499.5 * SECOND


@pytest.mark.parametrize("event", [0, -5, 2**62 + 1, 2**63 - 1, -(2**63)])
def test_a_time_that_is_none_is_left_out(plant, event):
    tell(plant, (0, 1.0))
    plant.sample("a", 3.0, event=event)
    assert held(plant) == [(0, 1.0)]
    assert late(plant) == (1, 0)
