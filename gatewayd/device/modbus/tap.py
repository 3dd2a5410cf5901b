"""Listens in between a Modbus TCP client on this machine and a device: what passes is reported, and passed unchanged."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final, NamedTuple

from gatewayd.clock import Clock
from gatewayd.device.modbus.frame import HEADER_SIZE, LENGTH_MAX, LENGTH_MIN
from gatewayd.device.modbus.loopback import HOST
from gatewayd.device.recording import Exchange

OPEN_REQUESTS_MAX: Final = 1024
CONNECT_S: Final = 10.0
CLIENTS_MAX: Final = 8

_Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]


class _Asked(NamedTuple):
    asked_ns: int  # boot clock
    unit_id: int
    request: bytes


class Tap:
    """A server on loopback that connects each client to the device.

    Args:
        host: of the device.
        port: of the device.
        clock: boot time of requests and responses.
        report: takes each exchange when its response is there, or when the connection ends without one.
    """

    def __init__(self, host: str, port: int, clock: Clock, report: Callable[[Exchange], None]) -> None:
        self._device = (host, port)
        self._clock = clock
        self._report = report
        self._began_ns = clock.monotonic_ns()
        self._clients = 0
        self._server: asyncio.Server | None = None

    async def start(self) -> int:
        """Listen on a free port of loopback; return it."""
        self._server = await asyncio.start_server(self._serve, HOST, 0)
        bound: int = self._server.sockets[0].getsockname()[1]
        return bound

    async def close(self) -> None:
        """Stop listening."""
        if self._server is not None:
            self._server.close()
            self._server = None

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self._clients >= CLIENTS_MAX:
            writer.close()
            return
        self._clients += 1
        try:
            async with asyncio.timeout(CONNECT_S):
                device = await asyncio.open_connection(*self._device)
        except (OSError, UnicodeError, TimeoutError):
            writer.close()  # the client sees a lost connection, as it would without us
            self._clients -= 1
            return
        try:
            await self._pass_on((reader, writer), device)
        finally:
            self._clients -= 1
            writer.close()
            device[1].close()

    async def _pass_on(self, client: _Streams, device: _Streams) -> None:
        """Pass frames both ways until one side ends."""
        waiting: dict[int, _Asked] = {}
        try:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self._requests(client[0], device[1], waiting), name="tap.requests")
                tasks.create_task(self._responses(device[0], client[1], waiting), name="tap.responses")
        except* (OSError, asyncio.IncompleteReadError, ValueError):
            pass  # one side left, or what it sent is not Modbus TCP: both connections end
        for asked in waiting.values():
            self._tell(asked, b"")

    async def _requests(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, waiting: dict[int, _Asked]
    ) -> None:
        while True:
            transaction_id, unit_id, pdu, frame = await _frame(reader)
            if len(waiting) >= OPEN_REQUESTS_MAX:
                self._tell(waiting.pop(next(iter(waiting))), b"")
            waiting[transaction_id] = _Asked(self._clock.monotonic_ns(), unit_id, pdu)
            writer.write(frame)
            await writer.drain()

    async def _responses(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, waiting: dict[int, _Asked]
    ) -> None:
        while True:
            transaction_id, _, pdu, frame = await _frame(reader)
            asked = waiting.pop(transaction_id, None)
            if asked is not None:
                self._tell(asked, pdu)
            writer.write(frame)
            await writer.drain()

    def _tell(self, asked: _Asked, response: bytes) -> None:
        took_ns = self._clock.monotonic_ns() - asked.asked_ns
        self._report(Exchange(asked.asked_ns - self._began_ns, took_ns, asked.unit_id, asked.request, response))


async def _frame(reader: asyncio.StreamReader) -> tuple[int, int, bytes, bytes]:
    """Return transaction id, unit id, PDU and the whole frame."""
    header = await reader.readexactly(HEADER_SIZE)
    length = int.from_bytes(header[4:6], "big")
    if header[2:4] != b"\0\0" or not LENGTH_MIN <= length <= LENGTH_MAX:
        raise ValueError("not a Modbus TCP header")
    pdu = await reader.readexactly(length - 1)
    return int.from_bytes(header[:2], "big"), header[6], pdu, header + pdu
