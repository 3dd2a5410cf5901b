"""The master of a bus: one request in flight, and no answer is ever taken for that of another request.

An RTU or ASCII answer does not say which request it answers. So after anything but the one right answer the line is
drained: nothing is sent until it has been silent for as long as a device may take to answer (`timeout_ms`), and what
arrives meanwhile is thrown away. The line stays open; only the unit that was asked is to blame.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Final, NamedTuple

from gatewayd.clock import Clock
from gatewayd.device.link import Deliver
from gatewayd.device.modbus.framing import AnswerReader, Echo, Framing
from gatewayd.device.modbus.identification import PDU_BYTES_MAX
from gatewayd.device.modbus.line import Ears, Line
from gatewayd.device.modbus.outcome import Answer, Arrival, Query
from gatewayd.device.modbus.pdu import check_response
from gatewayd.device.modbus.turns import Turns
from gatewayd.errors import (
    DeviceError,
    DeviceProtocolError,
    DeviceRefused,
    DeviceTimeout,
    DeviceUnreachable,
    UnitsLost,
)
from gatewayd.model import quality
from gatewayd.model.block import Block, Codec
from gatewayd.model.device import ModbusRtuOverTcpDevice, ModbusSerialDevice, ModbusUdpDevice

BusDevice = ModbusSerialDevice | ModbusRtuOverTcpDevice | ModbusUdpDevice
ASKS_WAITING_MAX: Final = 64  # writes and read-backs; each belongs to a command
FRAME_MIN: Final = 4  # bytes; fewer are noise of drivers switching, as many may be an answer nobody waits for
SILENT_CHARACTERS: Final = 3.5  # between frames
SILENCE_MIN_NS: Final = 1_750_000  # above 19200 baud the standard stops shortening it
DRAINS_MAX: Final = 10  # a line that is never silent for so many times the silence it should keep is given up


class Pace(NamedTuple):
    """How fast bytes travel, in ns; 0 where the line has no speed of its own."""

    character_ns: float = 0.0

    @property
    def silence_ns(self) -> int:
        """Return the silence before each request."""
        if not self.character_ns:
            return 0
        return max(SILENCE_MIN_NS, round(SILENT_CHARACTERS * self.character_ns))


class _Open(NamedTuple):
    """The request in flight."""

    reader: AnswerReader
    answer: asyncio.Future[tuple[bytes, Arrival]]


class Bus:
    """Reads, writes and listens on one line, until the line itself is lost.

    Args:
        device: limits and name.
        framing: the frame codec.
        clock: for times, timeouts and silences.
        pace: the line's.
    """

    def __init__(self, device: BusDevice, framing: Framing, clock: Clock, pace: Pace) -> None:
        self.failure: DeviceError | None = None  # why it is over
        self.strays = 0  # bytes that nobody had asked for
        self._device = device
        self._framing = framing
        self._clock = clock
        self._pace = pace
        self._line: Line | None = None
        self._turns = Turns()
        self._open: _Open | None = None
        self._answering: set[int] = set()  # units whose last request was answered
        self._timeout_ns = device.timeout_ms * 1_000_000
        self._usual_ns = max(pace.silence_ns, device.inter_request_delay_ms * 1_000_000)
        self._heard_ns = clock.monotonic_ns()  # last sign of life on the line
        self._silence_ns = 0  # due after it
        self._drain()  # whoever was master before us may have left a question open
        self.ears = Ears(self._hear, self._lose, self._bounce)

    def use(self, line: Line) -> None:
        """Take the line, whose `ears` are ours."""
        self._line = line

    # --- what the link asks for

    async def read(self, queries: Sequence[Query], deliver: Deliver) -> None:
        """Run the requests of a scan in turn; every plan gets its block, a LOST one if its unit did not answer.

        A unit that fails is not asked again in this scan. A read is repeated, at most `retries` times, only for a unit
        that answered its last request: then noise is likely, and a dead unit costs the others one timeout, not two.

        Raises:
            UnitsLost: these units failed; the bus goes on.
            DeviceUnreachable, DeviceProtocolError: the line is lost.
        """
        failures: dict[int, DeviceError] = {}
        for query in queries:
            failure = failures.get(query.unit_id) or await self._read(query, deliver)
            if failure is not None:
                failures[query.unit_id] = failure
                now_ns, mono_ns = self._clock.wall_ns(), self._clock.monotonic_ns()
                deliver([Block(query.plan, Codec.LOST, now_ns, now_ns, mono_ns, b"", failure.status)])
        if failures:
            raise UnitsLost(self._device.name, failures)

    async def ask(self, query: Query) -> Answer:
        """Send one request ahead of all scans, once; return its answer.

        Raises:
            DeviceRefused: the device said no, or too many requests wait.
            DeviceError: no usable answer; a write may have been done.
        """
        if self._turns.urgent_waiting >= ASKS_WAITING_MAX:
            raise DeviceRefused(
                f"{self._device.name}: {query.request} was not sent: {ASKS_WAITING_MAX} requests wait before it",
                remedy="Write to this device less often, or lower its timeout_ms.",
                status=quality.BAD_TIMEOUT,
                code=0,
            )
        payload, _, arrival = await self._exchange(query, urgent=True)
        return Answer(payload, arrival.wall_ns)

    def abort(self) -> None:
        """End it now; what waits fails."""
        self._end(
            DeviceUnreachable(
                f"{self._device.name}: the gateway closed the connection",
                remedy="None is needed when the gateway stops or reconnects; else connect again.",
            )
        )

    # --- one exchange

    async def _read(self, query: Query, deliver: Deliver) -> DeviceError | None:
        """Deliver the block of one request, or return why there is none. Raises only for the line itself."""
        attempts = 1 + (self._device.retries if query.unit_id in self._answering else 0)
        failure: DeviceError | None = None
        for _ in range(attempts):
            try:
                payload, sent_ns, arrival = await self._exchange(query)
            except DeviceRefused as error:
                if error.status == quality.BAD_NO_COMMUNICATION:  # a gateway behind this line lost the unit
                    return error
                now_ns, mono_ns = self._clock.wall_ns(), self._clock.monotonic_ns()
                deliver([Block(query.plan, Codec.LOST, now_ns, now_ns, mono_ns, b"", error.status)])
                return None
            except DeviceError as error:
                if self.failure is not None:
                    raise
                failure = error
            else:
                deliver([Block(query.plan, query.codec, sent_ns, arrival.wall_ns, arrival.mono_ns, payload)])
                return None
        return failure

    async def _exchange(self, query: Query, *, urgent: bool = False) -> tuple[bytes, int, Arrival]:
        """Return payload, wall time of sending and arrival of the answer to one request."""
        async with self._turns.take(urgent=urgent):
            await self._keep_silence()
            sent_ns = self._clock.wall_ns()
            is_right = False
            try:
                response, arrival = await self._send(query)
                payload = check_response(query.request, response, self._device.name)
                is_right = True
            except DeviceRefused:
                is_right = True  # an answer, if not the one hoped for
                raise
            except DeviceError as error:
                error.unit = query.unit_id if self.failure is None else None
                raise
            finally:  # also when cancelled: the answer is still to come
                if is_right:
                    self._answering.add(query.unit_id)
                else:
                    self._answering.discard(query.unit_id)
                    self._drain()
            return payload, sent_ns, arrival

    async def _send(self, query: Query) -> tuple[bytes, Arrival]:
        """Send one request and wait for the whole of its answer."""
        if self.failure is not None:
            raise self._not_sent(query)
        assert self._line is not None, "used before `use`"
        frame = self._framing.encode(query.unit_id, query.request.pdu)
        reader = self._framing.answer(query.unit_id, query.request, self._device.name)
        if getattr(self._device, "local_echo", False):
            reader = Echo(frame, reader, self._device.name)
        answer: asyncio.Future[tuple[bytes, Arrival]] = asyncio.get_running_loop().create_future()
        self._open = _Open(reader, answer)
        travel_ns = self._pace.character_ns * (len(frame) + self._framing.size(query.request.size or PDU_BYTES_MAX))
        timer = self._clock.call_at(
            self._clock.monotonic_ns() + self._timeout_ns + round(travel_ns), lambda: self._expire(query, answer)
        )
        try:
            self._silence_ns = self._usual_ns
            self._line.send(frame)
            return await answer
        except OSError as error:
            self._open = None
            self._lose(error)
            raise _again(self.failure) from error
        finally:
            timer.cancel()
            self._open = None
            if answer.done() and not answer.cancelled():
                answer.exception()  # whoever was cancelled will not look at it

    def _expire(self, query: Query, answer: asyncio.Future[tuple[bytes, Arrival]]) -> None:
        _fail(
            answer,
            DeviceTimeout(
                f"{self._device.name}: no reply of unit {query.unit_id} to {query.request} "
                f"in {self._device.timeout_ms} ms",
                remedy=f"Check the wiring, unit_id and timeout_ms; run `gatewayd device probe {self._device.name}`.",
            ),
        )

    # --- silence

    def _drain(self) -> None:
        """From now on the line must be silent for the worst-case reply time before anything is sent."""
        if self._framing.drains:
            self._heard_ns = self._clock.monotonic_ns()
            self._silence_ns = max(self._timeout_ns, self._usual_ns)

    async def _keep_silence(self) -> None:
        """Wait until the line has been silent for as long as it must."""
        give_up_ns = self._clock.monotonic_ns() + DRAINS_MAX * max(self._silence_ns, self._timeout_ns)
        while (until_ns := self._heard_ns + self._silence_ns) > (now_ns := self._clock.monotonic_ns()):
            if self.failure is not None:
                return
            if now_ns >= give_up_ns:
                failure = DeviceProtocolError(
                    f"{self._device.name}: the line is never silent: {self.strays} bytes came that nobody asked for",
                    remedy="Check baud_rate, parity and termination, and that there is no second master on the bus.",
                )
                self._end(failure)
                raise _again(failure)
            await self._clock.sleep_until(until_ns)

    # --- what the line tells

    def _hear(self, arrived: bytes) -> None:
        self._heard_ns = self._clock.monotonic_ns()
        waiting = self._open
        if waiting is None or waiting.answer.done():
            self.strays += len(arrived)
            if len(arrived) >= FRAME_MIN:
                self._drain()
            return
        try:
            response = waiting.reader.feed(arrived)
        except DeviceProtocolError as error:
            _fail(waiting.answer, error)
        else:
            if response is not None:
                waiting.answer.set_result((response, Arrival(self._clock.wall_ns(), self._heard_ns)))

    def _bounce(self, error: Exception) -> None:
        if self._open is not None:
            failure = DeviceUnreachable(
                f"{self._device.name}: the request did not get there: {error}",
                remedy="Check host and port, and that the device's Modbus server is on and listens on UDP.",
            )
            _fail(self._open.answer, failure)

    def _lose(self, error: Exception | None) -> None:
        self._end(
            DeviceUnreachable(
                f"{self._device.name}: the line was lost ({error or 'closed by the other side'})",
                remedy="Check the adapter or converter, its cable and its power.",
            )
        )

    def _end(self, failure: DeviceError) -> None:
        if self.failure is not None:
            return
        self.failure = failure
        if self._line is not None:
            self._line.close()
        if self._open is not None:
            _fail(self._open.answer, _again(failure))

    def _not_sent(self, query: Query) -> DeviceError:
        failure = _again(self.failure)
        reason = failure.message.removeprefix(f"{self._device.name}: ")
        return type(failure)(f"{self._device.name}: {query.request} was not sent: {reason}", remedy=failure.remedy)


def _again(failure: DeviceError | None) -> DeviceError:
    """Return an error of its own for each who waits: one exception cannot be raised in two tasks."""
    assert failure is not None
    return type(failure)(failure.message, remedy=failure.remedy)


def _fail(answer: asyncio.Future[tuple[bytes, Arrival]], failure: DeviceError) -> None:
    if not answer.done():
        answer.set_exception(failure)
