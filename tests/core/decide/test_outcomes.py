"""What became of a write, and what the core does about it."""

from __future__ import annotations

import math

from gatewayd.core.decide.outcomes import MISMATCH_WINDOW_NS
from gatewayd.core.site import NS
from gatewayd.model.decision import OutcomeResult, Stop
from tests.core.scenario import Scenario, hot_plant, rule

MISMATCH, UNKNOWN, REFUSED = OutcomeResult.MISMATCH, OutcomeResult.UNKNOWN, OutcomeResult.REFUSED


def tripped_plant() -> Scenario:
    """A pump whose set point twice stayed where it was."""
    plant = hot_plant()
    plant.sample(temp=90.0)
    for _ in range(2):
        plant.settle(MISMATCH, read_back=80.0)
        plant.run(1, temp=90.0, speed=80.0)
    assert plant.writes[-1] == (20.0, ("fail_safe",))
    return plant


def test_one_write_is_under_way_at_a_time():
    plant = hot_plant()
    plant.sample(temp=90.0)
    plant.override(60.0)
    assert len(plant.commands) == 1
    plant.settle()
    plant.advance(1)
    assert [command.value for command in plant.commands] == [40.0, 60.0]


def test_a_mismatch_is_tried_once_more_then_the_fail_safe_then_locked_out():
    plant = hot_plant()
    plant.sample(temp=90.0)
    plant.settle(MISMATCH, read_back=80.0)
    plant.run(1, temp=90.0, speed=80.0)
    assert plant.writes[-1] == (40.0, ("mismatch_retry", "rule"))
    plant.settle(MISMATCH, read_back=80.0)
    assert plant.writes[-1][0] == 20.0
    plant.settle(MISMATCH, read_back=80.0)
    plant.run(1, temp=90.0, speed=80.0)
    assert plant.decisions[-1].reasons == ("rule", "locked_out")
    assert plant.alarm_states == ["unack", "unack"]
    plant.override(50.0)
    plant.advance(1)
    assert plant.writes[-1] == (50.0, ("override",))
    assert plant.alarm_states == ["unack", "unack", "normal", "normal"]


def test_a_retry_after_a_mismatch_starts_from_what_the_set_point_shows():
    """The read-back may be another tag that is still on its way; one step from it would be two from the set point."""
    plant = hot_plant(write_step=20.0)
    plant.sample(temp=90.0)
    plant.settle(MISMATCH, read_back=75.0)
    plant.override(100.0)
    assert len(plant.commands) == 1, "nobody knows yet what the set point holds"
    plant.run(1, speed=60.0)
    assert plant.commands[-1].value == 80.0


def test_a_person_takes_a_point_back_that_tripped_to_its_fail_safe():
    """P-HUMAN: the trip stands in slot 5, above the person's slot 8; to set an override is to reset it."""
    plant = tripped_plant()
    plant.settle()
    plant.override(50.0)
    plant.advance(1)
    assert plant.writes[-1][0] == 50.0
    assert plant.alarm_states == ["unack", "normal"]


def test_a_trip_ends_with_the_time_in_which_mismatches_count():
    plant = tripped_plant()
    plant.settle()
    plant.run(MISMATCH_WINDOW_NS // NS + 1, temp=90.0, speed=20.0)
    assert plant.writes[-1][0] == 20.0, "min(speed, 40) at 20"
    assert plant.decisions[-1].rule == "pump/hot"
    assert plant.alarm_states == ["unack", "normal"]


def test_a_lock_out_is_reset_by_clearing_although_nobody_holds_the_point():
    """The alarm promises it."""
    plant = tripped_plant()
    plant.settle(MISMATCH, read_back=80.0)
    plant.run(1, temp=90.0, speed=80.0)
    assert plant.decisions[-1].reasons[-1] == "locked_out"
    reply = plant.release().replies[0]
    assert reply.accepted
    assert plant.override_events == ["released"]
    assert plant.writes[-1] == (40.0, ("rule",))
    assert not plant.release().replies[0].accepted


def test_a_restart_does_not_unlock():
    plant = tripped_plant()
    plant.settle(MISMATCH, read_back=80.0)
    assert plant.successor().state.points[0].locked_out
    plant.release()
    plant.settle()
    assert not plant.successor().state.points[0].locked_out


def test_an_unknown_outcome_waits_before_it_is_decided_again():
    plant = hot_plant()
    plant.sample(temp=90.0)
    plant.settle(UNKNOWN, read_back=math.nan)
    assert len(plant.commands) == 1
    plant.run(5, temp=90.0, speed=80.0)
    assert len(plant.commands) == 2


def test_after_an_unknown_outcome_a_sample_from_before_proves_nothing():
    """P-STALE: read back first; the last good sample is older than the write."""
    plant = hot_plant(rule("temp > 85", to="40"))
    plant.sample(temp=90.0, speed=80.0)
    plant.settle(UNKNOWN, read_back=math.nan)
    for _ in range(2):
        plant.advance(1)
        plant.sample(temp=90.0)
    plant.state.points[0].retry_mono_ns = plant.mono_ns  # its wait is over while the old sample still counts as Good
    plant.override(60.0)
    assert plant.status("speed") == 0
    assert len(plant.commands) == 1
    plant.run(1, speed=40.0)
    assert (plant.commands[-1].previous, plant.commands[-1].value) == (40.0, 60.0)


def test_a_write_that_arrived_after_all_is_not_sent_again():
    plant = hot_plant(rule("temp > 85", to="40"))
    plant.sample(temp=90.0)
    plant.settle(UNKNOWN, read_back=math.nan)
    plant.run(10, temp=90.0, speed=40.0)
    assert len(plant.commands) == 1
    assert len(plant.decisions) == 1


def test_the_rate_counts_from_a_write_that_perhaps_arrived():
    plant = hot_plant(write_step=10.0, max_rate=0.5)
    plant.sample(temp=90.0)
    assert plant.commands[-1].value == 70.0
    plant.settle(MISMATCH, read_back=70.0)
    plant.override(60.0)
    plant.run(18, speed=70.0)
    assert len(plant.commands) == 1, "10 at 0.5 per second take 20 s"
    plant.run(3, speed=70.0)
    assert plant.commands[-1].value == 60.0


def test_a_fail_safe_that_cannot_be_written_is_not_decided_in_a_tight_loop():
    """Its device is gone, so every try is refused at once; each would cost two durable records."""
    plant = hot_plant(fail_safe_after_s=2.0)
    plant.sample(temp=90.0)
    plant.settle()
    plant.lose("temp")
    plant.advance(2)
    assert plant.writes[-1] == (20.0, ("inputs_lost",))
    for _ in range(5):
        plant.settle(REFUSED)
    assert len(plant.commands) == 2
    plant.advance(5)
    assert len(plant.commands) == 3


def test_the_fail_safe_does_not_wait_for_the_failures_of_another():
    plant = hot_plant(fail_safe_after_s=2.0)
    plant.sample(temp=90.0)
    plant.settle(REFUSED)
    plant.lose("temp")
    plant.advance(2)
    assert plant.writes[-1] == (20.0, ("inputs_lost",))


def test_a_stop_does_not_wait_for_an_earlier_failure():
    plant = hot_plant(fail_safe_after_s=2.0)
    plant.sample(temp=90.0)
    plant.settle()
    plant.lose("temp")
    plant.advance(2)
    plant.settle(REFUSED)
    plant.ask(Stop(reason="asked to stop"))
    assert plant.writes[-1] == (20.0, ("stopping",))


def test_a_person_does_not_wait_for_an_earlier_failure():
    plant = hot_plant()
    plant.sample(temp=90.0)
    plant.settle(REFUSED)
    plant.override(60.0)
    assert plant.writes[-1] == (60.0, ("override",))


def test_an_outcome_nobody_waits_for_changes_nothing():
    """Of two writes in doubt on one point, only the newest says what it holds."""
    plant = hot_plant()
    plant.sample(temp=90.0)
    first = plant.commands[-1]
    plant.settle()
    plant.override(60.0)
    plant.outcome_of(first, MISMATCH, 80.0)
    assert plant.state.points[0].in_flight == plant.commands[-1].decision_id
    assert plant.state.points[0].mismatches == []
