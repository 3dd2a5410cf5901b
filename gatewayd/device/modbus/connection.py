"""One TCP connection to a Modbus server: requests in, answers out, until the first thing that goes wrong.

A connection is never mended. After a timeout, a frame that answers nothing or a broken frame it is aborted and every
waiting request fails, so a late answer can never be taken for the answer to a later request.
"""

from __future__ import annotations

import asyncio
import socket
from collections import deque
from collections.abc import Sequence
from itertools import repeat
from typing import Final, cast

from gatewayd.clock import Clock
from gatewayd.device.link import Deliver
from gatewayd.device.modbus.frame import HEADER_SIZE, TRANSACTION_IDS, FrameReader, wrong_unit
from gatewayd.device.modbus.outcome import Answer, Arrival, Given, Outcome, Query, Scan, Single
from gatewayd.device.modbus.pdu import check_response
from gatewayd.device.modbus.window import OutstandingWindow
from gatewayd.errors import DeviceError, DeviceProtocolError, DeviceRefused, DeviceTimeout, DeviceUnreachable
from gatewayd.model import quality
from gatewayd.model.device import ModbusTcpDevice, ModbusTlsDevice

SINGLES_WAITING_MAX: Final = 64  # writes and read-backs; each belongs to a command
READS_WAITING_MAX: Final = 65_536  # a scan class never overlaps itself, so no plan waits twice

TcpDevice = ModbusTcpDevice | ModbusTlsDevice
Failure = DeviceTimeout | DeviceUnreachable | DeviceProtocolError


_Pending = tuple[Query, Outcome, int, float]  # sent (wall ns), deadline (loop time, s); a Struct takes longer to make


class Connection(asyncio.Protocol):
    """An asyncio protocol that is also the queue and the timer of its requests.

    Order: single requests (writes, read-backs) go before the waiting reads of scans and travel alone. Devices serve
    what they have in order, so that costs one round trip at most, and a write is never lost because a device drops
    what is pipelined.

    Args:
        device: limits and name.
        clock: for the times in blocks; timeouts run on the loop's timers.
        window: limit on outstanding requests, shared by the connections of a device.
        last_transaction_id: of the connection before; numbers go on from there, because some serial gateways send a
            late answer to whichever connection is open.
    """

    def __init__(self, device: TcpDevice, clock: Clock, window: OutstandingWindow, last_transaction_id: int) -> None:
        self.transaction_id = last_transaction_id
        self.failure: Failure | None = None  # why it is over
        self.blamed_unit: int | None = None  # whose answer was waited for when it failed
        self._device = device
        self._clock = clock
        self._window = window
        self._loop = asyncio.get_running_loop()
        self._timeout_s = device.timeout_ms / 1000
        self._delay_s = device.inter_request_delay_ms / 1000
        self._quiet_until = 0.0  # loop time, s; no request before it
        self._transport: asyncio.Transport | None = None
        self._socket: socket.socket | None = None
        self._reader = FrameReader(device.name, self._take_frame)
        self._pending: dict[int, _Pending] = {}  # by transaction id, oldest first
        self._singles: deque[tuple[Query, Outcome]] = deque()
        self._reads: deque[tuple[Query, Outcome]] = deque()
        self._is_single_open = False
        self._timer: asyncio.TimerHandle | None = None
        self._quiet_timer: asyncio.TimerHandle | None = None
        self._arrival = Arrival(0, 0)  # of the bytes being read

    # --- what the link asks for

    async def read(self, queries: Sequence[Query], deliver: Deliver, kind: type[Scan] = Scan) -> None:
        """Run the requests of a scan; return when each has its block.

        Args:
            queries: what to ask.
            deliver: takes the blocks.
            kind: `UnitScan` for requests that all go to one of several units.

        Raises:
            DeviceTimeout, DeviceUnreachable, DeviceProtocolError: the connection is over.
            DeviceRefused: the unit cannot be reached, of a `UnitScan` only.
        """
        if self.failure is not None:
            raise _again(self.failure)
        if not queries:
            return
        assert len(self._reads) + len(queries) <= READS_WAITING_MAX, "scans of one class overlap"
        scan = kind(deliver, len(queries), self._loop.create_future())
        self._reads.extend(zip(queries, repeat(scan)))
        self._pump()
        try:
            await scan.done
        finally:
            scan.is_over = True  # when cancelled: requests not sent are dropped, answers on their way are ignored

    async def ask(self, query: Query) -> Answer:
        """Send one request ahead of all scans; return its answer.

        Raises:
            DeviceRefused: the device said no, or too many requests wait.
            DeviceError: no usable answer; a write may have been done.
        """
        if self.failure is not None:
            raise self._not_sent(query, self.failure)
        if len(self._singles) >= SINGLES_WAITING_MAX:
            raise DeviceRefused(
                f"{self._device.name}: {query.request} was not sent: {SINGLES_WAITING_MAX} requests wait before it",
                remedy="Write to this device less often, or lower its timeout_ms.",
                status=quality.BAD_TIMEOUT,
                code=0,
            )
        single = Single(self._loop.create_future())
        self._singles.append((query, single))
        self._pump()
        try:
            return await single.done
        finally:
            single.is_over = True

    def abort(self) -> None:
        """End it now, without waiting for the device."""
        self._end(
            DeviceUnreachable(
                f"{self._device.name}: the gateway closed the connection",
                remedy="None is needed when the gateway stops or reconnects; else connect again.",
            )
        )

    # --- what the event loop tells

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Start."""
        self._transport = cast("asyncio.Transport", transport)  # uvloop's transports do not inherit from it
        self._socket = transport.get_extra_info("socket")

    def data_received(self, data: bytes) -> None:
        """Read the frames that arrived, then send what has become possible."""
        if self.failure is not None:
            return
        self._arrival = Arrival(self._clock.wall_ns(), self._clock.monotonic_ns())
        try:
            taken = self._take_expected(data)
            if taken < len(data):
                self._reader.feed(data[taken:])
        except DeviceProtocolError as error:
            self._fail(error)
            return
        if self._delay_s:
            self._quiet_until = self._loop.time() + self._delay_s
        if not self._pump() and self._pending:
            self._acknowledge()

    def connection_lost(self, exc: Exception | None) -> None:
        """Fail what waits."""
        if exc is not None and not isinstance(exc, OSError):
            self._fail_waiting_with(exc)  # a bug in whoever took a block, not the device's doing: it must come to light
        oldest = next(iter(self._pending.values()), None)
        while_open = f" while {oldest[0].request} was open" if oldest else ""
        self._fail(
            DeviceUnreachable(
                f"{self._device.name}: the connection was lost{while_open} ({exc or 'closed by the device'})",
                remedy="Check that the device is on and that other masters leave it a free connection.",
            )
        )

    # --- sending

    def _pump(self) -> bool:
        """Send what may be sent now, in one piece; say whether that was anything."""
        if self._delay_s and self._is_quiet_time():
            return False
        entries = self._sendable()
        if not entries:
            return False
        assert self._transport is not None, "used before connection_made"
        sent_ns, now_s = self._clock.wall_ns(), self._loop.time()
        deadline = now_s + self._timeout_s
        transaction_id, pending = self.transaction_id, self._pending
        frames: list[bytes] = []
        for query, outcome in entries:
            transaction_id = (transaction_id + 1) % TRANSACTION_IDS
            pending[transaction_id] = query, outcome, sent_ns, deadline
            frames += (transaction_id.to_bytes(2, "big"), query.frame)
        self.transaction_id = transaction_id
        self._quiet_until = now_s + self._delay_s
        self._transport.write(b"".join(frames))
        if self._timer is None:
            self._timer = self._loop.call_at(deadline, self._check_deadline)
        return True

    def _acknowledge(self) -> None:
        """Let TCP acknowledge now what has arrived.

        A device with Nagle's algorithm on, which is most, holds its next segment until then, and our side would wait
        for data to send along: 40 ms lost at the end of each pipelined scan, or in each answer sent in two parts.
        """
        if self._socket is not None:
            self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_QUICKACK, 1)

    def _sendable(self) -> list[tuple[Query, Outcome]]:
        """Take the requests that may be sent now, oldest first; with `inter_request_delay_ms` at most one."""
        outstanding = len(self._pending)
        while self._singles and not outstanding:
            entry = self._singles.popleft()
            if not entry[1].is_over:
                self._is_single_open = True
                return [entry]
        if self._singles or (self._is_single_open and outstanding):
            return []
        self._is_single_open = False
        room = self._window.limit - outstanding
        if self._delay_s:
            room = min(room, 1)
        entries: list[tuple[Query, Outcome]] = []
        while self._reads and len(entries) < room:
            entry = self._reads.popleft()
            if not entry[1].is_over:
                entries.append(entry)
        return entries

    def _is_quiet_time(self) -> bool:
        """Say whether `inter_request_delay_ms` forbids sending; if so, come back when it is over."""
        if self._loop.time() >= self._quiet_until:
            return False
        if self._quiet_timer is None:
            self._quiet_timer = self._loop.call_at(self._quiet_until, self._end_quiet_time)
        return True

    def _end_quiet_time(self) -> None:
        self._quiet_timer = None
        self._pump()

    # --- receiving

    def _take_expected(self, arrived: bytes) -> int:
        """Take the answers at the start of what arrived that are byte for byte what a good answer is.

        Nearly all are, and two comparisons find that out. From the first other one on `FrameReader` looks closely.

        Returns:
            How many bytes were taken.
        """
        start, size = 0, len(arrived)
        if self._window.is_unproven or not self._reader.is_between_frames:
            return start
        all_pending = self._pending
        outcome: Outcome | None = None
        answers: list[Given] = []
        while size - start > HEADER_SIZE:
            transaction_id = arrived[start] << 8 | arrived[start + 1]
            if transaction_id not in all_pending:
                break
            query, asked_by, sent_ns, _ = all_pending[transaction_id]
            end = start + query.answer_size
            if end > size or not arrived.startswith(query.answer_head, start + 2):
                break
            if asked_by is not outcome:
                self._hand_over(outcome, answers)
                outcome, answers = asked_by, []
            answers.append((query, arrived[start + query.payload_at : end], sent_ns))
            del all_pending[transaction_id]
            start = end
        self._hand_over(outcome, answers)
        return start

    def _hand_over(self, outcome: Outcome | None, answers: Sequence[Given]) -> None:
        """Give an outcome its answers, which are no longer pending."""
        if outcome is None:
            return
        try:
            outcome.take(answers, self._arrival)
        except Exception as bug:  # whose end `connection_lost` reports to all others
            outcome.fail(bug)
            raise

    def _take_frame(self, transaction_id: int, unit_id: int, response: bytes) -> None:
        pending = self._pending.get(transaction_id)
        if pending is None:
            raise DeviceProtocolError(
                f"{self._device.name}: an answer to no open request (transaction id {transaction_id})",
                remedy="If this recurs, set max_outstanding = 1 and raise timeout_ms: a gateway may answer late.",
            )
        if self._window.is_unproven:
            is_oldest = transaction_id == next(iter(self._pending))
            self._window.note_answer(is_oldest=is_oldest, outstanding=len(self._pending))
        query, outcome, sent_ns, _ = pending
        if unit_id != query.unit_id:
            raise wrong_unit(self._device.name, unit_id, query.unit_id)
        try:
            payload = check_response(query.request, response, self._device.name)
        except DeviceProtocolError:
            raise
        except DeviceError as error:
            outcome.refuse(query, error, sent_ns, self._arrival)
        else:
            outcome.take([(query, payload, sent_ns)], self._arrival)
        del self._pending[transaction_id]  # only now: had `take` raised, the scan must still be found to be failed

    def _check_deadline(self) -> None:
        """Look at the oldest request. One timer serves all, since all have the same timeout."""
        self._timer = None
        oldest = next(iter(self._pending.values()), None)
        if oldest is None:
            return
        query, _, _, deadline = oldest
        if self._loop.time() < deadline:
            self._timer = self._loop.call_at(deadline, self._check_deadline)
            return
        self._fail(
            DeviceTimeout(
                f"{self._device.name}: no reply to {query.request} in {self._device.timeout_ms} ms",
                remedy=f"Check the cable, unit_id and timeout_ms; run `gatewayd device probe {self._device.name}`.",
            )
        )

    # --- ending

    def _fail(self, failure: Failure) -> None:
        """End it for what the device did or did not do; the first reason counts."""
        if self.failure is None:
            oldest = next(iter(self._pending.values()), None)
            self.blamed_unit = oldest[0].unit_id if oldest else None
            self._end(self._blamed_on_pipelining(failure) or failure)

    def _end(self, failure: Failure) -> None:
        if self.failure is not None:
            return
        self.failure = failure
        self._fail_waiting_with(None)
        for timer in (self._timer, self._quiet_timer):
            if timer is not None:
                timer.cancel()
        if self._transport is not None:
            self._transport.abort()

    def _blamed_on_pipelining(self, failure: Failure) -> Failure | None:
        outstanding = len(self._pending)
        limit = self._window.limit
        self._window.note_loss(outstanding)
        if self._window.limit == limit:
            return None
        return type(failure)(
            f"{failure.message}, with {outstanding} requests open; from now on one at a time",
            remedy=f"{failure.remedy} If the device takes only one request at a time, set max_outstanding = 1.",
        )

    def _fail_waiting_with(self, bug: Exception | None) -> None:
        """Fail every request, each waiter with an error of its own: one exception cannot be raised in two tasks."""
        failures: dict[Outcome, Exception] = {}
        for _, outcome, _, _ in self._pending.values():
            failures[outcome] = bug or _again(self.failure)
        for _, scan in self._reads:
            failures.setdefault(scan, bug or _again(self.failure))
        for query, single in self._singles:
            failures[single] = bug or self._not_sent(query, self.failure)
        for queue in (self._pending, self._reads, self._singles):
            queue.clear()
        for outcome, error in failures.items():
            outcome.fail(error)

    def _not_sent(self, query: Query, failure: Failure | None) -> Failure:
        error = _again(failure)
        reason = error.message.removeprefix(f"{self._device.name}: ")
        return type(error)(f"{self._device.name}: {query.request} was not sent: {reason}", remedy=error.remedy)


def _again(failure: Failure | None) -> Failure:
    assert failure is not None
    return type(failure)(failure.message, remedy=failure.remedy)
