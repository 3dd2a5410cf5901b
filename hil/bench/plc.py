"""A fast Modbus TCP server for load: N holding registers that change, one toggle that trips a rule, one writable speed.

Own process, so that its work is not the daemon's: `python -m hil.bench.plc --port 0 --tags 1000`.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import signal
import struct
import sys
import time
from pathlib import Path
from typing import TextIO

TOGGLE, SPEED, COUNTER = 60_000, 60_001, 60_002  # addresses: the rule's input, the point, how often the input toggled


class Registers:
    def __init__(self, toggle_period_s: float, writes_log: TextIO | None) -> None:
        self.speed = 0
        self._writes_log = writes_log
        self.writes = 0
        self.reads = 0
        self._period_s = toggle_period_s
        self._ramp = [struct.pack(">125H", *((base + i) & 0xFFFF for i in range(125))) for base in range(256)]

    def read(self, start: int, count: int) -> bytes:
        self.reads += 1
        if start >= TOGGLE:
            toggled = int(time.monotonic() / self._period_s)
            cells = {TOGGLE: toggled & 1, SPEED: self.speed, COUNTER: toggled % 50_000 + 1}
            return struct.pack(f">{count}H", *(cells.get(start + i, 0) for i in range(count)))
        return self._ramp[(self.reads + start) & 0xFF][: 2 * count]

    def write(self, address: int, value: int) -> None:
        self.writes += 1
        if address == SPEED:
            self.speed = value
        if self._writes_log is not None:  # before the answer: a write that is not in the log was never acknowledged
            boot_ns = time.clock_gettime_ns(time.CLOCK_BOOTTIME)
            self._writes_log.write(json.dumps({"boot_ns": boot_ns, "address": address, "value": value}) + "\n")
            self._writes_log.flush()


class Server(asyncio.Protocol):
    def __init__(self, registers: Registers) -> None:
        self._registers = registers
        self._received = bytearray()
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._received += data
        replies = bytearray()
        while len(self._received) >= 12:
            transaction, _, length, unit = struct.unpack_from(">HHHB", self._received)
            if len(self._received) < 6 + length:
                break
            replies += self._answer(transaction, unit, bytes(self._received[7 : 6 + length]))
            del self._received[: 6 + length]
        assert self._transport is not None
        self._transport.write(bytes(replies))

    def _answer(self, transaction: int, unit: int, pdu: bytes) -> bytes:
        function, address, argument = struct.unpack_from(">BHH", pdu)
        if function in (3, 4):
            data = self._registers.read(address, argument)
            body = bytes((function, len(data))) + data
        elif function == 6:
            self._registers.write(address, argument)
            body = pdu
        elif function == 16:
            self._registers.write(address, struct.unpack_from(">H", pdu, 6)[0])
            body = pdu[:5]
        else:
            body = bytes((function | 0x80, 1))
        return struct.pack(">HHHB", transaction, 0, len(body) + 1, unit) + body


async def serve(port: int, registers: Registers) -> None:
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: Server(registers), "127.0.0.1", port)
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    print(server.sockets[0].getsockname()[1], flush=True)
    await stop.wait()
    server.close()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--toggle-period", type=float, default=0.25)
    parser.add_argument("--writes-log", type=Path, help="append one JSON line per write")
    arguments = parser.parse_args()
    log = arguments.writes_log.open("a") if arguments.writes_log else None
    asyncio.run(serve(arguments.port, Registers(arguments.toggle_period, log)))
    sys.exit(0)
