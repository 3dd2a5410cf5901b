"""Tables, numbers and times."""

from __future__ import annotations

import click
import pytest

from gatewayd.cli import show

SECOND = 10**9


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.04, "0.0 s"),
        (9.94, "9.9 s"),
        (10, "10 s"),
        (59, "59 s"),
        (60, "1 min"),
        (95, "1 min 35 s"),
        (3600, "1 h"),
        (5400, "1 h 30 min"),
        (93_784, "1 d 2 h"),
        (-61, "-1 min 1 s"),
    ],
)
def test_durations_have_at_most_two_units(seconds, text):
    assert show.span(seconds) == text


def test_past_future_and_never():
    now_ns = 1_750_000_000 * SECOND
    assert show.ago(now_ns - 90 * SECOND, now_ns) == "1 min 30 s ago"
    assert show.ago(now_ns + 90 * SECOND, now_ns) == "in 1 min 30 s"
    assert show.ago(0, now_ns) == "never"
    assert show.at(now_ns + 123 * 10**6) == "2025-06-15 15:06:40.123+00:00"


def test_columns_line_up_although_cells_are_coloured():
    lines = show.table(("A", "NUMBER"), [(click.style("x", fg="red"), "1"), ("long", "1000")], right=(1,))
    assert [click.unstyle(line) for line in lines.splitlines()] == ["A     NUMBER", "x          1", "long    1000"]


def test_the_last_column_is_cut_to_the_terminal(monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    (_, line) = show.table(("A", "TEXT"), [("x", "y" * 200)]).splitlines()
    assert len(line) == 80
    assert line.endswith("…")


def test_the_colour_follows_the_meaning():
    assert "\x1b[31m" in show.state("Bad_Timeout")
    assert "\x1b[32m" in show.state("verified")
    assert show.state("whatever") == "whatever"


def test_numbers_keep_six_digits_and_nothing_is_no_zero():
    assert [show.number(86.2400001, "degC"), show.number(0.0), show.number(None, "m")] == ["86.24 degC", "0", "-"]


def test_a_text_of_a_device_is_quoted_cut_and_drives_no_terminal():
    assert show.text("SN 42") == '"SN 42"'
    assert show.text("a\x1b[31mb") == '"a [31mb"'
    assert len(show.text("x" * 99)) == 42
