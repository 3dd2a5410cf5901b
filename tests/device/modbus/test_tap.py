"""In between a client and a device: what passes is reported, and passed unchanged."""

from __future__ import annotations

import asyncio
import socket

from gatewayd.clock import SystemClock
from gatewayd.device.modbus.asking import TcpAsker
from gatewayd.device.modbus.tap import Tap
from gatewayd.device.recording import Exchange
from gatewayd.errors import DeviceUnreachable
from tests.device.modbus.peer import Caller, playing
from tests.device.modbus.test_asking import READ_7, READ_8


def told(exchanges: list[Exchange]) -> list[tuple[int, bytes, bytes]]:
    return [(each.unit_id, each.request, each.response) for each in exchanges]


async def test_requests_and_responses_are_told_in_pairs_even_out_of_order():
    async def answers_backwards(caller: Caller) -> None:
        first, second = await caller.next(), await caller.next()
        caller.say(second.good())
        caller.say(first.good())
        await caller.hung_up()

    heard: list[Exchange] = []
    async with playing(answers_backwards) as peer:
        tap = Tap("127.0.0.1", peer.port, SystemClock(), heard.append)
        bus = TcpAsker("127.0.0.1", await tap.start(), 5000)
        await bus.open()
        assert await bus.ask_together(9, [READ_7, READ_8]) == [b"\x03\x02\0\x07", b"\x03\x02\0\x08"]
        await bus.close()
        await tap.close()
    assert told(heard) == [(9, READ_8, b"\x03\x02\0\x08"), (9, READ_7, b"\x03\x02\0\x07")]
    assert all(each.asked_ns >= 0 and each.took_ns > 0 for each in heard)


async def test_a_request_without_an_answer_is_told_when_the_connection_ends():
    async def silent(caller: Caller) -> None:
        await caller.next()
        await caller.hung_up()

    heard: asyncio.Queue[Exchange] = asyncio.Queue()
    async with playing(silent) as peer:
        tap = Tap("127.0.0.1", peer.port, SystemClock(), heard.put_nowait)
        bus = TcpAsker("127.0.0.1", await tap.start(), 100)
        await bus.open()
        assert await bus.ask_together(9, [READ_7]) == [None]
        await bus.close()
        async with asyncio.timeout(5):
            exchange = await heard.get()
        await tap.close()
    assert told([exchange]) == [(9, READ_7, b"")]


async def test_a_device_that_is_not_there_looks_as_it_would_without_a_tap():
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    tap = Tap("127.0.0.1", port, SystemClock(), lambda _: None)
    bus = TcpAsker("127.0.0.1", await tap.start(), 5000)
    await bus.open()
    try:
        await bus.ask(1, READ_7)
    except DeviceUnreachable as error:
        assert "was lost" in error.message  # noqa: PT017
    else:
        raise AssertionError("nobody is there to answer")
    await tap.close()
