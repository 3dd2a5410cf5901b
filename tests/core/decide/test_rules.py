"""Rules whose inputs vanish, change their minds, or are shared."""

from __future__ import annotations

import pytest

from gatewayd.model.config import Alarm
from tests.core.scenario import Scenario, hot_plant, point, rule


def test_an_override_is_not_taken_away_for_inputs_that_it_does_not_use():
    """The rule below it loses its inputs; only a claim that wins gives way to the fail-safe value."""
    plant = hot_plant(fail_safe_after_s=5.0)
    plant.sample(temp=90.0)
    plant.settle()
    plant.override(60.0, seconds=30)
    plant.settle()
    plant.lose("temp")
    plant.advance(25)
    assert [command.value for command in plant.commands] == [40.0, 60.0]
    plant.advance(10)
    assert plant.writes[-1] == (20.0, ("override_expired", "inputs_lost"))


def test_a_sound_rule_is_not_taken_away_for_the_lost_inputs_of_another():
    slow = rule("flow > 10", to="70", slot=15, id="slow")
    plant = hot_plant(rule("temp > 85", to="40"), slow, fail_safe_after_s=5.0)
    plant.sample(temp=90.0, flow=12.0)
    plant.settle()
    plant.lose("flow")
    plant.run(10, temp=90.0)
    assert [command.value for command in plant.commands] == [40.0]


def test_a_rule_that_released_its_point_does_not_claim_its_fail_safe_later():
    plant = hot_plant(rule("temp > 85", on_unknown="release"), fail_safe_after_s=5.0, relinquish_default=70.0)
    plant.sample(temp=90.0)
    plant.settle()
    plant.lose("temp")
    plant.settle()
    plant.advance(10)
    assert [command.value for command in plant.commands] == [40.0, 70.0]


def test_a_proposal_whose_value_is_no_longer_known_dies_with_its_ttl():
    """P-STALE: the condition still holds, but nothing says any more what to write."""
    plant = hot_plant(rule("temp > 85", to="flow", ttl="20s"), relinquish_default=70.0)
    plant.sample(temp=90.0, flow=12.0)
    plant.settle()
    plant.lose("flow")
    plant.run(15, temp=90.0)
    assert len(plant.commands) == 1
    plant.run(10, temp=90.0)
    assert plant.writes[-1] == (70.0, ("ttl", "relinquish"))


def test_an_alarm_that_was_stale_and_still_holds_is_raised_again():
    plant = hot_plant(rule("temp > 85", alarm=Alarm(priority="high", text="Bearing overheating")))
    plant.sample(temp=90.0)
    plant.lose("temp")
    plant.sample(temp=91.0)
    assert plant.alarm_states == ["unack", "stale", "unack"]


@pytest.mark.parametrize(
    ("lost", "then", "states"),
    [
        ("temp", {"flow": 5.0}, ["active", "unknown", "inactive"]),
        ("flow", {"temp": 90.0}, ["active"]),
        ("temp", {"temp": 90.0}, ["active", "unknown", "active"]),
    ],
)
def test_a_clear_expression_over_other_tags_than_its_condition(lost, then, states):
    """Each side may vanish alone. While the condition is true nothing can clear it; unknown clears nothing either."""
    plant = hot_plant(rule("temp > 85", clear="flow < 10"))
    plant.sample(temp=90.0, flow=50.0)
    plant.lose(lost)
    plant.sample(**then)
    assert plant.rule_states == states


def test_rules_that_share_a_condition_all_follow_it():
    plant = Scenario(rules=[rule("temp > 85", to="40"), rule("temp > 85", to="30", id="also")], points=[point()])
    plant.sample(temp=90.0, speed=80.0)
    assert plant.rule_states == ["active", "active"]
    plant.sample(temp=60.0)
    assert plant.rule_states == ["active", "active", "inactive", "inactive"]


def test_a_ttl_of_no_time_does_not_keep_the_loop_spinning():
    plant = hot_plant(rule("temp > 85", ttl="0s"))
    plant.sample(temp=90.0)
    plant.settle()
    assert plant.effects.next_mono_ns > plant.mono_ns - 10**8
    plant.run(3, temp=90.0)
    assert [command.value for command in plant.commands] == [40.0]
