"""What the core makes of a subscription: changes one by one, silence that is vouched for, and silence that is not."""

from __future__ import annotations

import struct

import msgspec

from gatewayd.core.contract.decode import TURNS_MAX
from gatewayd.model import quality
from gatewayd.model.block import Block, Codec
from gatewayd.model.config import Contract
from tests.core.scenario import HOT, MEMBERS, Scenario, point, rule, same

NS = 1_000_000_000


def notification(plant: Scenario, name: str, *values: float, tail: bytes = b"") -> Block:
    """A notification with these values of one tag, whose plan has that tag only."""
    payload = b"".join(struct.pack("<IBBd", 0, 1, 11, value) for value in values)
    block = plant.block(name, 0.0)
    return msgspec.structs.replace(block, codec=Codec.OPCUA_NOTIFICATION, payload=payload + tail)


def confirmed(plant: Scenario, name: str) -> Block:
    return msgspec.structs.replace(plant.block(name, 0.0), codec=Codec.CONFIRMED, payload=b"")


def test_queued_changes_of_one_tag_are_seen_by_the_rules_one_at_a_time():
    plant = Scenario(rules=[HOT])
    plant.sample(speed=80.0)
    plant.cycle(blocks=(notification(plant, "temp", 90.0, 60.0, 90.0, 61.0),))
    assert plant.rule_states == ["active", "inactive", "active", "inactive"]
    assert plant.value("temp") == 61.0


def test_a_second_notification_waits_for_the_queue_of_the_first():
    plant = Scenario(rules=[HOT])
    plant.sample(speed=80.0)
    plant.cycle(blocks=(notification(plant, "temp", 60.0, 90.0), notification(plant, "temp", 70.0)))
    assert plant.rule_states == ["active", "inactive"]
    assert plant.value("temp") == 70.0


def test_no_more_turns_are_taken_than_a_queue_may_hold():
    """P-BOUND: a server that repeats one item without end does not hold the cycle up."""
    plant = Scenario(rules=[HOT])
    plant.cycle(blocks=(notification(plant, "temp", *map(float, range(1000))),))
    assert plant.value("temp") == TURNS_MAX - 1


def test_a_malformed_notification_turns_its_own_tags_bad_and_no_other():
    """P-ISOLATE"""
    plant = Scenario(rules=[HOT])
    plant.sample(temp=20.0, flow=5.0)
    plant.cycle(blocks=(notification(plant, "temp", 30.0, tail=b"\x01"), notification(plant, "flow", 6.0)))
    assert plant.status("temp") == quality.BAD_DECODING
    assert (plant.value("flow"), plant.status("flow")) == (6.0, quality.GOOD)


def test_silence_that_the_server_vouches_for_is_no_age():
    """P-STALE: an unchanged value stays good for as long as keep-alives come, and keeps the times it had."""
    plant = Scenario()
    plant.cycle(blocks=(notification(plant, "temp", 20.0),))
    ingest, sequence = (plant.state.column(f"tag.{name}")[plant.row["temp"]] for name in ("ingest_time", "sequence"))
    for _ in range(20):
        plant.advance(1)
        plant.cycle(blocks=(confirmed(plant, "temp"),))
    assert plant.status("temp") == quality.GOOD
    now = tuple(plant.state.column(f"tag.{name}")[plant.row["temp"]] for name in ("ingest_time", "sequence"))
    assert now == (ingest, sequence)


def test_silence_that_nobody_vouches_for_is_stale_and_a_late_keep_alive_does_not_undo_it():
    """P-STALE: a keep-alive says that nothing changed since the last one, not that a lowered quality was good."""
    plant = Scenario()
    plant.cycle(blocks=(notification(plant, "temp", 20.0), confirmed(plant, "temp")))
    plant.advance(10)
    assert plant.status("temp") == quality.UNCERTAIN_NO_COMMUNICATION_LAST_USABLE
    plant.cycle(blocks=(confirmed(plant, "temp"),))
    assert plant.status("temp") == quality.UNCERTAIN_NO_COMMUNICATION_LAST_USABLE
    plant.cycle(blocks=(notification(plant, "temp", 20.0),))
    assert plant.status("temp") == quality.GOOD


def test_a_confirmed_input_is_young_enough_to_write_on_and_an_unconfirmed_one_is_not():
    contracts = MEMBERS | {"temp": Contract(units="degC", stale_after_s=100.0)}
    for keeps_alive in (True, False):
        plant = Scenario(rules=[rule("temp > 85 for 8s")], points=[point(input_age_max_s=5.0)], contracts=contracts)
        plant.cycle(blocks=(notification(plant, "temp", 90.0), notification(plant, "speed", 80.0)))
        for _ in range(9):
            plant.advance(1)
            if keeps_alive:
                plant.cycle(blocks=(confirmed(plant, "temp"), confirmed(plant, "speed")))
        assert bool(plant.writes) == keeps_alive
        assert keeps_alive or plant.decisions[-1].reasons[-1] == "input_age"


def test_notifications_replay_bit_for_bit():
    """P-REPLAY"""
    first, second = Scenario(rules=[HOT]), Scenario(rules=[HOT])
    for values in ((70.0, 86.0, 90.0), (float("nan"),), (74.0, 60.0, 95.0), ()):
        for plant in (first, second):
            plant.cycle(blocks=(notification(plant, "temp", *values), confirmed(plant, "temp")))
        assert same(first.effects.records, second.effects.records)
        assert same(first.effects.commands, second.effects.commands)
