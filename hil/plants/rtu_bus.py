"""A serial bus with units on it, behind a pseudo-terminal: what real ones do wrong can be told to each unit.

In a thread of a test (`with RtuBus(range(1, 33)) as bus: ... bus.port`), or as a process of its own, which prints the
path of its port: `python -m hil.plants.rtu_bus --units 32 --dead 7 --reply-ms 20`.
"""

from __future__ import annotations

import argparse
import heapq
import os
import select
import signal
import struct
import sys
import threading
import time
import tty
from collections import deque
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

from gatewayd.device.modbus.rtu import crc16

Replies = list[tuple[float, bytes]]  # (seconds after the request, bytes)
Fault = Callable[[bytes], Replies]  # what comes instead of a good frame

RESYNC_S = 0.05
_READS = (1, 2, 3, 4)
_ILLEGAL_FUNCTION = 1
_IDENTIFY = 43


# --- faults -----------------------------------------------------------------------------------------------------------


def silent(frame: bytes) -> Replies:
    """Dead, or not there."""
    return []


def late(by_s: float) -> Fault:
    return lambda frame: [(by_s, frame)]


def dropped_byte(frame: bytes) -> Replies:
    return [(0.0, frame[:2] + frame[3:])]


def flipped_bit(frame: bytes) -> Replies:
    return [(0.0, frame[:3] + bytes((frame[3] ^ 4,)) + frame[4:])]


def garbage_before(frame: bytes) -> Replies:
    return [(0.0, b"\xa5\x5a\x00\xff" + frame)]


def garbage_only(frame: bytes) -> Replies:
    return [(0.0, bytes(range(200, 240)))]


def as_another_unit(frame: bytes) -> Replies:
    body = bytes((frame[0] + 1,)) + frame[1:-2]
    return [(0.0, body + crc16(body).to_bytes(2, "little"))]


def as_another_function(frame: bytes) -> Replies:
    body = bytes((frame[0], 7 - frame[1])) + frame[2:-2]
    return [(0.0, body + crc16(body).to_bytes(2, "little"))]


def one_register_less(frame: bytes) -> Replies:
    body = frame[:2] + bytes((frame[2] - 2,)) + frame[3:-4]
    return [(0.0, body + crc16(body).to_bytes(2, "little"))]


# --- the bus ----------------------------------------------------------------------------------------------------------


class Asked(NamedTuple):
    """A request as it came."""

    at_s: float  # monotonic
    unit: int
    pdu: bytes


class RtuBus:
    """Holding and input register `a` of unit `u` is `1000 * u + a` until it is written.

    Args:
        units: that are on the bus.
        reply_s: how long a request and its answer take together, since a pseudo-terminal has no baud rate.
        echo: repeats every request, as some RS-485 adapters do.
    """

    def __init__(self, units: Iterable[int], *, reply_s: float = 0.0, echo: bool = False) -> None:
        self.units = set(units)
        self.faults: dict[int, Fault] = {}
        self.asked: deque[Asked] = deque(maxlen=100_000)
        self.written: dict[tuple[int, int], int] = {}
        self._reply_s = reply_s
        self._echo = echo
        self._master, self._slave = os.openpty()
        tty.setraw(self._slave)
        self.port = os.ttyname(self._slave)  # our own end of it stays open, so that the line survives its master
        self._received = b""
        self._due: list[tuple[float, int, bytes]] = []
        self._sent = 0
        self._is_over = False
        self._thread = threading.Thread(target=self.run, name="rtu-bus", daemon=True)

    def __enter__(self) -> RtuBus:
        self._thread.start()
        return self

    def __exit__(self, *_: Any) -> None:
        self.stop()
        self._thread.join(5)
        os.close(self._master)
        os.close(self._slave)

    def stop(self) -> None:
        self._is_over = True

    def asked_of(self, unit: int) -> int:
        """How often a unit was asked."""
        return sum(asked.unit == unit for asked in self.asked)

    def say(self, noise: bytes) -> None:
        """Put bytes on the line that nobody asked for."""
        os.write(self._master, noise)

    def run(self) -> None:
        while not self._is_over:
            now = time.monotonic()
            while self._due and self._due[0][0] <= now:
                os.write(self._master, heapq.heappop(self._due)[2])
            wait = min(0.1, self._due[0][0] - now if self._due else 0.1, RESYNC_S if self._received else 0.1)
            if not select.select([self._master], [], [], max(0.0, wait))[0]:
                if self._received and not self._due:
                    self._received = b""  # the rest of a request that will never be whole
                continue
            arrived = os.read(self._master, 4096)
            if self._echo:
                os.write(self._master, arrived)
            self._received += arrived
            while frame := self._next_frame():
                self._take(frame)

    def _next_frame(self) -> bytes:
        size = 8
        if len(self._received) > 6 and self._received[1] in (15, 16):
            size = 9 + self._received[6]
        if self._received[1:2] == bytes((_IDENTIFY,)):
            size = 7
        if len(self._received) < size:
            return b""
        frame, self._received = self._received[:size], self._received[size:]
        if crc16(frame[:-2]).to_bytes(2, "little") != frame[-2:]:
            self._received = b""
            return b""
        return frame

    def _take(self, frame: bytes) -> None:
        unit, pdu = frame[0], frame[1:-2]
        now = time.monotonic()
        self.asked.append(Asked(now, unit, pdu))
        if unit not in self.units:
            return
        body = bytes((unit,)) + self._answer(unit, pdu)
        good = body + crc16(body).to_bytes(2, "little")
        fault = self.faults.get(unit)
        for after_s, reply in fault(good) if fault else [(0.0, good)]:
            self._sent += 1
            heapq.heappush(self._due, (now + self._reply_s + after_s, self._sent, reply))

    def _answer(self, unit: int, pdu: bytes) -> bytes:
        if pdu[0] == _IDENTIFY:
            return bytes((pdu[0] | 0x80, _ILLEGAL_FUNCTION))
        function, address, argument = struct.unpack_from(">BHH", pdu)
        if function in (3, 4):
            registers = [self.written.get((unit, a), 1000 * unit + a) for a in range(address, address + argument)]
            return bytes((function, 2 * argument)) + struct.pack(f">{argument}H", *registers)
        if function in _READS:
            return bytes((function, (argument + 7) // 8)) + bytes((argument + 7) // 8)
        if function == 6:
            self.written[unit, address] = argument
            return pdu
        if function == 16:
            for place in range(argument):
                (self.written[unit, address + place],) = struct.unpack_from(">H", pdu, 6 + 2 * place)
            return pdu[:5]
        return bytes((function | 0x80, _ILLEGAL_FUNCTION))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--units", type=int, default=32, help="unit ids 1 to so many")
    parser.add_argument("--dead", type=int, nargs="*", default=[], help="unit ids that never answer")
    parser.add_argument("--reply-ms", type=float, default=20.0, help="request and answer together")
    arguments = parser.parse_args()
    bus = RtuBus(set(range(1, arguments.units + 1)) - set(arguments.dead), reply_s=arguments.reply_ms / 1000)
    signal.signal(signal.SIGTERM, lambda *_: bus.stop())
    print(bus.port, flush=True)
    bus.run()
    return 0


if __name__ == "__main__":
    sys.exit(main())
