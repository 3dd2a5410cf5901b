"""Opening: each transport where it is, and what is said when it is not there."""

from __future__ import annotations

import socket

import pytest

from gatewayd.clock import SystemClock
from gatewayd.device.modbus.bus import Bus
from gatewayd.device.modbus.connection import Connection
from gatewayd.device.modbus.transport import Opener, address, character_ns
from gatewayd.errors import DeviceTimeout, DeviceUnreachable
from gatewayd.model.device import ModbusDevice
from tests.device.modbus.bus_site import rtu_over_tcp_device, serial_device, tcp_device, udp_device
from tests.device.modbus.peer import playing


def opener(device: ModbusDevice, folder) -> Opener:
    return Opener(device, SystemClock(), folder)


async def test_tcp_is_pipelined_and_a_bus_is_not(tmp_path):
    async with playing() as peer:
        for device, kind in ((tcp_device(peer.port), Connection), (rtu_over_tcp_device(peer.port), Bus)):
            channel = await opener(device, tmp_path).open()
            assert isinstance(channel, kind)
            channel.abort()
    channel = await opener(udp_device(9), tmp_path).open()  # nobody need be there
    channel.abort()


async def test_a_port_that_refuses_is_said(tmp_path):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
        for device in (tcp_device(port), rtu_over_tcp_device(port)):
            with pytest.raises(DeviceUnreachable, match=f"{device.name}: 127.0.0.1 port {port} cannot be reached"):
                await opener(device, tmp_path).open()


async def test_a_converter_that_accepts_nobody_is_a_timeout(tmp_path):
    with socket.socket() as full:
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        with socket.create_connection(full.getsockname()):
            device = rtu_over_tcp_device(full.getsockname()[1], timeout_ms=50)
            channels = []

            async def until_the_queue_is_full() -> None:
                while len(channels) < 5:  # the kernel lets one or two wait in it
                    channels.append(await opener(device, tmp_path).open())

            with pytest.raises(DeviceTimeout, match="did not accept a connection in 50 ms"):
                await until_the_queue_is_full()
            for channel in channels:
                channel.abort()


def test_where_a_device_is():
    assert address(serial_device("/dev/ttyUSB0")) == "/dev/ttyUSB0"
    assert address(udp_device(502)) == "127.0.0.1 port 502"


def test_a_character_has_a_start_bit_and_what_the_settings_say():
    assert character_ns(serial_device("/dev/x", baud_rate=9600)) == 11e9 / 9600  # 8E1
    assert character_ns(serial_device("/dev/x", baud_rate=9600, parity="none")) == 10e9 / 9600
