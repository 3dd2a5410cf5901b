"""The stand-in on loopback: a foreign client reads back what it wrote."""

from __future__ import annotations

import asyncio

import pytest
from pymodbus.client import AsyncModbusTcpClient

from gatewayd.device.modbus.loopback import CONNECTIONS_MAX, LoopbackServer, StandIn


@pytest.fixture
async def serving():
    stand_in = StandIn()
    server = LoopbackServer(stand_in.answer)
    port = await server.start()
    yield stand_in, port, server
    await server.close()


async def test_pymodbus_reads_back_what_it_wrote(serving):
    stand_in, port, _ = serving
    client = AsyncModbusTcpClient("127.0.0.1", port=port, timeout=5)
    await client.connect()
    await client.write_register(3, 700)
    await client.write_registers(10, [1, 65_535])
    await client.write_coil(5, True)
    await client.write_coils(8, [True, False, True])
    await client.mask_write_register(address=3, and_mask=0xFFF0, or_mask=0x0005)
    assert (await client.read_holding_registers(3, count=1)).registers == [(700 & 0xFFF0) | 5]
    assert (await client.read_holding_registers(9, count=3)).registers == [0, 1, 65_535]
    assert (await client.read_coils(5, count=6)).bits[:6] == [True, False, False, True, False, True]
    client.close()
    assert [request[0] for _, request in stand_in.heard] == [6, 16, 5, 15, 22, 3, 3, 1]


async def test_a_function_it_does_not_have_is_refused():
    assert StandIn().answer(1, b"\x2b\x0e\x01\x00") == b"\xab\x01"
    assert StandIn().answer(1, b"\x03\x00") == b"\x83\x03"


async def test_another_protocol_is_hung_up_on(serving):
    _, port, _ = serving
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(b"GET / HTTP/1.1\r\n\r\n")
    assert await reader.read() == b""
    writer.close()


async def test_connections_have_a_limit(serving):
    _, port, server = serving
    streams = [await asyncio.open_connection("127.0.0.1", port) for _ in range(CONNECTIONS_MAX + 1)]
    assert await streams[-1][0].read() == b""
    assert server.refused == 1
    for _, writer in streams:
        writer.close()
