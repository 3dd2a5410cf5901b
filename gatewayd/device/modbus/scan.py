"""Which unit ids answer on a bus, how fast, and who they say they are. Reads only.

Each unit gets one cheap request, one holding register. Any answer of the unit's own counts, an exception too: a device
without holding registers is still there. Exceptions 10 and 11 do not count: with them a gateway says that the unit
behind it is silent.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from typing import Final

from msgspec import Struct

from gatewayd.clock import Clock
from gatewayd.device.modbus import pdu
from gatewayd.device.modbus.asking import Asker
from gatewayd.device.modbus.identification import Identification, Inquiry
from gatewayd.errors import DeviceError, DeviceProtocolError, DeviceTimeout

GATEWAY_SAYS_SILENT: Final = frozenset({10, 11})
SAME_FOR_ALL_MIN: Final = 8  # so many neighbours with the same answer: the device does not look at the unit id
_EXCEPTION_BIT: Final = 0x80
_QUESTION: Final = pdu.read_request(pdu.READ_HOLDING_REGISTERS, 0, 1).pdu


class FoundUnit(Struct, frozen=True, kw_only=True):
    """A unit that answered.

    Args:
        bus: where, e.g. `192.0.2.7:502` or `/dev/ttyUSB0 9600 8N1`.
        latency_ms: of the one question.
        answer: `ok`, or the exception it answered with.
        identification: what it says of itself; None if it does not.
    """

    bus: str
    unit_id: int
    latency_ms: float
    answer: str
    identification: Identification | None = None


class Scan:
    """The units of one bus, collected as they answer: what was found is kept when the scan is cut short.

    Args:
        bus: not yet open.
        clock: for latency.
        identify: ask each unit that answers who it is.
    """

    def __init__(self, bus: Asker, clock: Clock, *, identify: bool = True) -> None:
        self.found: list[FoundUnit] = []
        self.asked = 0
        self._bus = bus
        self._clock = clock
        self._identify = identify

    async def run(self, units: Sequence[int], progress: Callable[[int, int], None]) -> None:
        """Ask every unit.

        Args:
            units: unit ids, 0-255.
            progress: called with (unit id, units found) before each question.

        Raises:
            DeviceUnreachable, DeviceTimeout: no connection. Silent units raise nothing.
            DeviceProtocolError: what listens there does not speak Modbus.
        """
        await self._bus.open()
        try:
            for unit_id in units:
                progress(unit_id, len(self.found))
                await self._ask(unit_id)
                self.asked += 1
        finally:
            await self._bus.close()

    @property
    def ignores_unit_ids(self) -> bool:
        """Say whether every one of many units gave the same answer: the device cannot be looking at the unit id."""
        is_one_voice = len({unit.answer for unit in self.found}) == 1
        return is_one_voice and len(self.found) == self.asked >= SAME_FOR_ALL_MIN

    async def _ask(self, unit_id: int) -> None:
        began_ns = self._clock.monotonic_ns()
        try:
            response = await self._ask_again_if_cut_off(unit_id, _QUESTION)
        except DeviceTimeout:
            return
        if self._bus.keeps_silence:  # the line may have been drained before: the second answer tells the latency
            began_ns = self._clock.monotonic_ns()
            with contextlib.suppress(DeviceTimeout):
                await self._bus.ask(unit_id, _QUESTION)
        latency_ms = (self._clock.monotonic_ns() - began_ns) / 1e6
        if is_exception(response) and response[1] in GATEWAY_SAYS_SILENT:
            return
        identification = await identify(self._bus, unit_id) if self._identify else None
        self.found.append(
            FoundUnit(
                bus=self._bus.name,
                unit_id=unit_id,
                latency_ms=latency_ms,
                answer=_meaning(response),
                identification=identification,
            )
        )

    async def _ask_again_if_cut_off(self, unit_id: int, request: bytes) -> bytes:
        """Ask; if the device hangs up on a unit id it does not have, connect again and count that as silence."""
        try:
            return await self._bus.ask(unit_id, request)
        except (DeviceTimeout, DeviceProtocolError):
            raise
        except DeviceError as error:
            await self._bus.open()
            raise DeviceTimeout(error.message, remedy=error.remedy) from error


async def identify(bus: Asker, unit_id: int) -> Identification | None:
    """Ask a unit who it is (function 43/14); None if it does not say. The bus is open afterwards.

    Raises:
        DeviceUnreachable, DeviceTimeout: the bus could not be opened again.
    """
    inquiry = Inquiry(f"unit {unit_id}")
    try:
        while (request := inquiry.request) is not None:
            inquiry.take(await bus.ask(unit_id, request))
    except DeviceError:
        await bus.open()  # some devices hang up on a function they do not know
    told = inquiry.result()
    return told if told.objects else None


def is_exception(response: bytes) -> bool:
    """Say whether a response PDU is an exception response."""
    return len(response) == 2 and bool(response[0] & _EXCEPTION_BIT)


def _meaning(response: bytes) -> str:
    if not is_exception(response):
        return "ok"
    meaning = pdu.EXCEPTIONS.get(response[1])
    return f"exception {response[1]}, {meaning.title}" if meaning else f"exception {response[1]}"


def parse_units(text: str) -> tuple[int, ...]:
    """Read unit ids as people write them, e.g. `1-247` or `1,2,10-20`; in that order, each once.

    Raises:
        ValueError: not such a list; the message says why.
    """
    units: dict[int, None] = {}
    for part in text.split(","):
        units.update(dict.fromkeys(_range(part.strip())))
    return tuple(units)


def _range(part: str) -> Iterator[int]:
    first, dash, last = part.partition("-")
    if not (first.strip().isdecimal() and (last.strip().isdecimal() or not dash)) or len(part) > 9:
        raise ValueError(f"{part[:20]!r} is no unit id and no range such as 1-247")
    low, high = int(first), int(last or first)
    if not low <= high <= 255:
        raise ValueError(f"{part!r}: unit ids go from 0 to 255, the lower one first")
    return iter(range(low, high + 1))
