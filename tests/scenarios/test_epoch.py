"""A damaged journal is given up, and with it what people had held: the gateway watches until somebody has looked."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from gatewayd.model.record import Gap, ModeChanged, OverrideEvent
from hil.daemon import gatewayd
from hil.plants.client import Plant
from tests.scenarios.rig import Gateway, pumping_station, running, scratch, steady

HELD_S = 3600


@pytest.fixture(scope="module")
def plant() -> Iterator[Plant]:
    with Plant.start() as station:
        yield station


@pytest.fixture
def damaged(plant: Plant) -> Iterator[Gateway]:
    """A gateway whose person held pump 1 when it stopped; its journal is damaged before it starts again."""
    plant.clear()
    with scratch() as folder:
        site = pumping_station(folder, modbus_port=plant.modbus_port, opcua_port=plant.opcua_port)
        with running(site) as gateway:
            steady(gateway)
            gateway.override("pump_1.speed_sp", 55, seconds=HELD_S)
            gateway.eventually("the override was not written", lambda: gateway.written("pump_1.speed_sp", 55))
            assert gateway.stop() == 0
            data = gateway.storage / "store" / "data.mdb"
            data.write_bytes(bytes(8192) + data.read_bytes()[8192:])
            gateway.start()
            yield gateway


def resume(gateway: Gateway, *, check: bool = True) -> str:
    command = ("--socket", str(gateway.socket_path), "resume", "--reason", "looked at both pumps")
    return gatewayd(*command, check=check)


def test_it_watches_names_what_was_held_and_goes_on_when_a_person_resumes(damaged: Gateway, plant: Plant) -> None:
    before = len(plant.writes())
    damaged.eventually("it does not read", lambda: not damaged.not_good())
    status = damaged.status()
    assert status["mode"] == "monitor"
    assert "a person must resume" in status["mode_reason"]
    assert any("pump_1.speed_sp may have been held at 55" in warning for warning in status["warnings"])
    damaged.throughout(2, "it wrote by itself", lambda: len(plant.writes()) == before)
    assert "Automatic writes are off" in gatewayd("--socket", str(damaged.socket_path), "status")
    damaged.override("pump_1.speed_sp", 54)
    damaged.eventually("the person's value was not written", lambda: damaged.written("pump_1.speed_sp", 54))
    damaged.stop()
    damaged.start()
    damaged.eventually("it never settles", lambda: "settling" not in damaged.status()["mode_reason"])
    assert damaged.status()["mode"] == "monitor", "it still waits after another start"
    assert "automatic writes are on again" in resume(damaged)
    damaged.eventually("it does not go on", lambda: damaged.status()["mode"] == "auto")
    assert not any("AUTOMATIC WRITES" in warning for warning in damaged.status()["warnings"])
    assert "nothing waits for a person" in resume(damaged, check=False)
    assert [leaf.body.event for leaf in damaged.records(OverrideEvent)].count("acknowledged") == 1
    assert [leaf.body.stream for leaf in damaged.records(Gap)].count("saved") == 1
    assert [leaf.body.mode for leaf in damaged.records(ModeChanged)] == ["auto"]
    damaged.stop()
    damaged.start()
    damaged.eventually("it waits again", lambda: damaged.status()["mode"] == "auto")
