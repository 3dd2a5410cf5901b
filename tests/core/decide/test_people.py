"""What people ask for while something else is going on, and what they are told."""

from __future__ import annotations

import msgspec
import pytest

from gatewayd.core.decide.people import SavedOverride
from gatewayd.core.site import NS
from gatewayd.model.decision import ClearOverride, Mode, OutcomeResult, SetMode, SetOverride
from tests.core.scenario import ANA, HOT, Scenario, hot_plant, point


def hold(value: float, request_id: str = "1") -> SetOverride:
    return SetOverride("pump.speed", value, 60 * NS, "test run", ANA, request_id)


def test_a_reply_names_the_decision_that_followed():
    plant = hot_plant()
    reply = plant.override(60.0).replies[0]
    assert reply.message == "pump.speed is held at 60"
    assert reply.decision_id == plant.decisions[-1].decision_id


@pytest.mark.parametrize(
    ("guards", "sample", "says"),
    [
        ({"interlocks": {"fault": "pump.fault > 0"}}, {"fault": 1.0}, "nothing is written yet: interlock:fault true"),
        (
            {"permissives": {"ready": "pump.ready > 0"}},
            {"ready": 0.0},
            "nothing is written yet: permissive:ready false",
        ),
    ],
)
def test_a_person_is_told_when_the_plant_forbids_the_write(guards, sample, says):
    """The override is accepted, because it acts as soon as the plant allows; but it must not sound done."""
    plant = hot_plant(**guards)
    plant.sample(**sample)
    reply = plant.override(60.0).replies[0]
    assert reply.accepted
    assert says in reply.message
    plant.sample(**{name: 1.0 - value for name, value in sample.items()})
    assert plant.commands[-1].value == 60.0


def test_a_person_is_told_that_a_write_is_under_way():
    plant = hot_plant()
    plant.sample(temp=90.0)
    assert "follows once the write under way" in plant.override(60.0).replies[0].message


def fail_safe_plant() -> Scenario:
    plant = hot_plant(fail_safe_after_s=2.0)
    plant.sample(temp=90.0)
    plant.settle()
    plant.lose("temp")
    plant.advance(2)
    plant.settle()
    return plant


def test_a_person_is_told_when_a_fail_safe_stands_above_the_override():
    """Slot 5 is above slot 8. The override takes over once the inputs are back."""
    plant = fail_safe_plant()
    reply = plant.override(60.0).replies[0]
    assert reply.accepted
    assert "fail-safe value 20 stands above until its cause ends (inputs_lost)" in reply.message
    assert "fail-safe value 20 stands" in plant.release().replies[0].message
    plant.override(50.0)
    plant.sample(temp=90.0, speed=20.0)
    assert plant.commands[-1].value == 50.0


def test_an_override_works_in_monitor_mode_and_its_end_waits_for_auto():
    """P-HUMAN: monitor mode stops what happens by itself, not people."""
    plant = Scenario(rules=[HOT], points=[point(relinquish_default=70.0)], auto=False)
    plant.sample(temp=60.0, speed=80.0)
    plant.override(60.0)
    plant.settle()
    assert "monitor mode" in plant.release().replies[0].message
    assert len(plant.commands) == 1
    plant.ask(SetMode(mode=Mode.AUTO, reason="settled"))
    assert plant.writes[-1] == (70.0, ("override_released", "relinquish"))


def test_of_two_overrides_in_one_cycle_the_later_holds():
    plant = hot_plant()
    effects = plant.cycle(requests=(hold(60.0), hold(50.0, "2")))
    assert [reply.accepted for reply in effects.replies] == [True, True]
    assert plant.override_events == ["set", "released", "set"]
    assert [command.value for command in plant.commands] == [50.0]


def test_an_override_set_and_cleared_in_one_cycle_leaves_nothing():
    plant = hot_plant()
    effects = plant.cycle(requests=(hold(60.0), ClearOverride("pump.speed", "no", ANA, "2")))
    assert [reply.accepted for reply in effects.replies] == [True, True]
    assert plant.commands == []
    assert plant.saves == {}


@pytest.mark.parametrize("result", list(OutcomeResult))
def test_an_override_that_ends_while_its_write_is_under_way_is_handed_back_after_it(result):
    plant = hot_plant()
    plant.override(60.0, seconds=2)
    plant.advance(3)
    assert plant.override_events == ["set", "expired"]
    assert len(plant.commands) == 1
    plant.settle(result)
    plant.run(10, speed=60.0)
    assert plant.commands[-1].value == 20.0
    assert "relinquish" in plant.writes[-1][1]


def test_a_rule_that_clears_while_its_write_is_under_way_is_handed_back_after_it():
    plant = hot_plant(relinquish_default=70.0)
    plant.sample(temp=90.0)
    plant.sample(temp=70.0)
    assert len(plant.commands) == 1
    plant.settle()
    plant.advance(1)
    assert plant.decisions[-2].reasons == ("rule_cleared", "relinquish", "clamp_rate")
    assert plant.writes[-1] == (70.0, ("relinquish",))


def test_monitor_and_back_while_a_write_is_under_way_decides_nothing_twice():
    plant = hot_plant()
    plant.sample(temp=90.0)
    for mode in (Mode.MONITOR, Mode.AUTO, Mode.MONITOR, Mode.AUTO):
        plant.ask(SetMode(mode=mode, reason="test"))
    plant.settle()
    plant.sample(temp=90.0)
    assert len(plant.decisions) == 1


def test_an_override_remembers_the_cycle_in_which_it_was_set():
    """The recorded inputs of that cycle stay for as long as it holds."""
    plant = Scenario()
    plant.sample(temp=60.0, speed=80.0)
    plant.override(60.0)
    (saved,) = [row for key, row in plant.saves.items() if key.startswith("override/")]
    assert msgspec.msgpack.decode(saved, type=SavedOverride).cycle == plant.decisions[-1].cycle
