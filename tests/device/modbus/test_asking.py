"""The bus a technician asks through: silence is an answer, a late answer is nobody's."""

from __future__ import annotations

import socket

import pytest

from gatewayd.device.modbus import pdu
from gatewayd.device.modbus.asking import TcpAsker
from gatewayd.errors import DeviceProtocolError, DeviceTimeout, DeviceUnreachable
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
