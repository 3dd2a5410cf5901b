"""The bus a technician asks through: silence is an answer, a late answer is nobody's."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest

from gatewayd.clock import SystemClock
from gatewayd.device.modbus import pdu
from gatewayd.device.modbus.asking import LineAsker, TcpAsker, asker_of
from gatewayd.device.modbus.identification import BASIC, Page, encode_page
from gatewayd.device.modbus.rtu import crc16
from gatewayd.device.modbus.scan import Scan, identify
from gatewayd.errors import DeviceProtocolError, DeviceRefused, DeviceTimeout, DeviceUnreachable
from gatewayd.model.device import ModbusDevice, ModbusTcpDevice
from hil.plants.rtu_bus import Replies, RtuBus, garbage_only
from tests.device.modbus.bus_site import rtu_over_tcp_device, serial_device, tls_device, udp_device
from tests.device.modbus.peer import Caller, playing

READ_7 = pdu.read_request(3, 7, 1).pdu
READ_8 = pdu.read_request(3, 8, 1).pdu


def bus_to(port: int, timeout_ms: int = 5000) -> TcpAsker:
    return TcpAsker("127.0.0.1", port, timeout_ms)


async def test_a_unit_answers():
    async with playing() as peer:
        bus = bus_to(peer.port)
        await bus.open()
        assert await bus.ask(17, READ_7) == b"\x03\x02\x00\x07"
        await bus.close()


async def test_an_answer_after_its_time_is_not_taken_for_the_next_one():
    async def answers_the_first_late(caller: Caller) -> None:
        first = await caller.next()
        second = await caller.next()
        caller.say(first.good() + second.good())
        await caller.hung_up()

    async with playing(answers_the_first_late) as peer:
        bus = bus_to(peer.port, timeout_ms=100)
        await bus.open()
        with pytest.raises(DeviceTimeout, match="unit 1 did not answer in 100 ms"):
            await bus.ask(1, READ_7)
        assert await bus.ask(1, READ_8) == b"\x03\x02\x00\x08"
        await bus.close()


async def test_requests_sent_together_get_their_answers_in_any_order():
    async def answers_backwards_and_not_all(caller: Caller) -> None:
        asked = [await caller.next() for _ in range(3)]
        caller.say(asked[2].good() + asked[0].good())
        await caller.hung_up()

    async with playing(answers_backwards_and_not_all) as peer:
        bus = bus_to(peer.port, timeout_ms=200)
        await bus.open()
        assert await bus.ask_together(1, [READ_7, READ_7, READ_8]) == [b"\x03\x02\x00\x07", None, b"\x03\x02\x00\x08"]
        await bus.close()


async def test_another_protocol_on_the_port_is_named():
    async def speaks_http(caller: Caller) -> None:
        await caller.next()
        caller.say(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        await caller.hung_up()

    async with playing(speaks_http) as peer:
        bus = bus_to(peer.port)
        await bus.open()
        with pytest.raises(DeviceProtocolError, match="not a Modbus TCP header"):
            await bus.ask(1, READ_7)


async def test_another_unit_that_answers_is_named():
    async def answers_as_255(caller: Caller) -> None:
        asked = await caller.next()
        caller.say(asked.frame(b"\x03\x02\x00\x07", unit_id=255))
        await caller.hung_up()

    async with playing(answers_as_255) as peer:
        bus = bus_to(peer.port)
        await bus.open()
        with pytest.raises(DeviceProtocolError, match="unit 255 answered instead of unit 1"):
            await bus.ask(1, READ_7)


async def test_a_bus_that_hangs_up_can_be_opened_again():
    async def hangs_up(caller: Caller) -> None:
        await caller.next()

    async def answers(caller: Caller) -> None:
        caller.say((await caller.next()).good())
        await caller.hung_up()

    async with playing(hangs_up, answers) as peer:
        bus = bus_to(peer.port)
        await bus.open()
        with pytest.raises(DeviceUnreachable, match="was lost while unit 1"):
            await bus.ask(1, READ_7)
        with pytest.raises(DeviceUnreachable, match="not connected"):
            await bus.ask(1, READ_7)
        await bus.open()
        assert await bus.ask(1, READ_7) == b"\x03\x02\x00\x07"
        await bus.close()
        await bus.close()


async def test_nobody_there_is_told_with_a_remedy():
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    with pytest.raises(DeviceUnreachable, match="cannot be reached") as refused:
        await bus_to(port).open()
    assert "no other master" in refused.value.remedy


# --- on a line, through the daemon's own transports ---------------------------------------------------------------------

IDENTITY = encode_page(Page(BASIC, 1, ((0, b"ACME"), (1, b"P-7"), (2, b"1.4"))))


def identified(frame: bytes) -> Replies:
    """A unit that tells who it is, in pieces, as a slow line cuts an answer."""
    if frame[1] != 0xAB:
        return [(0.0, frame)]
    body = frame[:1] + IDENTITY
    whole = body + crc16(body).to_bytes(2, "little")
    return [(0.001 * at, whole[at : at + 5]) for at in range(0, len(whole), 5)]


def line_to(device: ModbusDevice) -> LineAsker:
    return LineAsker(device, SystemClock(), Path())


async def test_units_of_a_serial_bus_are_found_and_identified():
    with RtuBus([2, 3, 5]) as bus:
        bus.faults = {2: identified, 5: garbage_only}
        scanning = Scan(line_to(serial_device(bus.port, retries=0)), SystemClock())
        await scanning.run(range(1, 6), lambda unit, found: None)
    assert [(unit.unit_id, unit.answer) for unit in scanning.found] == [(2, "ok"), (3, "ok")]
    named, unnamed = scanning.found
    assert named.identification is not None
    assert dict(named.identification.objects) == {"vendor": "ACME", "product_code": "P-7", "revision": "1.4"}
    assert unnamed.identification is None
    assert named.bus == f"{bus.port} 19200 8E1"
    assert scanning.asked == 5
    assert max(unit.latency_ms for unit in scanning.found) < 100, "the silence before it does not count"


async def test_an_exception_on_a_line_comes_as_the_device_sent_it():
    with RtuBus([2]) as bus:
        asker = line_to(serial_device(bus.port))
        await asker.open()
        assert await asker.ask(2, READ_7) == b"\x03\x02" + (2007).to_bytes(2, "big")
        assert await asker.ask(2, b"\x2b\x0e\x01\x00") == b"\xab\x01"
        assert await identify(asker, 2) is None
        await asker.close()


async def test_a_tool_never_asks_a_line_to_write():
    with RtuBus([2]) as bus:
        asker = line_to(serial_device(bus.port))
        await asker.open()
        with pytest.raises(DeviceRefused, match="function 6 is not asked"):
            await asker.ask(2, pdu.write_register_request(1, 1).pdu)
        await asker.close()
        assert bus.written == {}


async def test_a_line_that_is_not_open_or_not_there_is_told():
    with pytest.raises(DeviceUnreachable, match="not open"):
        await line_to(serial_device("/dev/null")).ask(1, READ_7)
    with pytest.raises(DeviceUnreachable, match="cannot be reached"):
        await line_to(serial_device("/dev/no-such-port")).open()


def test_every_protocol_has_its_asker():
    clock = SystemClock()
    assert isinstance(asker_of(ModbusTcpDevice(name="plc", host="192.0.2.7"), clock, Path()), TcpAsker)
    for device in (serial_device("/dev/ttyS0"), udp_device(1), rtu_over_tcp_device(1), tls_device(1)):
        assert isinstance(asker_of(device, clock, Path()), LineAsker)
