"""What windows say of the samples they hold, in every form. The random comparison is tests/core/expr/test_reference.py."""

from __future__ import annotations

import math

import pytest

from tests.core.expr.plant import BAD, SECOND, START, Plant
from tests.kernels.harness import FORMS, kernels

NAN = math.nan


@pytest.fixture(params=FORMS)
def plant(request):
    """Makes a plant in each form; a is 1, c is 3."""

    def make(*expressions):
        made = Plant(expressions, kernels=kernels(request.param))
        made.sample("a", 1.0)
        made.sample("c", 3.0)
        return made

    return make


def number(text):
    return (text, "number")


def same(found, wanted):
    """NaN equals NaN."""
    return [str(value) for value in found] == [str(value) for value in wanted]


def test_rate_is_newest_less_oldest_over_their_time(plant):
    made = plant(number("rate(a, 10s)"))
    for value in (2.0, 7.0, 3.0, 9.0):
        made.advance(3)
        made.sample("a", value)
    assert made.ask() == (9.0 - 2.0) / 9.0


def test_avg_is_the_mean_of_the_samples_oldest_first(plant):
    made = plant(number("avg(a, 10s)"))
    for value in (1e16, 1.0, -1e16, 1.0):
        made.advance(3)
        made.sample("a", value)
    assert made.ask() == (1e16 + 1.0 - 1e16 + 1.0) / 4.0


def test_what_a_window_can_say_of_its_samples(plant):
    functions = ("min", "max", "count", "std", "integral")
    made = plant(*(number(f"{function}(a, 10s)") for function in functions))
    for value in (2.0, 7.0, 3.0, 8.0):
        made.advance(3)
        made.sample("a", value)
    made.run()
    area = (2 + 7) / 2 * 3 + (7 + 3) / 2 * 3 + (3 + 8) / 2 * 3
    assert made.results() == [2.0, 8.0, 4.0, math.sqrt((9 + 4 + 4 + 9) / 4), area]


def test_one_sample_has_no_deviation_and_no_area_and_none_but_a_count(plant):
    functions = ("min", "max", "count", "std", "integral")
    made = plant(*(number(f"{function}(a, 4s)") for function in functions))
    made.sample("a", 3.0)
    made.advance(4)
    made.run()
    assert same(made.results(), [3.0, 3.0, 1.0, NAN, NAN])
    made.advance(1)
    made.run()
    assert same(made.results(), [NAN, NAN, 0.0, NAN, NAN])


def test_a_deviation_that_has_no_value_is_unknown(plant):
    made = plant(number("std(a, 10s)"), number("integral(a, 10s)"), number("max(a, 10s)"))
    for value in (1.0, math.inf, 2.0):
        made.advance(3)
        made.sample("a", value)
    made.run()
    assert same(made.results(), [NAN, math.inf, math.inf])


def test_samples_older_than_the_window_do_not_count_even_if_nothing_new_came(plant):
    made = plant(number("avg(a, 10s)"), number("rate(a, 10s)"))
    for value in (100.0, 5.0, 7.0):
        made.advance(4)
        made.sample("a", value)
    made.advance(3)  # the first is 11 s old now
    made.run()
    assert made.results() == [6.0, 0.5]
    made.advance(4)
    made.run()
    assert same(made.results(), [7.0, NAN])
    made.advance(4)
    made.run()
    assert same(made.results(), [NAN, NAN])


def test_a_sample_exactly_as_old_as_the_window_counts(plant):
    made = plant(number("avg(a, 4s)"))
    made.sample("a", 3.0)
    made.advance(4)
    assert made.ask() == 3.0
    made.now += 1
    assert math.isnan(made.ask())


def test_it_is_unknown_until_half_of_it_is_covered(plant):
    made = plant(number("avg(a, 10s)"))
    made.advance(4.999999999)
    assert math.isnan(made.ask())
    made.advance(0.000000001)
    assert made.ask() == 1.0


def test_a_bad_sample_makes_it_unknown_until_half_is_covered_again(plant):
    made = plant(number("avg(a, 10s)"))
    made.advance(6)
    made.sample("a", 3.0)
    assert made.ask() == 2.0
    made.advance(1)
    made.sample("a", 9.0, BAD)
    assert math.isnan(made.ask())
    made.advance(1)
    made.sample("a", 5.0)
    assert math.isnan(made.ask())
    made.advance(5)
    assert made.ask() == 4.0  # 3 and 5: what was good before the bad one still counts, 1 is too old


def test_it_is_unknown_while_its_tag_is_stale(plant):
    made = plant(number("avg(a, 10s)"))
    made.advance(6)
    assert made.ask() == 1.0
    made.tag.stale[0] = 1
    assert math.isnan(made.ask())


def test_a_window_of_another_tag_does_not_mix(plant):
    made = plant(number("avg(a, 10s)"), number("avg(c, 10s)"), number("avg(c, 4s)"))
    made.advance(5)
    made.sample("c", 5.0)
    made.advance(2)
    made.run()
    assert made.results() == [1.0, 4.0, 5.0]


def test_a_window_runs_again_when_its_oldest_sample_leaves_unless_a_sample_is_due(plant):
    made = plant(number("max(a, 10s)"))
    made.advance(6)
    made.sample("a", 0.0)
    assert made.ask() == 1.0
    assert made.next_deadline() == START + 10 * SECOND + 1
    made.now = made.next_deadline()
    assert made.ask() == 0.0
    made.sample("a", 0.5)
    made.ask()
    assert made.next_deadline() == START + 16 * SECOND + 1
    made.advance(5.5)
    made.sample("a", 0.0)
    made.ask()
    assert made.next_deadline() == made.now + 2 * SECOND  # a sample comes every second: two are waited for


def test_a_late_sample_counts_and_the_window_is_unknown_while_its_tag_shows_one_that_is_too_late(plant):
    made = plant(number("avg(a, 10s)"), number("count(a, 10s)"))
    made.advance(8)
    made.sample("a", 4.0)
    made.sample("a", 7.0, event=START + 4 * SECOND)
    made.run()
    assert made.results() == [4.0, 3.0]
    made.sample("a", 9.0, event=START - 3 * SECOND)
    made.run()
    assert same(made.results(), [NAN, NAN])
    made.advance(1)
    made.sample("a", 5.0)
    made.run()
    assert made.results() == [4.25, 4.0]


def test_a_device_whose_clock_is_an_hour_off_is_looked_back_on_all_the_same(plant):
    made = plant(number("rate(a, 10s)"))
    for step in range(1, 12):
        made.advance(1)
        made.sample("a", 2.0 * step, event=made.now + 3600 * SECOND)
    assert made.ask() == 2.0
    made.advance(5)
    made.ask()
    assert made.next_deadline() == START + 16 * SECOND + 1  # what was taken at 6 leaves, by our clock
