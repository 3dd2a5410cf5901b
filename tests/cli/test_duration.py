"""Durations as people type them."""

from __future__ import annotations

import click
import pytest

from gatewayd.cli.duration import Duration


@pytest.mark.parametrize(
    ("text", "seconds"), [("90s", 90), ("30m", 1800), ("1h30m", 5400), ("1.5h", 5400), ("2 h", 7200), ("1d", 86_400)]
)
def test_a_number_with_its_unit_is_seconds(text, seconds):
    assert Duration().convert(text, None, None) == seconds


@pytest.mark.parametrize("text", ["30", "", "h", "-5m", "5 minutes", "1e9s", "inf", "٣m", "9" * 50 + "s"])
def test_anything_else_is_refused_with_an_example(text):
    with pytest.raises(click.BadParameter, match="1h30m"):
        Duration().convert(text, None, None)
