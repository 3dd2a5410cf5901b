"""The station as a process: says when it is ready, logs writes before it answers, leaves nothing behind."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest
from pymodbus.client import ModbusTcpClient

from hil.plants.client import Plant, PlantError
from tests.hil.plants.conftest import until

ROOT = Path(__file__).resolve().parents[3]


def gone(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0]
    except OSError:
        return True
    return state == "Z"


def test_every_write_is_in_the_log_before_it_is_answered_in_the_order_of_arrival(plant):
    client = ModbusTcpClient("127.0.0.1", port=plant.modbus_port, retries=0)
    assert client.connect()
    before = len(plant.writes())
    for number in range(20):
        assert not client.write_register(0, 550 + number, device_id=1).isError()
        answered_ns = time.clock_gettime_ns(time.CLOCK_BOOTTIME)
        newest = plant.writes()[-1]
        assert newest["value"] == 550 + number
        assert newest["mono_ns"] < answered_ns
    client.close()

    written = plant.writes()[before:]
    assert [write["value"] for write in written] == [550 + number for number in range(20)]
    assert [write["mono_ns"] for write in written] == sorted(write["mono_ns"] for write in written)
    assert {(w["server"], w["tag"], w["register_type"], w["address"]) for w in written} == {
        ("modbus", "pump_1.speed_sp", "holding", 0)
    }


def test_a_set_point_moves_the_pump(plant):
    client = ModbusTcpClient("127.0.0.1", port=plant.modbus_port, retries=0)
    assert client.connect()
    client.write_register(1, 620, device_id=1)
    client.close()

    until(lambda: plant.state()["pumps"]["pump_2"]["speed"] == pytest.approx(62.0))


def test_a_terminated_station_ends_well_and_takes_its_servers_along(tmp_path):
    plant = Plant.start(writes_log=tmp_path / "writes.jsonl")
    plant.fault("device_silent", server="modbus", seconds=60)
    pids = list(plant.servers.values())

    plant.stop()

    assert plant._process.returncode == 0
    assert all(gone(pid) for pid in pids)
    assert (tmp_path / "writes.jsonl").read_text() == ""
    plant.stop()


def test_a_killed_station_leaves_no_server_behind():
    plant = Plant.start()
    pids = list(plant.servers.values())
    os.kill(plant.pid, signal.SIGKILL)

    until(lambda: all(gone(pid) for pid in pids))
    plant.stop()


def test_a_taken_port_is_said_and_nothing_stays(plant):
    with pytest.raises(PlantError, match="modbus server did not start"):
        Plant.start(modbus_port=plant.modbus_port)


def test_a_person_gets_a_sentence_and_ctrl_c_ends_it():
    process = subprocess.Popen(
        [sys.executable, "-m", "hil.plants.station"],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    said = process.stdout.readline()
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=15)

    assert said.startswith("the pumping station runs: modbus on 127.0.0.1:")
    assert (process.returncode, errors) == (0, "")


@pytest.mark.parametrize("line", ["", "[]", "{", '{"do": "dance"}', '{"do": "fault", "name": "clear", "args": [1]}'])
def test_nonsense_on_the_control_socket_is_refused_and_the_plant_goes_on(plant, line):
    with socket.socket(socket.AF_UNIX) as channel:
        channel.settimeout(5)
        channel.connect(str(plant._socket))
        channel.sendall(line.encode() + b"\n")
        assert json.loads(channel.makefile().readline())["ok"] is False
    assert plant.state()["time_s"] > 0.0
