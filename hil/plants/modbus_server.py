"""The station's PLC: a small, honest Modbus TCP server that answers every pipelined request, in order.

Ours because pymodbus's server answers only one of several requests that arrive in one segment. Sources: MODBUS
Application Protocol V1.1b3, section 6; Modbus Messaging on TCP/IP V1.0b, section 3.1.3.
"""

from __future__ import annotations

import asyncio
import math
import struct
from collections.abc import Callable

from hil.plants.child import Child, run_child
from hil.plants.image import Image
from hil.plants.tags import EXTRA_FIRST, PLC_UNIT_ID, REGISTERS, Register
from hil.plants.writes_log import WritesLog

ILLEGAL_FUNCTION, ILLEGAL_ADDRESS, ILLEGAL_VALUE, DEVICE_FAILURE, NO_TARGET = 1, 2, 3, 4, 11
TABLE_SIZE = 100  # registers, and bits, that exist below the extra ones; undefined ones read 0
CONNECTIONS_MAX = 64
_HEADER = struct.Struct(">HHHB")
_CODES = {"int16": "h", "uint16": "H", "int32": "i", "uint32": "I", "float32": "f"}
_WIDTH = {"int16": 1, "uint16": 1, "int32": 2, "uint32": 2, "float32": 2}
# What these devices send for a value they do not have; float32 has NaN itself.
_NOT_AVAILABLE = {"int16": -(2**15), "uint16": 2**16 - 1, "int32": -(2**31), "uint32": 2**32 - 1}
_TABLE_OF = {1: "coil", 2: "discrete", 3: "holding", 4: "input", 5: "coil", 6: "holding", 15: "coil", 16: "holding"}


class Refusal(Exception):
    """An exception response."""

    def __init__(self, code: int) -> None:
        super().__init__(f"exception {code}")
        self.code = code


class Plc:
    """Answers PDUs from the process image; every write is logged before it is answered."""

    def __init__(self, image: Image, log: WritesLog, extra_tags: int) -> None:
        self._image = image
        self._log = log
        self._extra_tags = extra_tags
        self._by_address = {(r.register_type, r.address): r for r in REGISTERS}

    def answer(self, unit_id: int, pdu: bytes) -> bytes:
        """Return the response PDU."""
        function = pdu[0] if pdu else 0
        try:
            if unit_id != PLC_UNIT_ID:
                raise Refusal(NO_TARGET)
            if function not in _FUNCTIONS:
                raise Refusal(ILLEGAL_FUNCTION)
            try:
                return _FUNCTIONS[function](self, function, pdu)
            except struct.error as error:
                raise Refusal(ILLEGAL_VALUE) from error
        except Refusal as refusal:
            return bytes((function | 0x80, refusal.code))

    def _read_bits(self, function: int, pdu: bytes) -> bytes:
        _, start, count = struct.unpack(">BHH", pdu)
        table = self._check(function, start, count, 2000)
        packed = bytearray((count + 7) // 8)
        for offset in range(count):
            register = self._by_address.get((table, start + offset))
            if register is not None and self._image.value(register.tag) >= 0.5:
                packed[offset // 8] |= 1 << offset % 8
        return bytes((function, len(packed))) + packed

    def _read_registers(self, function: int, pdu: bytes) -> bytes:
        _, start, count = struct.unpack(">BHH", pdu)
        table = self._check(function, start, count, 125)
        if start >= EXTRA_FIRST:
            tick = self._image.tick
            words = [(tick + address) & 0xFFFF for address in range(start - EXTRA_FIRST, start - EXTRA_FIRST + count)]
        else:
            words = self._words(table)[start : start + count]
        return struct.pack(f">BB{count}H", function, 2 * count, *words)

    def _words(self, table: str) -> list[int]:
        words = [0] * TABLE_SIZE
        for register in REGISTERS:
            if register.register_type == table:
                raw = encode(register, self._image.value(register.tag))
                words[register.address : register.address + len(raw)] = raw
        return words

    def _write_one(self, function: int, pdu: bytes) -> bytes:
        _, address, word = struct.unpack(">BHH", pdu)
        if function == 5 and word not in (0x0000, 0xFF00):
            raise Refusal(ILLEGAL_VALUE)
        self._write(function, address, [int(word == 0xFF00) if function == 5 else word])
        return pdu

    def _write_many(self, function: int, pdu: bytes) -> bytes:
        _, start, count, size = struct.unpack_from(">BHHB", pdu)
        content = pdu[6:]
        most, expected = (1968, (count + 7) // 8) if function == 15 else (123, 2 * count)
        if not 1 <= count <= most or size != expected or len(content) != size:
            raise Refusal(ILLEGAL_VALUE)
        if function == 15:
            values = [content[place // 8] >> place % 8 & 1 for place in range(count)]
        else:
            values = list(struct.unpack(f">{count}H", content))
        self._write(function, start, values)
        return pdu[:5]

    def _write(self, function: int, start: int, raw: list[int]) -> None:
        table = self._check(function, start, len(raw), 2000)
        registers = [self._by_address.get((table, start + place)) for place in range(len(raw))]
        written = [register for register in registers if register is not None and register.writable]
        if len(written) != len(raw):
            raise Refusal(ILLEGAL_ADDRESS)
        for register, value in zip(written, raw, strict=True):
            self._log.append(
                server="modbus", tag=register.tag, register_type=table, address=register.address, value=value
            )
            self._image.command(register.tag, value * register.scale)

    def _check(self, function: int, start: int, count: int, most: int) -> str:
        if not 1 <= count <= most:
            raise Refusal(ILLEGAL_VALUE)
        table, end = _TABLE_OF[function], start + count
        in_extra = table == "holding" and start >= EXTRA_FIRST and end <= EXTRA_FIRST + self._extra_tags
        if end > TABLE_SIZE and not in_extra:
            raise Refusal(ILLEGAL_ADDRESS)
        if start <= self._image.exception_address < end and table in ("holding", "input"):
            raise Refusal(DEVICE_FAILURE)
        return table


_FUNCTIONS: dict[int, Callable[[Plc, int, bytes], bytes]] = {
    1: Plc._read_bits,
    2: Plc._read_bits,
    3: Plc._read_registers,
    4: Plc._read_registers,
    5: Plc._write_one,
    6: Plc._write_one,
    15: Plc._write_many,
    16: Plc._write_many,
}


def encode(register: Register, value: float) -> tuple[int, ...]:
    """Return a value as the PLC holds it: words in the register's order, "not available" for NaN, limits kept."""
    kind, width = register.type, _WIDTH[register.type]
    raw: float = value / register.scale
    if kind != "float32":
        lowest, highest = (
            (0, 2 ** (16 * width) - 1) if kind[0] == "u" else (-(2 ** (16 * width - 1)), 2 ** (16 * width - 1) - 1)
        )
        raw = _NOT_AVAILABLE[kind] if math.isnan(raw) else min(max(round(raw), lowest), highest)
    words = struct.unpack(f">{width}H", struct.pack(">" + _CODES[kind], raw))
    return words[::-1] if register.order == "CDAB" else words


class _Connection(asyncio.Protocol):
    def __init__(self, plc: Plc, open_ones: set[_Connection]) -> None:
        self._plc = plc
        self._open_ones = open_ones
        self._buffer = bytearray()
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        if len(self._open_ones) >= CONNECTIONS_MAX:
            transport.abort()
            return
        self._open_ones.add(self)

    def connection_lost(self, exc: Exception | None) -> None:
        self._open_ones.discard(self)

    def data_received(self, data: bytes) -> None:
        assert self._transport is not None
        self._buffer += data
        answers = bytearray()
        while len(self._buffer) >= _HEADER.size:
            transaction, protocol, length, unit_id = _HEADER.unpack_from(self._buffer)
            if protocol != 0 or not 2 <= length <= 254:
                self._transport.abort()
                return
            end = 6 + length
            if len(self._buffer) < end:
                break
            pdu = self._plc.answer(unit_id, bytes(self._buffer[_HEADER.size : end]))
            answers += _HEADER.pack(transaction, 0, len(pdu) + 1, unit_id) + pdu
            del self._buffer[:end]
        if answers:
            self._transport.write(answers)


async def _serve(child: Child) -> None:
    plc = Plc(child.image, WritesLog(child.writes_log), child.extra)
    connections: set[_Connection] = set()
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: _Connection(plc, connections), "127.0.0.1", child.port)
    child.ready(server.sockets[0].getsockname()[1])
    await child.stopped()
    server.close()
    for connection in connections:
        if connection._transport is not None:
            connection._transport.abort()


def main(child: Child) -> None:
    """Serve until the parent says stop or is gone."""
    run_child(_serve(child))
