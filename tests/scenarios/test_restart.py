"""What a stop, a kill and a start do to the plant, to a write under way, to an override and to a point we command."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from gatewayd.model.record import Decision, Leaf, Outcome, Start, Stopped
from hil.daemon import gatewayd
from hil.plants.client import Plant
from tests.scenarios.rig import Gateway, plant_writes, pumping_station, replace, running, scratch, steady

VALVE, PUMP = "inlet_valve.position_sp", "pump_1.speed_sp"


@pytest.fixture(scope="module")
def plant() -> Iterator[Plant]:
    with Plant.start() as station:
        yield station


@pytest.fixture
def gateway(plant: Plant) -> Iterator[Gateway]:
    with running_station(plant) as one:
        yield one


@contextmanager
def running_station(plant: Plant) -> Iterator[Gateway]:
    plant.clear()
    with scratch() as folder:
        site = pumping_station(folder, modbus_port=plant.modbus_port, opcua_port=plant.opcua_port)
        replace(site / "policies" / "station.toml", "readback_within_s = 8", "readback_within_s = 3")
        with running(site) as gateway:
            yield steady(gateway)


def killed_in_doubt(gateway: Gateway, plant: Plant, value: float) -> int:
    """Kill the daemon between a write, which the valve has received, and its outcome; return the decision.

    The actuator needs a second for the way, so the read-back that would verify the write cannot have come.
    """
    gateway.override(VALVE, value)
    gateway.eventually("the valve received nothing", lambda: plant_writes(plant, VALVE)[-1:] == [value])
    gateway.kill()
    decision = gateway.records(Decision)[-1].body
    assert (decision.point, decision.value, decision.write) == (VALVE, value, True)
    assert outcomes(gateway, decision.decision_id) == []
    return decision.decision_id


def outcomes(gateway: Gateway, decision_id: int) -> list[Outcome]:
    return [leaf.body for leaf in gateway.records(Outcome) if leaf.body.decision_id == decision_id]


def test_a_write_in_doubt_after_a_kill_is_read_back_and_never_sent_again(gateway: Gateway, plant: Plant) -> None:
    decision = killed_in_doubt(gateway, plant, 40)
    before = plant_writes(plant, VALVE)
    gateway.start()
    assert gateway.records(Start)[-1].body.in_doubt == 1
    gateway.settled()
    (outcome,) = outcomes(gateway, decision)
    assert (outcome.result, outcome.recovered, outcome.sent_ns) == ("verified", True, 0)
    assert outcome.read_back == pytest.approx(40, abs=1)
    gateway.eventually("it is not what the person wants", lambda: abs(gateway.tag(VALVE)["value"] - 40) < 0.05)
    gateway.eventually("nothing was decided since", lambda: gateway.tag(VALVE)["ingest_time_ns"] > outcome.answered_ns)
    assert plant_writes(plant, VALVE) == before
    assert gateway.get(f"/v1/decisions/{decision}/explain")["detail"]["write"]["recovered"] is True
    gateway.stop()
    assert "The journal verifies" in gateway.verified()


@pytest.fixture(scope="module")
def in_doubt(plant: Plant) -> Iterator[Leaf]:
    """A write that the plant acknowledged and forgot was in doubt; the record that ended the doubt."""
    with running_station(plant) as gateway:
        plant.fault("write_ignored", tag=VALVE)
        decision = killed_in_doubt(gateway, plant, 40)
        gateway.start()
        gateway.eventually("the doubt was not resolved", lambda: outcomes(gateway, decision), within=20)
        yield next(leaf for leaf in gateway.records(Outcome) if leaf.body.decision_id == decision)
    plant.clear()


def test_a_write_in_doubt_that_did_not_take_is_a_mismatch_on_record(in_doubt: Leaf) -> None:
    assert (in_doubt.body.result, in_doubt.body.recovered) == ("mismatch", True)
    assert in_doubt.body.read_back == pytest.approx(60, abs=1)


def test_a_point_in_doubt_gets_no_new_write_before_the_doubt_is_resolved(in_doubt: Leaf, plant: Plant) -> None:
    writes = [write for write in plant.writes() if write["tag"] == VALVE and write["value"] == 40]
    assert len([write for write in writes if 0 <= in_doubt.wall_ns - write["wall_ns"] < 10**10]) == 1


def test_who_holds_a_point_can_be_forgotten_only_afterwards(gateway: Gateway) -> None:
    gateway.override(PUMP, 55)
    (held,) = gateway.overrides()
    wanted = (
        "--socket",
        str(gateway.socket_path),
        "journal",
        "redact",
        held["by"]["name"],
        "--reason",
        "asked",
        "--yes",
    )

    assert f"holds {PUMP}" in gatewayd(*wanted, check=False)
    gateway.release(PUMP)
    assert "their hashes stay" in gatewayd(*wanted)
    decided = [gateway.get(f"/v1/decisions/{shown['id']}/explain") for shown in gateway.decisions()]
    assert "a scenario" not in json.dumps(decided)


def test_an_override_goes_on_after_a_kill_with_the_time_it_had_left_and_still_ends(gateway: Gateway) -> None:
    gateway.override(PUMP, 55, seconds=12)  # a start on a loaded machine takes some of them
    gateway.eventually("it was not written", lambda: gateway.written(PUMP, 55))
    (before,) = gateway.overrides()
    gateway.kill()
    gateway.start()
    (after,) = gateway.overrides()
    assert 0 < after["remaining_s"] < before["remaining_s"]
    same = ("id", "point", "value", "since_ns", "expires_ns", "by", "reason")
    assert {name: after[name] for name in same} == {name: before[name] for name in same}
    gateway.eventually("it never ended", lambda: not gateway.overrides(), within=30)
    gateway.eventually("policy did not get the pump", lambda: gateway.written(PUMP, 60, rule="base-speed"))
    assert "override_expired" in gateway.decisions(PUMP)[0]["reasons"]


def test_a_kill_is_on_record_and_a_stop_is_told_from_it(gateway: Gateway) -> None:
    gateway.kill()
    gateway.start()
    gateway.stop()
    gateway.start()
    assert [leaf.body.clean for leaf in gateway.records(Start)] == [True, False, True]
    assert len(gateway.records(Stopped)) == 1


def test_a_clean_stop_leaves_the_points_it_commands_at_their_fail_safe_values(gateway: Gateway, plant: Plant) -> None:
    for point, value in ((PUMP, 55), (VALVE, 50)):
        gateway.override(point, value)
        gateway.eventually(f"{point} was not written", lambda p=point, v=value: gateway.written(p, v))
    assert gateway.stop() == 0
    assert plant_writes(plant, PUMP)[-1] == 45
    assert plant_writes(plant, VALVE)[-1] == 30
    last = {leaf.body.point: leaf.body for leaf in gateway.records(Decision)}
    for point in (PUMP, VALVE):
        assert "stopping" in last[point].reasons
        assert [outcome.result for outcome in outcomes(gateway, last[point].decision_id)] == ["verified"]
    assert isinstance(gateway.records()[-1].body, Stopped)


def test_a_point_that_no_rule_wants_any_more_is_handed_back_after_the_restart(gateway: Gateway, plant: Plant) -> None:
    """The engineer took the valve's rule out of the configuration while the daemon was stopped."""
    gateway.override(VALVE, 55, seconds=2)
    gateway.eventually("the valve was not written", lambda: gateway.written(VALVE, 55))
    gateway.stop()
    types = gateway.site / "twins" / "types.toml"
    replace(types, r'(?s)\[\[asset_type\.valve\.rule\]\]\nid = "base-position".*?why = "[^"]*"\n', "")
    gateway.start()
    handed_back = gateway.eventually("nobody has the valve", lambda: gateway.written(VALVE, 60), within=20)
    assert "relinquish" in handed_back["reasons"]
    assert (handed_back["rule"], handed_back["slot"]) == ("", 0)
    writes = len(plant_writes(plant, VALVE))
    gateway.stop()
    assert len(plant_writes(plant, VALVE)) == writes, "it is not ours any more, so the stop leaves it alone"
