"""A recorded device answers again."""

from __future__ import annotations

from pymodbus.client import AsyncModbusTcpClient

from gatewayd.device.modbus.loopback import LoopbackServer
from gatewayd.device.modbus.player import Player
from gatewayd.device.recording import Exchange

READ = b"\x03\0\x00\0\x01"


def exchange(at: int, value: int | None, unit: int = 1, request: bytes = READ) -> Exchange:
    return Exchange(at, 1, unit, request, b"" if value is None else b"\x03\x02" + value.to_bytes(2, "big"))


def test_responses_come_in_their_order_over_and_over():
    player = Player([exchange(30, 3), exchange(10, 1), exchange(20, 2)])
    assert [player.answer(1, READ) for _ in range(5)] == [b"\x03\x02\0" + bytes((n,)) for n in (1, 2, 3, 1, 2)]
    assert (player.answered, player.unknown, player.requests, player.units) == (5, 0, 1, (1,))


def test_what_was_never_recorded_gets_exception_2():
    player = Player([exchange(1, 1)])
    assert player.answer(2, READ) == b"\x83\x02"
    assert player.answer(1, b"\x10\0\0\0\x01\x02\0\x01") == b"\x90\x02"
    assert player.unknown == 2


def test_a_silence_is_recorded_too():
    player = Player([exchange(1, 1), exchange(2, None)])
    assert [player.answer(1, READ) for _ in range(3)] == [b"\x03\x02\0\x01", None, b"\x03\x02\0\x01"]


async def test_pymodbus_reads_a_recording():
    player = Player([exchange(1, 700), exchange(2, 701)])
    server = LoopbackServer(player.answer)
    client = AsyncModbusTcpClient("127.0.0.1", port=await server.start(), timeout=5)
    await client.connect()
    assert [(await client.read_holding_registers(0, count=1)).registers for _ in range(3)] == [[700], [701], [700]]
    assert (await client.read_holding_registers(5, count=1)).exception_code == 2
    client.close()
    await server.close()
