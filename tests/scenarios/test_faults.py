"""What a fault of one device, one request, one instrument or one actuator does to the pumping station: only its own harm."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from gatewayd.model.record import AlarmEvent, DeviceEvent
from hil.plants.client import Plant
from hil.ports import free_port
from tests.scenarios import hostile
from tests.scenarios.rig import (
    Gateway,
    add_plc,
    plant_writes,
    pumping_station,
    requests_of,
    running,
    scratch,
    steady,
)

HOSTILE = (
    hostile.noise,
    hostile.other_protocol,
    hostile.short_frame,
    hostile.wrong_count,
    hostile.stranger,
    hostile.hang_up,
)


@pytest.fixture(scope="module")
def plant() -> Iterator[Plant]:
    with Plant.start() as station:
        yield station


@pytest.fixture(scope="module")
def late_port() -> int:
    return free_port()


@pytest.fixture(scope="module")
def station(plant: Plant, late_port: int) -> Iterator[Gateway]:
    """The pumping station, and beside it a device behind a wrong unit id, one that is absent, and hostile ones."""
    with ExitStack() as stack:
        folder = stack.enter_context(scratch())
        site = pumping_station(folder, modbus_port=plant.modbus_port, opcua_port=plant.opcua_port)
        policy = site / "policies" / "station.toml"
        policy.write_text(policy.read_text().replace("readback_within_s = 2", "readback_within_s = 0.6"))
        add_plc(site, "wrong_unit", port=plant.modbus_port, unit_id=7)
        add_plc(site, "late", port=late_port)
        for reply in HOSTILE:
            add_plc(site, reply.__name__, port=stack.enter_context(hostile.peer(reply)))
        yield stack.enter_context(running(site)).settled()


@pytest.fixture
def sound(plant: Plant, station: Gateway) -> Iterator[Gateway]:
    """Every tag of the station itself is Good before the fault; afterwards the plant is repaired."""
    plant.clear()
    station.eventually("the station is not sound", lambda: not faulty(station))
    yield station
    plant.clear()
    station.eventually("the station did not recover", lambda: not faulty(station), within=20)


def faulty(gateway: Gateway) -> set[str]:
    """The tags of the station's own devices that are not Good."""
    return gateway.not_good("plc_1", "scada_1")


# --- one device ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("reply", HOSTILE, ids=lambda reply: reply.__name__)
def test_a_device_that_answers_wrongly_has_a_bad_tag_without_a_number(station: Gateway, reply: hostile.Reply) -> None:
    name = reply.__name__
    device = station.eventually("nobody noticed", lambda: d if (d := station.device(name))["last_error"] else None)
    assert (device["good"], device["state"] in ("lost", "demoted")) == (0, True)
    tag = station.tag(f"{name}/speed")
    assert (tag["value"], tag["status"] >> 30) == (None, 2)


def test_a_wrong_unit_id_is_said_and_spoils_one_tag(station: Gateway) -> None:
    tag = station.eventually("no answer", lambda: t if (t := station.tag("wrong_unit/speed"))["ingest_time_ns"] else 0)
    assert (tag["value"], tag["status"] >> 30) == (None, 2)
    assert station.device("wrong_unit")["good"] == 0


def test_bad_neighbours_do_not_slow_the_station_down(station: Gateway) -> None:
    """Eight devices beside it time out, hang up or talk nonsense all the time."""
    assert station.scan_rate("scada_1", 8) > 0.75 * 4
    assert station.scan_rate("plc_1", 20) > 0.75 * 10
    assert faulty(station) == set()


def test_a_device_that_was_absent_at_the_start_is_read_once_it_appears(station: Gateway, late_port: int) -> None:
    assert station.device("late")["state"] in ("connecting", "lost", "demoted")
    assert station.tag("late/speed")["value"] is None
    with Plant.start(modbus_port=late_port):
        station.eventually("it was not found", lambda: station.tag("late/speed")["status"] == 0)
        assert station.device("late")["state"] == "connected"
        assert station.tag("late/speed")["value"] == pytest.approx(58, abs=5)
    station.eventually("its loss was not noticed", lambda: station.tag("late/speed")["value"] is None)
    told = [leaf.body.state for leaf in station.records(DeviceEvent) if leaf.body.device == "late"]
    assert "connected" in told
    assert told[-1] in ("lost", "demoted")


def test_a_silent_device_loses_its_own_tags_and_the_other_keeps_its_pace_and_nothing_is_written(
    sound: Gateway, plant: Plant
) -> None:
    steady(sound)
    writes = len(plant.writes())
    plant.fault("device_silent", server="modbus", seconds=600)
    sound.eventually("its tags are still Good", lambda: set(sound.tags("plc_1")) <= sound.not_good())
    scans = sound.device("plc_1")["scans"]
    assert sound.scan_rate("scada_1", 8) > 0.75 * 4
    assert sound.device("plc_1")["scans"] == scans
    assert {name for name in faulty(sound) if name.startswith("scada_1")} == set()
    plant.clear()
    sound.eventually("it did not come back", lambda: not faulty(sound), within=20)
    assert plant.writes()[writes:] == []


# --- one request, one instrument ----------------------------------------------------------------------------------------


def test_an_exception_on_one_address_spoils_the_tags_of_that_request_and_no_other(sound: Gateway, plant: Plant) -> None:
    plant.fault("exception", address=22)
    together = {name for name, how in requests_of(sound.site, "plc_1").items() if how == ("input", "normal")}
    assert len(together) == 4
    sound.eventually("the exception went unnoticed", lambda: faulty(sound) == together)
    scans = sound.device("plc_1")["scans"]
    sound.eventually("it is no longer scanned", lambda: sound.device("plc_1")["scans"] > scans + 20)
    assert faulty(sound) == together
    assert {sound.tag(name)["value"] for name in together} == {None}
    assert sound.device("plc_1")["state"] == "connected"


def test_an_instrument_that_shows_nan_is_bad_alone_and_no_rule_acts_on_it(sound: Gateway, plant: Plant) -> None:
    before = sound.last_decision()
    plant.fault("sensor_nan", tag="pump_2.bearing_temp")
    sound.eventually("its tag is still Good", lambda: sound.tag("pump_2.bearing_temp")["status"] >> 30 == 2)
    assert faulty(sound) == {"plc_1/pump_2_bearing_temp"}
    assert sound.tag("pump_2.bearing_temp")["value"] is None
    assert sound.tag("pump_2.bearing_temp")["anomaly"] is None
    assert [decision for decision in sound.decisions() if decision["id"] > before] == []


# --- one actuator -------------------------------------------------------------------------------------------------------


def since(gateway: Gateway, point: str, decision: int) -> list[dict]:
    return [each for each in gateway.writes(point) if each["id"] > decision]


def locked_out_alarms(gateway: Gateway, point: str) -> list[str]:
    alarms = [leaf.body for leaf in gateway.records(AlarmEvent)]
    return [alarm.priority for alarm in alarms if alarm.alarm == f"{point}/locked-out" and alarm.state == "unack"]


@pytest.fixture(scope="module")
def disobeyed(plant: Plant, station: Gateway) -> dict[str, list[dict]]:
    """The writes that the gateway tried: pump 1 acknowledges and forgets them, pump 2 cuts them to 50 %."""
    plant.clear()
    steady(station)
    before = station.last_decision()
    plant.fault("write_ignored", tag="pump_1.speed_sp")
    plant.fault("write_clamped", tag="pump_2.speed_sp", max=50)
    station.override("pump_1.speed_sp", 55)
    station.override("pump_2.speed_sp", 55)
    station.eventually(
        "pump 1 was not locked out",
        lambda: "locked_out" in station.decisions("pump_1.speed_sp")[0]["reasons"],
        within=30,
    )
    station.eventually("pump 2 is not at its fail-safe value", lambda: station.written("pump_2.speed_sp", 45))
    plant.clear()
    return {point: since(station, point, before) for point in ("pump_1.speed_sp", "pump_2.speed_sp")}


@pytest.fixture
def ignored(disobeyed: dict[str, list[dict]]) -> list[dict]:
    return disobeyed["pump_1.speed_sp"]


@pytest.fixture
def clamped(disobeyed: dict[str, list[dict]]) -> list[dict]:
    return disobeyed["pump_2.speed_sp"]


def test_a_write_that_did_not_take_is_tried_once_more_and_then_the_fail_safe_value(ignored: list[dict]) -> None:
    assert [(each["value"], each["outcome"]) for each in ignored] == [
        (55.0, "mismatch"),
        (55.0, "mismatch"),
        (45.0, "mismatch"),
    ]
    assert {each["read_back"] for each in ignored} == {60.0}
    assert "mismatch_retry" in ignored[1]["reasons"]
    assert "fail_safe" in ignored[2]["reasons"]


def test_then_the_point_is_locked_out_with_an_alarm_and_left_alone(
    ignored: list[dict], station: Gateway, plant: Plant
) -> None:
    assert locked_out_alarms(station, "pump_1.speed_sp") == ["critical"]
    writes = len(plant_writes(plant, "pump_1.speed_sp"))
    station.throughout(1, "it was written again", lambda: len(plant_writes(plant, "pump_1.speed_sp")) == writes)


def test_a_person_who_clears_the_override_ends_the_lock_out(ignored: list[dict], station: Gateway) -> None:
    """The alarm says: set or clear an override to reset it."""
    station.release("pump_1.speed_sp")
    station.eventually(
        "the point is still locked",
        lambda: "locked_out" not in station.decisions("pump_1.speed_sp")[0]["reasons"],
        within=2,
    )


def test_a_person_who_sets_the_override_again_ends_the_lock_out(
    ignored: list[dict], station: Gateway, plant: Plant
) -> None:
    station.override("pump_1.speed_sp", 52)
    station.eventually("the point is still locked", lambda: station.written("pump_1.speed_sp", 52))
    station.release("pump_1.speed_sp")
    station.eventually("policy did not get it back", lambda: station.written("pump_1.speed_sp", 60, rule="base-speed"))


def test_a_clamped_write_is_a_mismatch_that_says_what_the_plant_holds(clamped: list[dict]) -> None:
    assert [(each["value"], each["outcome"], each["read_back"]) for each in clamped] == [
        (55.0, "mismatch", 50.0),
        (55.0, "mismatch", 50.0),
        (45.0, "verified", 45.0),
    ]


def test_after_two_mismatches_a_person_can_give_the_point_a_value_again(clamped: list[dict], station: Gateway) -> None:
    station.override("pump_2.speed_sp", 53)
    station.eventually("the fail-safe value holds for ever", lambda: station.written("pump_2.speed_sp", 53), within=4)
    station.release("pump_2.speed_sp")
    station.eventually("policy did not get it back", lambda: station.written("pump_2.speed_sp", 60))


def test_the_journal_verifies_after_all_that(station: Gateway) -> None:
    assert "The journal verifies" in station.verified()
