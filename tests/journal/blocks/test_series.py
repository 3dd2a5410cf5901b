"""Times of consecutive cycles take as many bits as they jitter, and come back to the last nanosecond."""

from __future__ import annotations

import random

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from gatewayd.journal.blocks.series import Series, pack, unpack

SECOND = 1_000_000_000


@given(st.lists(st.integers(-(2**62), 2**62), max_size=200))
@example([])
@example([2**62])
@example([-(2**62), 2**62])
@example([0, 1, 2**62, 2**62])
@example([-(2**62), 2**62, -(2**62), 2**62])
def test_whatever_is_packed_comes_back(numbers):
    series, content = pack(numbers)
    assert series.is_sound
    assert series.size == len(content)
    assert unpack(series, content) == numbers


@given(st.integers(0, 2**60), st.integers(0, 2**40), st.integers(2, 300))
def test_an_even_clock_takes_no_bytes(start, period, count):
    series, content = pack([start + place * period for place in range(count)])
    assert content == b""
    assert unpack(series, content) == [start + place * period for place in range(count)]


def test_jitter_takes_the_bits_of_its_width():
    """A scan due each second and up to 3 ms off, by a clock of microseconds: 13 bits each."""
    chance = random.Random(1)
    times = [place * SECOND + 1000 * chance.randrange(-3000, 3000) for place in range(60)]
    series, content = pack(times)
    assert (series.step, series.bits, series.is_steps) == (1000, 13, False)
    assert len(content) == (60 * 13 + 7) // 8


def test_a_clock_that_wanders_is_told_by_its_steps():
    chance = random.Random(1)
    times = [0]
    for _ in range(500):
        times.append(times[-1] + SECOND + chance.randrange(100))
    series, content = pack(times)
    assert series.is_steps
    assert len(content) < 500


def test_one_number_far_off_does_not_widen_all_others():
    numbers = [place % 7 for place in range(1000)]
    numbers[500] = 2**50
    series, content = pack(numbers)
    assert series.width == 7
    assert unpack(series, content) == numbers


@pytest.mark.parametrize("series", [Series(-1), Series(1, bits=67), Series(1, width=9), Series(1, bits=-1)])
def test_a_series_out_of_bounds_is_told_before_anything_is_made_of_it(series):
    assert not series.is_sound
