"""Starting with what the last run left behind."""

from __future__ import annotations

import math

from gatewayd.core.decide.lifecycle import await_outcomes
from gatewayd.model.decision import Mode, OutcomeResult, SetMode, WriteOutcome
from tests.core.scenario import Scenario, hot_plant


def restarted_in_doubt(result: OutcomeResult, read_back: float) -> Scenario:
    """A run that was killed after a decision; the next one reads back what became of the write."""
    before = hot_plant()
    before.sample(temp=90.0)
    command = before.commands[-1]
    after = before.successor()
    await_outcomes(after.state, after.site, [("pump.speed", command.decision_id), ("pump.gone", 99)])
    after.state.next_decision_id = command.decision_id + 1
    after.ask(SetMode(mode=Mode.AUTO, reason="settled"))
    after.run(1, temp=90.0, speed=80.0)
    after.override(60.0)
    assert after.commands == [], "not even a person's value while the last write is in doubt"
    outcome = WriteOutcome(command.decision_id, 0, result, command.value, read_back, sent_ns=0, answered_ns=1)
    after.cycle(outcomes=(outcome,))
    after.run(1, temp=90.0, speed=80.0)
    return after


def test_nobody_writes_a_point_whose_last_write_is_in_doubt():
    after = restarted_in_doubt(OutcomeResult.VERIFIED, 40.0)
    assert after.commands[-1].value == 60.0


def test_a_write_that_was_never_sent_does_not_count_against_its_actuator():
    """Killed between decision and write: the old value is read back, and that is no mismatch of the plant."""
    after = restarted_in_doubt(OutcomeResult.MISMATCH, 80.0)
    assert after.state.points[0].mismatches == []
    assert after.writes[-1] == (60.0, ("override",))


def test_a_device_that_stays_away_leaves_the_point_unknown_and_unwritten():
    after = restarted_in_doubt(OutcomeResult.UNKNOWN, math.nan)
    assert after.commands == [], "a failed write is not tried again at once"
    after.run(5, temp=90.0, speed=80.0)
    assert after.commands[-1].previous == 80.0


def test_what_we_commanded_is_handed_back_after_a_restart():
    before = hot_plant()
    before.sample(temp=90.0)
    before.settle()
    after = before.successor()
    after.ask(SetMode(mode=Mode.AUTO, reason="settled"))
    after.run(1, temp=60.0, speed=40.0)
    assert after.writes[-1] == (20.0, ("relinquish",))
    after.settle()
    assert after.saves == {"point/pump.speed": b""} or after.saves == {}
