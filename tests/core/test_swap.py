"""Another rule set for a running core: what did not change goes on as if nothing had happened."""

from __future__ import annotations

import time

import pytest

from gatewayd.compiled import load_kernels
from gatewayd.core.decide.draft import Draft
from gatewayd.core.site import NS
from gatewayd.core.state import State
from gatewayd.core.swap import prepare, record_ends, take_over
from gatewayd.errors import ConfigError
from gatewayd.model.config import Alarm, Contract, Ewma
from gatewayd.model.record import AlarmEvent, RuleEvent
from tests.core.scenario import FORM, HOT, MEMBERS, Scenario, hot_plant, point, rule, site_of

COLD = rule("temp < 0 for 3s", to="10", id="cold")
MEAN = rule("avg(temp, 10s) > 50", to="33", id="mean", slot=13)
DETECTED = {**MEMBERS, "temp": Contract(ewma=Ewma(warmup=3))}


def swap(plant: Scenario, *rules, guards=None, contracts=None) -> list[object]:
    """Give a plant other rules; return the records of it."""
    new = site_of(rules, guards or [point()], contracts)
    ready = prepare(plant.state, plant.site, new, load_kernels(FORM))
    draft = Draft(plant.number, plant.wall_ns, plant.mono_ns)
    record_ends(ready, draft)
    take_over(ready, now_mono_ns=plant.mono_ns)
    plant.state, plant.site, plant.kernels = ready.state, ready.site, ready.kernels
    plant.history += [record.body for record in draft.records]
    return [record.body for record in draft.records]


def test_a_rule_that_did_not_change_keeps_what_it_holds():
    plant = hot_plant()
    plant.sample(temp=90.0)
    plant.settle()
    assert swap(plant, COLD, HOT) == []
    plant.cycle()
    plant.sample(temp=91.0)
    assert len(plant.decisions) == 1
    plant.sample(temp=60.0)
    assert plant.rule_states == ["active", "inactive"]
    assert plant.writes[-1][1] == ("rule_cleared", "relinquish")


def test_a_rule_that_is_gone_ends_by_a_record_and_its_point_is_handed_back():
    plant = hot_plant(rule("temp > 85", to="40", alarm=Alarm(text="hot")))
    plant.sample(temp=90.0)
    plant.settle()

    records = swap(plant, COLD)

    assert [(type(body), body.state) for body in records] == [(RuleEvent, "inactive"), (AlarmEvent, "normal")]
    plant.cycle()
    assert plant.writes[-1] == (20.0, ("rule_cleared", "relinquish"))


def test_a_changed_rule_that_is_true_at_once_moves_the_point_without_a_step_back():
    plant = hot_plant()
    plant.sample(temp=90.0)
    plant.settle()
    swap(plant, rule("temp > 80", to="35", clear="temp < 75"))
    plant.cycle()
    assert [value for value, _ in plant.writes] == [40.0, 35.0]


def test_a_for_clock_goes_on():
    plant = Scenario(rules=[rule("temp > 85 for 5s")])
    plant.run(3, temp=90.0, speed=80.0, speed_now=80.0)
    swap(plant, COLD, rule("temp > 85 for 5s"))
    plant.run(2, temp=90.0)
    assert plant.rule_states == []
    plant.run(1, temp=90.0)
    assert plant.rule_states == ["active"], "5 s after the first sample, not after the swap"


def test_a_window_keeps_its_samples_though_it_moved():
    plant = Scenario(rules=[MEAN])
    plant.run(12, temp=60.0, speed=80.0, speed_now=80.0)
    assert plant.rule_states == ["active"]
    other = rule("min(flow, 20s) > 1", to="1", id="flow", slot=14)
    swap(plant, other, MEAN)
    assert len(plant.state.column("window.count")) == 2
    plant.cycle()
    plant.sample(temp=60.0)
    assert plant.rule_states == ["active"], "a window that began anew would make it unknown"
    mean = plant.state.column("program.result")[plant.site.rules[1].when]
    assert mean == 1.0


def test_a_new_rule_over_an_expression_that_is_there_already_sees_that_it_is_true():
    plant = hot_plant(rule("temp > 85", to="40", id="first"))
    plant.sample(temp=90.0)
    plant.settle()
    swap(plant, rule("temp > 85", to="40", id="first"), rule("temp > 85", to="30", id="second", slot=11))
    plant.cycle()
    assert plant.writes[-1] == (30.0, ("rule",))


def test_an_override_and_a_lost_rule_go_on():
    plant = hot_plant()
    plant.sample(temp=90.0)
    plant.settle()
    plant.override(55.0)
    plant.settle()
    plant.lose("temp")
    swap(plant, COLD, HOT)
    plant.cycle()
    assert plant.state.lost == {1}
    assert len(plant.state.overrides) == 1
    plant.sample(temp=90.0)
    plant.release()
    assert plant.writes[-1][0] == 40.0


def test_detectors_and_values_are_the_same_columns():
    plant = Scenario(rules=[HOT], contracts=DETECTED)
    plant.run(5, temp=60.0)
    before = plant.state.columns["ewma.mean"]
    swap(plant, COLD, contracts=DETECTED)
    assert plant.state.columns["ewma.mean"] is before
    assert plant.value("temp") == 60.0
    plant.sample(temp=61.0)
    assert plant.value("temp") == 61.0


def test_guards_may_change():
    plant = hot_plant()
    swap(plant, HOT, guards=[point(write_min=50.0)])
    plant.cycle()
    plant.sample(temp=90.0)
    assert plant.writes == [(50.0, ("rule", "clamp_range"))]


@pytest.mark.parametrize(
    ("guards", "contracts", "said"),
    [
        ([], None, "which points there are"),
        ([point()], {**MEMBERS, "temp": Contract(low=0.0)}, "contracts"),
        ([point()], {**MEMBERS, "more": Contract()}, "devices or tag lists"),
    ],
)
def test_what_takes_a_restart_is_refused_and_changes_nothing(guards, contracts, said):
    plant = hot_plant()
    new = site_of([HOT], guards, contracts)
    with pytest.raises(ConfigError, match=said):
        prepare(plant.state, plant.site, new, load_kernels(FORM))
    plant.sample(temp=90.0)
    assert plant.rule_states == ["active"]


def test_taking_rules_takes_no_longer_the_more_there_are():
    """A hundred of two thousand changed; the bound is generous, for the machine is shared."""
    rules = [rule(f"temp > {number} for 5s and avg(flow, 60s) < {number}", to="1", id=f"r{number}")
             for number in range(2_000)]  # fmt: skip
    changed = [rule(f"temp > {number + 0.5}", to="1", id=f"r{number}") for number in range(100)]
    old, new = site_of(rules, [point()]), site_of(changed + rules[100:], [point()])
    kernels = load_kernels("python")
    running = State(old, kernels, now_mono_ns=NS)
    taken = []
    for _ in range(5):
        ready = prepare(running, old, new, kernels)
        started = time.perf_counter()
        take_over(ready, now_mono_ns=NS)
        taken.append(time.perf_counter() - started)
    assert min(taken) < 0.005
