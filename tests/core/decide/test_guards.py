"""The guard list: what no rule, person or outcome gets past."""

from __future__ import annotations

import pytest

from gatewayd.core.site import NS
from gatewayd.model.decision import Mode, OutcomeResult, SetMode, Stop
from tests.core.scenario import HOT, Scenario, hot_plant, point, rule

ON, OFF = rule("temp > 85", to="50", id="on"), rule("temp < 20", to="0", id="off")


def test_a_step_never_leads_out_of_the_range():
    """P-LIMIT: somebody turned the pump to 150 at the panel; one step towards 40 would still be outside."""
    plant = Scenario(rules=[HOT], points=[point(write_step=20.0)])
    plant.sample(temp=90.0, speed=150.0)
    assert plant.commands == []
    assert plant.decisions[-1].guards[-1].guard == "step"
    assert "further outside" in plant.decisions[-1].guards[-1].detail
    plant.run(1, temp=90.0, speed=110.0)
    assert plant.commands[-1].value == 90.0


def test_the_next_decision_starts_from_what_somebody_set_at_the_panel():
    plant = hot_plant(write_step=20.0)
    plant.override(60.0)
    plant.settle()
    plant.run(1, speed=60.0)
    plant.run(1, speed=20.0)
    assert len(plant.commands) == 1, "nobody fights the panel"
    plant.override(70.0)
    assert (plant.commands[-1].previous, plant.commands[-1].value) == (20.0, 40.0)


def test_a_sample_from_before_the_read_back_does_not_undo_it():
    plant = hot_plant()
    plant.override(60.0)
    late = plant.block("speed", 80.0)
    plant.settle()
    plant.cycle(blocks=(late,))
    plant.override(50.0)
    assert plant.commands[-1].previous == 60.0


def test_a_set_point_that_cannot_be_read_is_judged_by_its_read_back():
    """A register with access w is in no scan; without its read-back tag it could never be written."""
    plant = Scenario(rules=[HOT], points=[point()])
    plant.sample(temp=60.0, speed_now=80.0)
    plant.override(60.0)
    assert plant.commands[-1].previous == 80.0


def test_no_present_value_that_is_not_finite_is_believed():
    plant = Scenario(rules=[HOT], points=[point(write_step=20.0)])
    plant.sample(temp=90.0, speed=float("inf"))
    plant.override(60.0)
    assert plant.commands == []


def test_a_rule_that_has_become_unknown_writes_no_further_step():
    """P-STALE: `hold` keeps what was written; it is no leave to go on."""
    plant = hot_plant(rule("temp > 85", to="40", clear="temp < 75"), write_step=20.0, max_rate=10.0)
    plant.sample(temp=90.0)
    plant.settle()
    plant.lose("temp")
    plant.advance(5)
    assert len(plant.commands) == 1
    plant.sample(temp=90.0, speed=60.0)
    assert plant.commands[-1].value == 40.0


def test_a_held_rule_does_not_write_when_the_override_above_it_ends():
    plant = hot_plant()
    plant.sample(temp=90.0)
    plant.settle()
    plant.override(60.0, seconds=4)
    plant.settle()
    plant.lose("temp")
    plant.advance(5)
    assert [command.value for command in plant.commands] == [40.0, 60.0]
    assert plant.decisions[-1].reasons == ("override_expired", "rule", "input_quality")


def test_after_a_stop_nothing_new_is_begun():
    """Neither by a rule that fires while the daemon is leaving, nor by settling at that moment, nor by a person."""
    plant = hot_plant()
    plant.ask(Stop(reason="asked to stop"))
    plant.ask(SetMode(mode=Mode.AUTO, reason="settled"))
    plant.sample(temp=90.0)
    plant.override(60.0)
    assert plant.commands == []
    assert plant.decisions[-1].reasons[-1] == "stopping"


def test_a_stop_while_a_write_is_under_way_follows_its_outcome():
    plant = hot_plant()
    plant.sample(temp=90.0)
    plant.ask(Stop(reason="asked to stop"))
    assert len(plant.commands) == 1
    plant.settle()
    assert plant.writes[-1] == (20.0, ("stopping",))


@pytest.mark.parametrize("result", [OutcomeResult.VERIFIED, OutcomeResult.UNKNOWN])
def test_a_motor_that_perhaps_started_keeps_its_minimum_time(result):
    plant = Scenario(rules=[ON, OFF], points=[point(min_on_s=60)])
    plant.sample(temp=60.0, speed=0.0)
    plant.sample(temp=90.0)
    plant.settle(result)
    plant.run(10, temp=10.0, speed=50.0)
    assert plant.decisions[-1].reasons[-1] == "hold_min_on"
    plant.run(60, temp=10.0, speed=50.0)
    assert plant.commands[-1].value == 0.0


def test_a_motor_that_keeps_running_has_not_switched():
    plant = Scenario(rules=[rule("temp > 85", to="50"), OFF], points=[point(min_on_s=60)])
    plant.sample(temp=90.0, speed=80.0)
    plant.settle()
    plant.run(2, temp=10.0, speed=50.0)
    assert plant.commands[-1].value == 0.0


def stopped_motor() -> Scenario:
    plant = Scenario(rules=[ON, OFF], points=[point(min_off_s=60, relinquish_default=0.0)])
    plant.sample(temp=10.0, speed=50.0)
    plant.settle()
    plant.run(10, temp=10.0, speed=0.0)
    return plant


@pytest.mark.parametrize(("boot_id", "waits_s"), [(b"b" * 16, 50), (b"c" * 16, 60)])
def test_a_minimum_time_outlives_a_restart(boot_id, waits_s):
    """On the same boot it goes on; across boots nobody knows how long the gap was, so it counts in full."""
    after = stopped_motor().successor(ON, OFF, boot_id=boot_id, min_off_s=60, relinquish_default=0.0)
    after.ask(SetMode(mode=Mode.AUTO, reason="settled"))
    start = after.mono_ns
    while not after.commands:
        after.run(1, temp=90.0, speed=0.0)
    assert after.commands[-1].value == 50.0
    assert abs((after.mono_ns - start) / NS - waits_s) <= 1


def test_a_minimum_time_outlives_the_hand_back():
    plant = stopped_motor()
    plant.run(1, temp=60.0, speed=0.0)
    assert not plant.state.points[0].owned
    after = plant.successor(ON, OFF, min_off_s=60, relinquish_default=0.0)
    assert after.state.points[0].switched_mono_ns
    assert not after.state.points[0].owned


def test_a_restart_is_no_way_around_the_rate():
    plant = hot_plant(write_step=10.0, max_rate=0.5)
    plant.sample(temp=90.0)
    plant.settle()
    after = plant.successor(write_step=10.0, max_rate=0.5)
    after.ask(SetMode(mode=Mode.AUTO, reason="settled"))
    after.run(19, temp=90.0, speed=70.0)
    assert after.commands == []
    after.run(2, temp=90.0, speed=70.0)
    assert after.commands[-1].value == 60.0


def test_a_deadband_wider_than_a_step_does_not_pass_the_first_step_for_the_target():
    plant = hot_plant(write_step=2.0, deadband=5.0)
    plant.sample(temp=90.0)
    assert plant.commands[-1].value == 78.0
