"""Each fault does to a client what it is named for, and ends."""

from __future__ import annotations

import math
import struct

import pytest
from asyncua import Client, ua
from pymodbus.client import ModbusTcpClient
from pymodbus.exceptions import ModbusIOException

from hil.plants.client import PlantError
from hil.plants.tags import NAMESPACE
from tests.hil.plants.conftest import until


@pytest.fixture
def client(plant):
    client = ModbusTcpClient("127.0.0.1", port=plant.modbus_port, retries=0, timeout=0.5)
    assert client.connect()
    yield client
    client.close()


async def read_node(plant, tag):
    async with Client(plant.opcua_endpoint, timeout=10, watchdog_intervall=60) as client:
        index = await client.get_namespace_index(NAMESPACE)
        return await client.get_node(ua.NodeId(tag, index)).read_data_value()


def pass_steps(plant):
    """Let the physics make three steps, so that every instrument has been read anew."""
    before = plant.state()["time_s"]
    until(lambda: plant.state()["time_s"] > before + 0.149)


def temp_1(client):
    words = client.read_input_registers(4, count=2, device_id=1).registers
    return struct.unpack(">f", struct.pack(">HH", *words))[0]


def test_a_worn_bearing_heats_up_and_a_repaired_one_cools(plant, client):
    before = temp_1(client)
    plant.fault("bearing_wear", pump="pump_1")
    until(lambda: temp_1(client) > before + 10.0)
    plant.clear()
    hot = temp_1(client)
    until(lambda: temp_1(client) < hot - 3.0)


async def test_a_stuck_sensor_shows_one_value_with_ever_new_times(plant):
    plant.fault("sensor_stuck", tag="tank_1.level")
    pass_steps(plant)
    first = await read_node(plant, "tank_1.level")
    pass_steps(plant)
    again = await read_node(plant, "tank_1.level")

    assert again.Value.Value == first.Value.Value
    assert again.SourceTimestamp > first.SourceTimestamp
    plant.clear()
    pass_steps(plant)
    assert (await read_node(plant, "tank_1.level")).Value.Value != first.Value.Value


async def test_a_sensor_without_a_value_shows_nan_or_its_not_available(plant, client):
    for tag in ("tank_1.level", "pump_1.bearing_temp", "pump_1.vibration"):
        plant.fault("sensor_nan", tag=tag)

    until(lambda: math.isnan(temp_1(client)))
    assert client.read_input_registers(2, count=1, device_id=1).registers == [0xFFFF]
    assert math.isnan((await read_node(plant, "tank_1.level")).Value.Value)


def test_a_silent_device_accepts_and_does_not_answer_until_its_time_is_over(plant, client):
    plant.fault("device_silent", server="modbus", seconds=1.0)

    with pytest.raises(ModbusIOException):
        client.read_holding_registers(0, count=1, device_id=1)
    until(lambda: "device_silent" not in plant.state()["faults"])
    client.close()
    assert client.connect()
    assert not client.read_holding_registers(0, count=1, device_id=1).isError()


def test_one_silent_device_leaves_the_other_alone(plant, client):
    plant.fault("device_silent", server="opcua", seconds=30.0)

    assert not client.read_holding_registers(0, count=1, device_id=1).isError()


def test_an_exception_hits_exactly_the_requests_that_touch_its_address(plant, client):
    plant.fault("exception", address=5)

    assert client.read_input_registers(4, count=2, device_id=1).exception_code == 4
    assert not client.read_input_registers(6, count=2, device_id=1).isError()
    plant.clear()
    assert not client.read_input_registers(4, count=2, device_id=1).isError()


def test_an_ignored_write_is_acknowledged_logged_and_forgotten(plant, client):
    before = client.read_holding_registers(0, count=1, device_id=1).registers[0]
    plant.fault("write_ignored", tag="pump_1.speed_sp")

    assert not client.write_register(0, before + 7, device_id=1).isError()
    assert plant.writes()[-1]["value"] == before + 7
    assert client.read_holding_registers(0, count=1, device_id=1).registers == [before]


def test_a_clamped_write_is_acknowledged_and_cut(plant, client):
    plant.fault("write_clamped", tag="pump_1.speed_sp", max=50.0)

    assert not client.write_register(0, 600, device_id=1).isError()
    assert client.read_holding_registers(0, count=1, device_id=1).registers == [500]
    plant.clear()
    assert not client.write_register(0, 600, device_id=1).isError()
    assert client.read_holding_registers(0, count=1, device_id=1).registers == [600]


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("bearing_wera", {}),
        ("bearing_wear", {"pump": "pump_9"}),
        ("bearing_wear", {}),
        ("sensor_stuck", {"tag": "pump_1.speed_sp"}),
        ("write_ignored", {"tag": "tank_1.level"}),
        ("device_silent", {"server": "modbus", "seconds": 1e9}),
        ("device_silent", {"server": "plc", "seconds": 1}),
        ("exception", {"address": "x"}),
    ],
)
def test_a_fault_that_cannot_be_is_refused_and_the_plant_goes_on(plant, name, arguments):
    with pytest.raises(PlantError):
        plant.fault(name, **arguments)
    assert plant.state()["time_s"] > 0.0
