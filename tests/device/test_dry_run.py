"""What a write would send, byte for byte, and nothing sent."""

from __future__ import annotations

import socket

import pytest

from gatewayd.clock import SystemClock
from gatewayd.device.dry_run import DryWrite, dry_run_modbus, dry_run_opcua
from gatewayd.errors import DeviceRefused
from gatewayd.model.device import ModbusTag, ModbusTcpDevice, OpcuaTag


@pytest.mark.parametrize(
    ("settings", "value", "request_", "data", "reads_back"),
    [
        ({"scale": 0.1}, 42.5, "FC 16, unit 7", "10 00 03 00 01 02 01 a9", 42.5),
        ({"type": "float32", "byte_order": "CDAB"}, 21.5, "FC 16, unit 7", "10 00 03 00 02 04 00 00 41 ac", 21.5),
        ({"register_type": "coil", "type": "bool"}, 1, "FC 15, unit 7", "0f 00 03 00 01 01 01", 1.0),
    ],
)
async def test_the_bytes_are_those_that_the_driver_sends(settings, value, request_, data, reads_back):
    """The real device is a port where nobody listens: it is never asked."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    device = ModbusTcpDevice(name="plc", host="127.0.0.1", port=port, unit_id=7)
    tag = ModbusTag(**{"name": "speed", "register_type": "holding", "address": 3, "access": "rw", **settings})
    found = await dry_run_modbus(device, tag, value, SystemClock())
    assert found.writes == (DryWrite(request=request_, data=data),)
    assert found.reads_back == pytest.approx(reads_back, abs=1e-12)


async def test_a_value_that_has_no_place_in_the_type_is_refused_as_in_the_daemon():
    tag = ModbusTag(name="speed", register_type="holding", address=3, access="rw")
    with pytest.raises(DeviceRefused, match="outside 0 to 65535"):
        await dry_run_modbus(ModbusTcpDevice(name="plc", host="192.0.2.7"), tag, 70_000, SystemClock())


def test_an_opc_ua_write_is_shown_as_its_variant():
    tag = OpcuaTag(name="level", node_id="nsu=urn:a;s=level", type="float32", scale=2.0, access="rw")
    found = dry_run_opcua(tag, 3.0)
    assert found.writes == (DryWrite(request="Write nsu=urn:a;s=level: Float 1.5", data="0a 00 00 c0 3f"),)
    assert found.reads_back == 3.0
