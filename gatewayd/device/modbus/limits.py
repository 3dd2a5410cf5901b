"""What a unit can take, found by asking: latency, registers in one request, requests open at once. Reads only.

The answers become suggestions for the configuration. What cannot be told from the answers is not suggested: a device
that ends its register map a few registers on says nothing about its largest request.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable
from typing import Final

from msgspec import Struct

from gatewayd.clock import Clock
from gatewayd.device.modbus import pdu
from gatewayd.device.modbus.asking import Asker
from gatewayd.device.modbus.scan import is_exception
from gatewayd.errors import DeviceError, DeviceTimeout

LATENCY_ROUNDS: Final = 20
OUTSTANDING_TRIED: Final = (16, 8, 4, 2)  # the configuration allows 16
TOO_MANY_REGISTERS: Final = 3  # the exception of the standard; 2 may also mean that the registers end here
TIMEOUT_MS_MIN: Final = 250
TIMEOUT_ROUND_MS: Final = 50
TIMEOUT_FACTOR: Final = 5  # a busy device answers a few times slower than an idle one


class Latency(Struct, frozen=True, kw_only=True):
    """Of single requests, in milliseconds."""

    rounds: int
    min_ms: float
    median_ms: float
    max_ms: float


class RegisterLimit(Struct, frozen=True, kw_only=True):
    """The largest request that was answered.

    Args:
        count: registers.
        reason: why the next larger one was not: empty when 125 were answered.
        is_limit: the device said that it was too large; else its registers may simply end there.
    """

    count: int
    reason: str
    is_limit: bool


class Survey(Struct, frozen=True, kw_only=True):
    """What was found; None where it could not be."""

    latency: Latency | None = None
    registers: RegisterLimit | None = None
    outstanding: int | None = None  # requests sent in one piece and all answered; None: the bus has no such thing


class Surveyor:
    """Asks one unit.

    Args:
        bus: not yet open.
        unit_id: whom.
        function: 3 or 4.
        address: of a register that can be read, 0-based.
        clock: for latency.
        progress: told what is being tried.
    """

    def __init__(
        self, bus: Asker, unit_id: int, function: int, address: int, *, clock: Clock, progress: Callable[[str], None]
    ) -> None:
        assert function in (pdu.READ_HOLDING_REGISTERS, pdu.READ_INPUT_REGISTERS)
        self._bus = bus
        self._unit_id = unit_id
        self._function = function
        self._address = address
        self._clock = clock
        self._progress = progress

    async def run(self) -> Survey:
        """Find out everything; an unreadable register gives an empty survey.

        Raises:
            DeviceUnreachable, DeviceTimeout: no connection.
        """
        await self._bus.open()
        try:
            latency = await self.latency()
            if latency is None:
                return Survey()
            registers = await self.largest_request()
            return Survey(latency=latency, registers=registers, outstanding=await self.outstanding())
        finally:
            await self._bus.close()

    async def latency(self) -> Latency | None:
        """Read one register again and again; None when it cannot be read."""
        took_ms = []
        for done in range(LATENCY_ROUNDS):
            self._progress(f"latency, request {done + 1} of {LATENCY_ROUNDS}")
            began_ns = self._clock.monotonic_ns()
            if await self._fails(1):
                return None
            took_ms.append((self._clock.monotonic_ns() - began_ns) / 1e6)
        return Latency(
            rounds=LATENCY_ROUNDS, min_ms=min(took_ms), median_ms=statistics.median(took_ms), max_ms=max(took_ms)
        )

    async def largest_request(self) -> RegisterLimit:
        """Find the largest readable count, by bisection: at most eight requests."""
        works, fails = 1, min(pdu.READ_REGISTERS_MAX, pdu.ADDRESSES - self._address) + 1
        reason, is_limit = "", False
        trial = fails - 1
        while fails - works > 1:
            self._progress(f"{trial} registers in one request")
            failure = await self._fails(trial)
            if failure:
                fails, reason, is_limit = trial, failure, failure.startswith(_says(TOO_MANY_REGISTERS))
            else:
                works = trial
            trial = (works + fails) // 2
        return RegisterLimit(count=works, reason=reason, is_limit=is_limit)

    async def outstanding(self) -> int | None:
        """Find how many requests sent in one piece are all answered; each trial has a connection of its own."""
        if not hasattr(self._bus, "ask_together"):
            return None
        request = pdu.read_request(self._function, self._address, 1)
        for count in OUTSTANDING_TRIED:
            self._progress(f"{count} requests at once")
            await self._bus.close()
            await self._bus.open()
            try:
                answers = await self._bus.ask_together(self._unit_id, [request.pdu] * count)
            except DeviceError:
                continue  # some hang up
            if all(answer is not None and len(answer) == request.size for answer in answers):
                return count
        return 1

    async def _fails(self, count: int) -> str:
        """Read `count` registers; return why not, or nothing."""
        request = pdu.read_request(self._function, self._address, count)
        try:
            response = await self._bus.ask(self._unit_id, request.pdu)
        except DeviceTimeout:
            return "no answer"
        except DeviceError:
            await self._bus.open()  # some hang up on what they do not like
            return "the device hung up"
        if is_exception(response):
            return _says(response[1])
        return "" if len(response) == request.size else f"an answer of {len(response)} bytes instead of {request.size}"


def _says(code: int) -> str:
    meaning = pdu.EXCEPTIONS.get(code)
    return f"exception {code}, {meaning.title}" if meaning else f"exception {code}"


def suggestions(survey: Survey) -> dict[str, int]:
    """Return configuration keys of the device with the values that the survey supports."""
    found: dict[str, int] = {}
    if survey.registers is not None and (survey.registers.is_limit or not survey.registers.reason):
        found["max_registers"] = survey.registers.count
    if survey.outstanding is not None:
        found["max_outstanding"] = survey.outstanding
    if survey.latency is not None:
        slow_ms = max(TIMEOUT_MS_MIN, TIMEOUT_FACTOR * survey.latency.max_ms)
        found["timeout_ms"] = min(60_000, TIMEOUT_ROUND_MS * math.ceil(slow_ms / TIMEOUT_ROUND_MS))
    return found
