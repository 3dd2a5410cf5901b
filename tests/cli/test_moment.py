"""Times on the command line: how long ago, or when."""

from __future__ import annotations

import click
import pytest

from gatewayd.cli.moment import Moment
from gatewayd.clock import SystemClock

HOUR_NS = 3_600 * 1_000_000_000


def moment(text: str) -> int:
    return Moment().convert(text, None, None)


def test_a_duration_is_that_long_ago():
    assert abs(SystemClock().wall_ns() - 2 * HOUR_NS - moment("2h")) < HOUR_NS // 60
    assert moment("90000d") == 1, "before 1970 is from the beginning"


def test_a_date_or_time_is_the_readers_unless_it_names_its_zone():
    assert moment("1970-01-02") == 24 * HOUR_NS
    assert moment("1970-01-01T06:00:00+01:00") == moment("1970-01-01 05:00") == 5 * HOUR_NS


@pytest.mark.parametrize("text", ["", "noon", "2026-13-01", "5", "h"])
def test_what_is_no_time_is_refused_with_examples(text):
    with pytest.raises(click.BadParameter, match="Write"):
        moment(text)
