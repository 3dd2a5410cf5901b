"""Lines over the network: what arrives is passed on until we close, and nothing after."""

from __future__ import annotations

import asyncio

from gatewayd.device.modbus.line import DatagramLine, Ears, StreamLine


class Heard:
    def __init__(self) -> None:
        self.bytes: list[bytes] = []
        self.ends: list[Exception | None] = []
        self.bounces: list[Exception] = []
        self.news = asyncio.Event()
        self.ears = Ears(self.heard, self.lost, self.bounced)

    def heard(self, arrived: bytes) -> None:
        self.bytes.append(arrived)
        self.news.set()

    def lost(self, error: Exception | None) -> None:
        self.ends.append(error)
        self.news.set()

    def bounced(self, error: Exception) -> None:
        self.bounces.append(error)
        self.news.set()

    async def something(self) -> None:
        await asyncio.wait_for(self.news.wait(), 5)
        self.news.clear()


async def test_a_stream_carries_bytes_and_says_when_the_other_side_hangs_up():
    async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(await reader.read(100))
        writer.close()

    server = await asyncio.start_server(echo, "127.0.0.1", 0)
    heard = Heard()
    loop = asyncio.get_running_loop()
    _, line = await loop.create_connection(lambda: StreamLine(heard.ears), *server.sockets[0].getsockname())
    line.send(b"abc")
    await heard.something()
    while not heard.ends:
        await heard.something()
    assert (heard.bytes, heard.ends) == ([b"abc"], [None])
    line.close()
    server.close()


async def test_a_line_that_we_closed_says_nothing_more():
    server = await asyncio.start_server(lambda reader, writer: writer.close(), "127.0.0.1", 0)
    heard = Heard()
    loop = asyncio.get_running_loop()
    _, line = await loop.create_connection(lambda: StreamLine(heard.ears), *server.sockets[0].getsockname())
    line.close()
    line.close()
    for _ in range(5):
        await asyncio.sleep(0)
    assert heard.ends == []
    server.close()


async def test_a_datagram_to_nobody_bounces_and_the_socket_stays():
    heard = Heard()
    loop = asyncio.get_running_loop()
    other, _ = await loop.create_datagram_endpoint(asyncio.DatagramProtocol, local_addr=("127.0.0.1", 0))
    port = other.get_extra_info("sockname")[1]
    other.close()
    await asyncio.sleep(0)
    _, line = await loop.create_datagram_endpoint(lambda: DatagramLine(heard.ears), remote_addr=("127.0.0.1", port))
    line.send(b"abc")
    await heard.something()
    assert isinstance(heard.bounces[0], ConnectionRefusedError)
    assert heard.ends == []
    line.close()
