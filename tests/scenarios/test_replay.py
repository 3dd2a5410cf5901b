"""What a daemon decided on a plant with physics is decided again from what it recorded, bit for bit."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from hil.daemon import gatewayd
from hil.plants.client import Plant
from tests.scenarios.rig import Gateway, pumping_station, replace, running, scratch, steady

PUMP = "pump_1.speed_sp"


@pytest.fixture(scope="module")
def plant() -> Iterator[Plant]:
    with Plant.start() as station:
        yield station


@pytest.fixture
def gateway(plant: Plant) -> Iterator[Gateway]:
    """The pumping station, with a block of inputs each second."""
    plant.clear()
    with scratch() as folder:
        site = pumping_station(folder, modbus_port=plant.modbus_port, opcua_port=plant.opcua_port)
        replace(site / "gateway.toml", r"evidence_block_s = [\d.]+", "evidence_block_s = 1")
        with running(site) as one:
            yield steady(one)


def replayed(place: Path, *options: str) -> Any:
    done = subprocess.run(
        [sys.executable, "-m", "gatewayd", "replay", str(place), "--json", *options],
        capture_output=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, (done.returncode, done.stdout[-4000:], done.stderr[-1000:])
    return json.loads(done.stdout)


def test_people_faults_restarts_and_other_rules_replay_bit_for_bit(gateway: Gateway, plant: Plant) -> None:
    """One story over three runs of the daemon; the last one is still running when it is replayed."""
    last = gateway.last_decision()
    gateway.override(PUMP, 45, seconds=2)
    gateway.eventually("the override did not end", lambda: gateway.written(PUMP, 60, after=last))
    plant.fault("device_silent", server="modbus", seconds=2)
    gateway.eventually("nothing was lost", lambda: gateway.not_good("plc_1"))
    gateway.eventually("it did not come back", lambda: not gateway.not_good("plc_1"))
    plant.fault("write_clamped", tag=PUMP, max=50)
    gateway.override(PUMP, 55, seconds=60)
    gateway.eventually("no write failed", lambda: gateway.writes(PUMP)[-1]["outcome"] == "mismatch", within=30)
    gateway.release(PUMP)
    plant.clear()
    gateway.stop()
    gateway.start()
    steady(gateway)
    gateway.kill()
    gateway.start()
    steady(gateway)
    replace(gateway.site / "policies" / "station.toml", r"tank_1.level > 3.5 for 2s", "tank_1.level > 3.4 for 2s")
    gatewayd("--socket", str(gateway.socket_path), "rules", "apply")
    last = gateway.last_decision()
    gateway.override(PUMP, 50, seconds=1)
    gateway.eventually("the override did not end", lambda: gateway.written(PUMP, 60, after=last))
    found = gateway.eventually("its block is not sealed", lambda: _covers(gateway, gateway.last_decision()))
    assert (found["equal"], found["restarts"], found["sites"]) == (True, 2, 2)
    assert [gap["why"][:13] for gap in found["gaps"] if gap["first_cycle"]] == ["the unsealed "]
    assert found["decisions"] >= 20


def _covers(gateway: Gateway, decisions: int) -> Any:
    """Replay beside the daemon; return the report once all decisions but those that a kill took are in it."""
    found = replayed(gateway.storage)
    lost = sum(gap["decisions"] for gap in found["gaps"] if not gap["why"].startswith("their inputs"))
    return found if found["decisions"] + lost >= decisions else None
