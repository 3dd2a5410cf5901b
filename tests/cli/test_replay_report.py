"""A replay as people read it."""

from __future__ import annotations

from gatewayd.cli.replay_report import cycle, page
from gatewayd.replay.report import Difference, Gap, Report, Sample

RUN = 1 << 40


def test_a_gap_says_where_why_and_how_many_decisions():
    report = Report(records=3, gaps=[Gap("power was cut", RUN + 5, 0, 2), Gap("too old", decisions=-1)])
    shown = page(report, place="here", took_ns=1_000_000_000)
    assert "as far as it can be replayed" in shown
    assert "  run 1 cycle 5 to its end: power was cut (2 decisions)" in shown
    assert "  too old\n" in shown + "\n"


def test_a_replay_without_records_claims_nothing():
    assert "Nothing was decided" in page(Report(cycles=5), place="here", took_ns=1)


def test_what_comes_from_outside_cannot_drive_the_terminal():
    sample = Sample("pump\x1b[2J", 1.0, 0, 0)
    difference = Difference("record 1\x1b[2J", RUN + 1, 1, samples=(sample,), samples_in_all=9)
    shown = page(Report(records=1, difference=difference), place="here\x07", took_ns=1)
    assert "\x1b[2J" not in shown
    assert "\x07" not in shown
    assert "and 8 more" in shown


def test_a_cycle_is_told_by_its_run():
    assert (cycle(3 * RUN + 7), cycle(0)) == ("run 3 cycle 7", "a cycle not known")
