"""The report of a backtest says what its figures leave out."""

from __future__ import annotations

from gatewayd.backtest.tally import Tally
from gatewayd.cli.backtest_report import Run, fields, page
from tests.core.scenario import HOT, point, site_of

NS = 1_000_000_000


def test_tags_that_were_never_sampled_and_notes_are_named():
    tally = Tally(site_of([HOT], [point()]))
    run = Run(samples=7, first_ns=NS, now_ns=2 * NS, unsampled=("a\x1b[2J", "b"), notes=("one cycle is missing",))

    text = page(tally, run, with_events=True)

    assert "not in the recording, so unknown all the time: a [2J, b" in text
    assert text.endswith("one cycle is missing")
    assert "no events" in text
    assert fields(tally, run, with_events=False)["events_left_out"] == 0
