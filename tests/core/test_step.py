"""One cycle, end to end, on paper: what the core decides from samples, people and outcomes."""

from __future__ import annotations

import math

import msgspec
import pytest

from gatewayd.compiled import load_kernels
from gatewayd.core.detect.watch import ASSET_STEPS
from gatewayd.core.expr.trace import trace
from gatewayd.core.site import NS
from gatewayd.core.state import State
from gatewayd.core.step import idle_kernels
from gatewayd.model import quality
from gatewayd.model.config import Alarm, Contract
from gatewayd.model.decision import ClearOverride, Mode, SetMode
from gatewayd.model.detectors import DETECTORS, Cusum, Ewma
from gatewayd.model.record import Decision, EvidenceSlice, ModeChanged
from kernels.table import CHECK_RANGE, CHECK_RATE, CHECK_STUCK
from tests.core.scenario import ANA, HOT, MEMBERS, Scenario, hot_plant, point, rule, same, site_of

# --- what a cycle calls ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("contract", "when", "busy"),
    [
        (Contract(), "temp > 85", set()),
        (Contract(ewma=Ewma()), "temp > 85", {"ewma", "verdict"}),
        (Contract(cusum=Cusum()), "temp > 85", {"cusum", "verdict"}),
        (Contract(), "avg(temp, 5s) > 85", {"window_update"}),
    ],
    ids=["nothing", "ewma", "cusum", "window"],
)
def test_a_kernel_is_left_out_only_while_no_tag_asks_for_it(contract, when, busy):
    plant = Scenario(rules=[rule(when)], contracts={**MEMBERS, "flow": Contract(), "temp": contract})
    every = {"scale", *DETECTORS, *ASSET_STEPS, "tail", "hold", "verdict", "window_update"}  # rules need due_programs
    assert idle_kernels(plant.state) == every - busy


@pytest.mark.parametrize(
    ("contract", "checks"),
    [
        (Contract(), CHECK_RANGE),
        (Contract(max_rate=1.0), CHECK_RANGE | CHECK_RATE),
        (Contract(stuck_after_s=5), CHECK_RANGE | CHECK_STUCK),
    ],
    ids=["range", "rate", "stuck"],
)
def test_a_check_is_left_out_only_while_no_tag_asks_for_it(contract, checks):
    plant = Scenario(rules=[], contracts={**MEMBERS, "flow": Contract(), "temp": contract})
    assert plant.state.checks == checks


def test_without_rules_no_program_is_due():
    state = State(site_of([], []), load_kernels("python"), now_mono_ns=1)
    assert "due_programs" in idle_kernels(state)


# --- rules ------------------------------------------------------------------------------------------------------------


def test_a_true_condition_writes_within_the_cycle_that_saw_it():
    plant = hot_plant()
    effects = plant.sample(temp=90.0)
    assert plant.writes == [(40.0, ("rule",))]
    assert [command.value for command in effects.commands] == [40.0]
    assert plant.rule_states == ["active"]


def test_a_time_of_the_day_begins_and_ends_by_itself():
    plant = Scenario(rules=[rule('within("15:07", "15:08")')])  # it is 15:06:40
    plant.sample(temp=20.0)
    assert plant.rule_states == []
    plant.advance(19.9)
    assert plant.rule_states == []
    plant.advance(0.1)
    assert plant.rule_states == ["active"]
    plant.advance(60)
    assert plant.rule_states == ["active", "inactive"]


def test_what_a_rule_remembers_is_in_the_evidence_and_the_decision_can_be_traced():
    text = "latch(temp > 85, temp < 70) and hysteresis(temp, 80, 60)"
    plant = hot_plant(rule(text))
    plant.sample(temp=90.0)
    (record,) = [record for record in plant.effects.records if isinstance(record.body, Decision)]
    evidence = msgspec.msgpack.decode(record.evidence, type=EvidenceSlice)
    when = evidence.expression.splitlines()[0]
    assert {step.text: step.value for step in trace(when, evidence.terms)} == {
        "temp": 90.0,
        "temp > 85": 1.0,
        "temp < 70": 0.0,
        "latch(temp > 85, temp < 70)": 1.0,
        "hysteresis(temp, 80, 60)": 1.0,
        text: 1.0,
    }


def test_a_condition_that_stays_true_is_decided_once():
    plant = hot_plant()
    for temp in (90.0, 91.0, 92.0):
        plant.sample(temp=temp)
    plant.settle()
    plant.sample(temp=93.0)
    assert len(plant.decisions) == 1


def test_the_clear_expression_ends_a_rule_and_hands_the_point_back():
    """Between 75 and 85 the rule holds; below, the relinquish default is written and the point is no longer ours."""
    plant = hot_plant(relinquish_default=60.0)
    plant.sample(temp=90.0)
    plant.settle()
    plant.sample(temp=80.0)
    assert len(plant.writes) == 1
    plant.sample(temp=70.0)
    assert plant.writes[-1] == (60.0, ("rule_cleared", "relinquish"))
    plant.settle()
    assert not plant.state.points[0].owned
    assert plant.effects.saves == {"point/pump.speed": b""}


def test_a_for_clause_waits_and_asks_to_be_woken():
    plant = Scenario(rules=[rule("temp > 85 for 5s")])
    plant.sample(speed=80.0)
    plant.sample(temp=90.0)
    assert plant.decisions == []
    assert plant.effects.next_mono_ns <= plant.mono_ns + 5 * NS
    for _ in range(4):
        plant.advance(1)
        plant.sample(temp=90.0, speed=80.0)
    assert plant.decisions == []
    plant.advance(1)
    assert plant.writes == [(40.0, ("rule",))]


def test_an_unknown_condition_is_never_true():
    """P-STALE: bad, stale and missing inputs make the rule unknown; it does not act."""
    plant = hot_plant()
    plant.sample(temp=90.0, status=quality.BAD_SENSOR_FAILURE)
    assert plant.decisions == []
    assert plant.rule_states == ["unknown"]
    plant.sample(temp=60.0)
    assert plant.rule_states == ["unknown", "inactive"]


def test_a_lost_block_leaves_no_good_number_behind():
    plant = hot_plant()
    plant.lose("temp")
    assert math.isnan(plant.value("temp"))
    assert plant.status("temp") == quality.BAD_TIMEOUT


def test_a_sample_that_stops_coming_turns_stale_by_itself():
    plant = hot_plant()
    plant.advance(4)
    assert plant.status("temp") == quality.UNCERTAIN_NO_COMMUNICATION_LAST_USABLE
    assert plant.rule_states == ["unknown"]


def test_a_value_outside_its_contract_is_bad_and_cannot_act():
    plant = hot_plant()
    plant.sample(temp=400.0)
    assert plant.status("temp") == quality.BAD_OUT_OF_RANGE | quality.LIMIT_HIGH
    assert plant.decisions == []


def test_a_sensor_that_does_not_move_is_called_stuck():
    plant = hot_plant()
    for _ in range(5):
        plant.sample(flow=12.0)
        plant.advance(1)
    assert plant.status("flow") == quality.BAD_SENSOR_FAILURE | quality.LIMIT_CONSTANT


def test_inputs_lost_for_too_long_bring_the_fail_safe_value():
    """P-SAFE: an active rule whose inputs vanish is held, then its point goes to the fail-safe, by decision."""
    plant = hot_plant()
    plant.sample(temp=90.0)
    plant.settle()
    plant.lose("temp")
    plant.advance(29)
    assert len(plant.writes) == 1
    plant.advance(2)
    assert plant.writes[-1] == (20.0, ("inputs_lost",))
    assert plant.decisions[-1].slot == 5
    plant.settle()
    plant.sample(temp=90.0, speed=80.0)
    assert plant.writes[-1][0] == 40.0


def test_a_rule_may_ask_for_its_fail_safe_at_once():
    plant = Scenario(rules=[rule("temp > 85", clear="temp < 75", on_unknown="fail_safe")])
    plant.sample(temp=90.0, speed=80.0)
    plant.settle()
    plant.lose("temp")
    assert plant.writes[-1] == (20.0, ("inputs_lost",))


def test_a_rule_that_releases_on_unknown_hands_back():
    plant = Scenario(rules=[rule("temp > 85", clear="temp < 75", on_unknown="release")])
    plant.sample(temp=90.0, speed=80.0)
    plant.settle()
    plant.lose("temp")
    assert plant.writes[-1] == (20.0, ("inputs_lost", "relinquish"))


def test_a_proposal_dies_with_its_ttl_when_nothing_confirms_it():
    plant = Scenario(rules=[rule("temp > 85", clear="temp < 75", ttl="20s")], points=[point(fail_safe_after_s=100.0)])
    plant.sample(temp=90.0, speed=80.0)
    plant.settle()
    plant.lose("temp")
    plant.advance(21)
    assert plant.writes[-1][1] == ("ttl", "relinquish")


def test_a_confirmed_proposal_outlives_its_ttl():
    plant = Scenario(rules=[rule("temp > 85", ttl="20s")])
    plant.sample(temp=90.0, speed=80.0)
    plant.settle()
    for _ in range(30):
        plant.advance(1)
        plant.sample(temp=90.0)
    assert len(plant.writes) == 1


def test_an_alarm_goes_with_its_rule_and_turns_stale_not_normal():
    hot = rule("temp > 85", clear="temp < 75", alarm=Alarm(priority="high", text="Bearing overheating"))
    plant = Scenario(rules=[hot])
    plant.sample(temp=90.0, speed=80.0)
    plant.lose("temp")
    plant.sample(temp=70.0)
    assert plant.alarm_states == ["unack", "stale", "normal"]


# --- arbitration ------------------------------------------------------------------------------------------------------


def test_the_higher_slot_wins_and_the_lower_takes_over_when_it_goes():
    base = rule("true", to="70", slot=15, id="base")
    plant = Scenario(rules=[base, HOT])
    plant.sample(temp=60.0, speed=80.0)
    plant.advance(1)
    plant.settle()
    plant.sample(temp=90.0, speed=70.0)
    plant.settle()
    plant.sample(temp=70.0)
    assert [value for value, _ in plant.writes] == [70.0, 40.0, 70.0]
    last = plant.decisions[-1]
    assert last.slots_before[11] == 40.0
    assert last.slots_after[11] is None
    assert last.slots_after[14] == 70.0
    assert last.parent == plant.decisions[-2].decision_id


def test_within_a_slot_the_rule_written_first_wins():
    plant = Scenario(rules=[rule("true", to="30", id="first"), rule("true", to="50", id="second")])
    plant.sample(temp=60.0, speed=80.0)
    plant.advance(1)
    assert plant.writes == [(30.0, ("rule",))]


def test_nothing_is_written_when_the_plant_holds_the_value_already():
    plant = Scenario(rules=[rule("temp > 85", to="80")])
    plant.sample(temp=90.0, speed=80.0)
    assert plant.writes == []
    assert plant.decisions[-1].reasons == ("rule", "in_force")


# --- guards -----------------------------------------------------------------------------------------------------------


def test_the_range_clamps_a_rule():
    plant = Scenario(rules=[rule("temp > 85", to="500")])
    plant.sample(temp=90.0, speed=80.0)
    assert plant.writes == [(100.0, ("rule", "clamp_range"))]


def test_a_large_change_goes_in_steps_no_faster_than_the_rate():
    plant = Scenario(rules=[rule("temp > 85", to="40")], points=[point(write_step=20.0, max_rate=10.0)])
    plant.sample(temp=90.0, speed=90.0)
    assert plant.writes == [(70.0, ("rule", "clamp_step"))]
    plant.settle()
    plant.sample(temp=90.0)
    assert len(plant.writes) == 1, "the next step waits for the rate"
    plant.advance(2)
    assert plant.writes[-1] == (50.0, ("ramp", "rule", "clamp_step"))
    plant.settle()
    plant.sample(temp=90.0)
    plant.advance(1)
    assert plant.writes[-1] == (40.0, ("ramp", "rule"))
    assert len(plant.decisions) == 3, "waiting for the rate is no decision"


def test_an_unknown_present_value_stops_a_write_that_cannot_be_judged():
    plant = Scenario(rules=[rule("temp > 85")])
    plant.sample(temp=90.0)
    assert plant.writes == []
    assert plant.decisions[-1].reasons == ("rule", "no_present_value")


@pytest.mark.parametrize(
    ("guards", "samples", "reason"),
    [
        ({"interlocks": {"fault": "pump.fault > 0"}}, {"fault": 1.0}, "interlock"),
        ({"permissives": {"ready": "pump.ready > 0"}}, {"ready": 0.0}, "permissive"),
    ],
)
def test_interlocks_and_permissives_block_and_release(guards, samples, reason):
    plant = Scenario(rules=[HOT], points=[point(**guards)])
    plant.sample(speed=80.0, **samples)
    plant.sample(temp=90.0)
    assert plant.writes == []
    assert plant.decisions[-1].reasons == ("rule", reason)
    plant.sample(**{name: 1.0 - value for name, value in samples.items()})
    assert plant.writes == [(40.0, ("rule",))]


def test_an_unknown_interlock_blocks():
    plant = Scenario(rules=[HOT], points=[point(interlocks={"fault": "pump.fault > 0"})])
    plant.sample(speed=80.0, temp=90.0)
    assert plant.decisions[-1].reasons == ("rule", "interlock")
    assert plant.decisions[-1].guards[-1].detail == "unknown"


def test_a_motor_keeps_running_for_its_minimum_time():
    plant = Scenario(
        rules=[rule("temp > 85", to="0"), rule("temp <= 85", to="50", id="run")], points=[point(min_on_s=10)]
    )
    plant.sample(temp=60.0, speed=0.0)
    plant.settle()
    plant.sample(temp=90.0)
    assert plant.decisions[-1].reasons[-1] == "hold_min_on"
    for _ in range(10):
        plant.advance(1)
        plant.sample(temp=90.0)
    assert plant.writes[-1][0] == 0.0


def test_old_inputs_may_not_write():
    contracts = MEMBERS | {"temp": Contract(units="degC", stale_after_s=100.0)}
    plant = Scenario(rules=[rule("temp > 85 for 8s")], points=[point(input_age_max_s=5.0)], contracts=contracts)
    plant.sample(temp=90.0, speed=80.0)
    plant.advance(9)
    assert plant.writes == []
    assert plant.decisions[-1].reasons[-1] == "input_age"


def test_monitor_decides_but_does_not_write():
    plant = Scenario(rules=[HOT], auto=False)
    plant.sample(temp=90.0, speed=80.0)
    assert plant.decisions[-1].reasons == ("rule", "monitor")
    assert plant.writes == []
    plant.ask(SetMode(mode=Mode.AUTO, reason="settled"))
    assert plant.writes == [(40.0, ("rule",))]
    assert any(isinstance(body, ModeChanged) for body in plant.history)


# --- people -----------------------------------------------------------------------------------------------------------


def test_an_expired_override_returns_the_point_to_policy():
    """P-HUMAN: a human hold wins until it ends; then policy rules, and the journal says so."""
    plant = hot_plant()
    plant.sample(temp=90.0)
    plant.settle()
    plant.override(60.0, seconds=4)
    assert plant.writes[-1] == (60.0, ("override",))
    plant.settle()
    for _ in range(4):
        plant.advance(1)
        plant.sample(temp=90.0, speed=60.0)
    assert plant.writes[-1] == (40.0, ("override_expired", "rule"))
    assert plant.override_events == ["set", "expired"]


def test_a_person_hands_a_point_back():
    plant = hot_plant()
    plant.override(60.0)
    plant.settle()
    effects = plant.ask(ClearOverride(point="pump.speed", reason="done", actor=ANA, request_id="2"))
    assert effects.replies[0].accepted
    assert plant.writes[-1][1] == ("override_released", "relinquish")


def test_nobody_writes_outside_the_limits():
    """P-LIMIT"""
    plant = hot_plant()
    effects = plant.override(101.0)
    assert not effects.replies[0].accepted
    assert "outside 0 to 100" in effects.replies[0].message
    assert plant.writes == []
    assert plant.override_events == ["refused"]


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"tag": "pump.sped"}, "no point is called"),
        ({"tag": "pump.temp"}, "not a writable point"),
        ({"seconds": 1e6}, "at most"),
        ({"reason": "  "}, "needs a reason"),
    ],
)
def test_an_override_that_cannot_be_is_refused_with_its_cure(change, says):
    plant = hot_plant()
    reply = plant.override(50.0, **change).replies[0]
    assert not reply.accepted
    assert says in reply.message
    assert reply.remedy


def test_the_name_and_the_reason_stay_out_of_the_leaf():
    plant = hot_plant()
    effects = plant.override(60.0, reason="vibration survey")
    for record in effects.records:
        assert "ana" not in repr(record.body)
        assert "vibration" not in repr(record.body)
        assert record.personal == {"actor_name": "ana", "reason_text": "vibration survey"}


def test_an_override_survives_a_restart_on_the_same_boot_with_its_remaining_time():
    plant = hot_plant()
    saves = dict(plant.override(60.0, seconds=30).saves)
    plant.advance(10)
    after = Scenario(rules=[HOT])
    after.mono_ns, after.wall_ns = plant.mono_ns, plant.wall_ns
    assert after.restore(saves) == []
    after.sample(temp=60.0, speed=80.0)
    after.advance(1)
    assert after.writes == [(60.0, ("override",))]
    after.settle()
    after.advance(21)
    assert after.override_events == ["expired"]


def test_an_override_does_not_survive_a_reboot():
    """Nobody can say how long the gap was; a hold never grows longer than it was given."""
    plant = hot_plant()
    saves = dict(plant.override(60.0, seconds=30).saves)
    after = Scenario(rules=[HOT])
    after.state.boot_id = b"c" * 16
    records = after.restore(saves)
    assert [record.event for record in records] == ["released"]
    after.sample(temp=60.0, speed=80.0)
    assert after.writes == []


# --- the decision itself ----------------------------------------------------------------------------------------------


def test_a_decision_carries_everything_that_explains_it():
    """P-LINEAGE"""
    plant = hot_plant()
    effects = plant.sample(temp=90.0)
    record = next(record for record in effects.records if isinstance(record.body, Decision))
    body = record.body
    assert (body.rule, body.slot, body.previous, body.proposed) == ("pump/hot", 12, 80.0, 40.0)
    assert [guard.guard for guard in body.guards] == ["mode", "quality", "age", "range", "rate", "step"]
    assert (body.site_digest, body.policy_digest, body.model_digest) == (b"s" * 32, b"p" * 32, b"m" * 32)
    assert body.kernel_digest == plant.state.kernel_digest
    evidence = msgspec.msgpack.decode(record.evidence, type=EvidenceSlice)
    rows = {row.tag: row for row in evidence.rows}
    assert rows["pump.temp"].value == 90.0
    assert rows["pump.temp"].source_time_ns == plant.wall_ns
    assert {term.text: term.value for term in evidence.terms} == {"temp": 90.0, "speed": 80.0}


def test_the_same_inputs_give_the_same_effects_bit_for_bit():
    """P-REPLAY"""
    first, second = hot_plant(), hot_plant()
    for temp in (70.0, 86.0, 90.0, math.nan, 74.0, 60.0):
        first.sample(temp=temp)
        second.sample(temp=temp)
        assert same(first.effects.records, second.effects.records)
        assert same(first.effects.commands, second.effects.commands)


def test_two_samples_of_one_tag_in_a_cycle_are_both_seen():
    plant = Scenario(rules=[HOT])
    plant.sample(speed=80.0)
    plant.cycle(blocks=(plant.block("temp", 90.0), plant.block("temp", 60.0)))
    assert plant.rule_states == ["active", "inactive"]


def test_garbage_in_a_payload_harms_only_its_own_tags():
    """P-ISOLATE"""
    plant = hot_plant()
    broken = msgspec.structs.replace(plant.block("temp", 1.0), payload=b"\x01\x02")
    plant.cycle(blocks=(broken, plant.block("flow", 12.0)))
    assert quality.severity(plant.status("temp")) == "bad"
    assert plant.value("flow") == 12.0
