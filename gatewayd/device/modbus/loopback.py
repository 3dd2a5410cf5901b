"""A small Modbus TCP server on loopback: what stands in for a device when nothing may reach the real one."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final

from gatewayd.device.modbus import pdu
from gatewayd.device.modbus.frame import HEADER_SIZE, LENGTH_MAX, LENGTH_MIN

HOST: Final = "127.0.0.1"
CONNECTIONS_MAX: Final = 64
REGISTERS_MAX: Final = 1024  # that a stand-in remembers
_EXCEPTION_BIT: Final = 0x80
_ILLEGAL_FUNCTION: Final = 1
_ILLEGAL_VALUE: Final = 3

Answer = Callable[[int, bytes], bytes | None]


class LoopbackServer:
    """Serves until closed, on loopback only.

    Args:
        answer: called with unit id and request PDU; returns the response PDU, or None for silence.
    """

    def __init__(self, answer: Answer) -> None:
        self.connections = 0  # open now
        self.refused = 0  # connections beyond CONNECTIONS_MAX
        self._answer = answer
        self._server: asyncio.Server | None = None

    async def start(self, port: int = 0) -> int:
        """Listen; return the port, which is a free one for 0.

        Raises:
            OSError: the port is taken or not allowed.
        """
        self._server = await asyncio.start_server(self._serve, HOST, port)
        bound: int = self._server.sockets[0].getsockname()[1]
        return bound

    async def close(self) -> None:
        """Stop listening; open connections end when their peer hangs up or the loop does."""
        if self._server is not None:
            self._server.close()
            self._server = None

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self.connections >= CONNECTIONS_MAX:
            self.refused += 1
            writer.close()
            return
        self.connections += 1
        try:
            while await self._exchange(reader, writer):
                pass
        except (asyncio.IncompleteReadError, OSError):
            pass  # the peer left
        finally:
            self.connections -= 1
            writer.close()

    async def _exchange(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        """Answer one request; False when what came is not Modbus TCP."""
        header = await reader.readexactly(HEADER_SIZE)
        length = int.from_bytes(header[4:6], "big")
        if header[2:4] != b"\0\0" or not LENGTH_MIN <= length <= LENGTH_MAX:
            return False
        response = self._answer(header[6], await reader.readexactly(length - 1))
        if response is not None:
            writer.write(header[:4] + (1 + len(response)).to_bytes(2, "big") + header[6:] + response)
            await writer.drain()
        return True


class StandIn:
    """A device that takes every write and remembers it; every request is kept in `heard`. All registers begin as 0."""

    def __init__(self) -> None:
        self.heard: list[tuple[int, bytes]] = []  # (unit id, request PDU)
        self._words: dict[int, int] = {}
        self._bits: dict[int, int] = {}

    def answer(self, unit_id: int, request: bytes) -> bytes:
        """Do what a request asks; see `Answer`."""
        self.heard.append((unit_id, request))
        function = request[0]
        act = _ACTS.get(function)
        if act is None:
            return bytes((function | _EXCEPTION_BIT, _ILLEGAL_FUNCTION))
        if len(request) < 5 or len(self._words) + len(self._bits) > REGISTERS_MAX:
            return bytes((function | _EXCEPTION_BIT, _ILLEGAL_VALUE))
        return act(self, request)

    def _read_bits(self, request: bytes) -> bytes:
        address, count = _two(request)
        packed = sum(self._bits.get(address + at, 0) << at for at in range(count))
        size = (count + 7) // 8
        return bytes((request[0], size)) + packed.to_bytes(size, "little")

    def _read_words(self, request: bytes) -> bytes:
        address, count = _two(request)
        words = b"".join(self._words.get(address + at, 0).to_bytes(2, "big") for at in range(count))
        return bytes((request[0], len(words))) + words

    def _write_bit(self, request: bytes) -> bytes:
        address, value = _two(request)
        self._bits[address] = int(value != 0)
        return request

    def _write_word(self, request: bytes) -> bytes:
        address, value = _two(request)
        self._words[address] = value
        return request

    def _write_bits(self, request: bytes) -> bytes:
        address, count = _two(request)
        packed = int.from_bytes(request[6:], "little")
        self._bits.update({address + at: packed >> at & 1 for at in range(count)})
        return request[:5]

    def _write_words(self, request: bytes) -> bytes:
        address, count = _two(request)
        self._words.update(
            {address + at: int.from_bytes(request[6 + 2 * at : 8 + 2 * at], "big") for at in range(count)}
        )
        return request[:5]

    def _mask_write(self, request: bytes) -> bytes:
        address, and_mask = _two(request)
        or_mask = int.from_bytes(request[5:7], "big")
        self._words[address] = self._words.get(address, 0) & and_mask | or_mask & ~and_mask & 0xFFFF
        return request


def _two(request: bytes) -> tuple[int, int]:
    """Return the two words behind a function code, a count being cut to what the protocol allows."""
    first, second = int.from_bytes(request[1:3], "big"), int.from_bytes(request[3:5], "big")
    return first, second if request[0] in (pdu.WRITE_COIL, pdu.WRITE_REGISTER, _MASK_WRITE) else min(second, 2000)


_MASK_WRITE: Final = 22
_ACTS: Final[dict[int, Callable[[StandIn, bytes], bytes]]] = {
    pdu.READ_COILS: StandIn._read_bits,
    pdu.READ_DISCRETE_INPUTS: StandIn._read_bits,
    pdu.READ_HOLDING_REGISTERS: StandIn._read_words,
    pdu.READ_INPUT_REGISTERS: StandIn._read_words,
    pdu.WRITE_COIL: StandIn._write_bit,
    pdu.WRITE_REGISTER: StandIn._write_word,
    pdu.WRITE_COILS: StandIn._write_bits,
    pdu.WRITE_REGISTERS: StandIn._write_words,
    _MASK_WRITE: StandIn._mask_write,
}
