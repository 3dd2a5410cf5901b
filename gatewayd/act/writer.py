"""Carries out commands: write, read back, compare, journal the outcome, report it to the next cycle.

A command arrives here only after its decision is durable. A write is never repeated: what follows an unknown result is
a new decision of the core, made on what was read back.
"""

from __future__ import annotations

import asyncio
import contextlib
import math
from collections.abc import Callable, Mapping
from typing import Protocol

from gatewayd.clock import Clock
from gatewayd.device.link import Link, Reading
from gatewayd.errors import DeviceError, DeviceRefused, StoreError
from gatewayd.model import quality
from gatewayd.model.decision import Command, NewRecord, OutcomeResult, WriteOutcome
from gatewayd.model.record import Outcome

COMMANDS_WAITING_MAX = 4096  # of one device; the core has at most one under way for each point
READBACK_EVERY_NS = 50_000_000


class OutcomeJournal(Protocol):
    """What act needs of the journal."""

    async def commit(self, records: tuple[NewRecord, ...], *, resolves: tuple[int, ...]) -> tuple[int, ...]:
        """Make an outcome durable and end its in-doubt entry."""
        ...


class Routes(Protocol):
    """Which link a row of the twin is behind."""

    def link_of(self, row: int) -> Link:
        """Return the link of a row's device."""
        ...


class Writer:
    """The commands of one device, one at a time, in order.

    Args:
        routes: finds the link to write to and the one to read back from; they may be two devices.
        journal: where outcomes become durable.
        report: takes each outcome into the next cycle.
        clock: wall and boot time.
    """

    def __init__(
        self, routes: Routes, journal: OutcomeJournal, *, report: Callable[[WriteOutcome], None], clock: Clock
    ) -> None:
        self._routes = routes
        self._journal = journal
        self._report = report
        self._clock = clock
        self._waiting: asyncio.Queue[tuple[Command, int]] = asyncio.Queue(maxsize=COMMANDS_WAITING_MAX)
        self.on_sent: Callable[[int], None] = lambda _: None

    def hand_over(self, command: Command, sampled_mono_ns: int) -> None:
        """Take a command whose decision is durable.

        A full queue refuses it at once. Its entry then stays in doubt, and the next start reads it back.

        Args:
            command: what to write.
            sampled_mono_ns: when the newest sample behind it arrived, 0 = it was not a sample that caused it.
        """
        try:
            self._waiting.put_nowait((command, sampled_mono_ns))
        except asyncio.QueueFull:
            self._report(_outcome(command, OutcomeResult.REFUSED, detail="too many commands are waiting"))

    @property
    def idle(self) -> bool:
        """Say whether nothing waits; the command under way is the caller's to know."""
        return self._waiting.empty()

    async def run(self) -> None:
        """Carry out commands for ever; cancelled by the task group."""
        while True:
            command, sampled_mono_ns = await self._waiting.get()
            await self.settle(command, await self._carry_out(command, sampled_mono_ns))

    async def settle(self, command: Command, outcome: WriteOutcome, *, recovered: bool = False) -> None:
        """Journal an outcome and report it. If the journal is lost the entry stays in doubt until the next start."""
        body = Outcome(
            decision_id=outcome.decision_id,
            result=outcome.result.value,
            value=outcome.value,
            read_back=outcome.read_back,
            sent_ns=outcome.sent_ns,
            answered_ns=outcome.answered_ns,
            detail=outcome.detail,
            recovered=recovered,
        )
        # Without the journal the entry stays in doubt; the plant's state is still worth reporting to the core.
        with contextlib.suppress(StoreError):
            await self._journal.commit((NewRecord(body=body),), resolves=(command.decision_id,))
        self._report(outcome)

    async def _carry_out(self, command: Command, sampled_mono_ns: int) -> WriteOutcome:
        if self._has_expired(command):
            return _outcome(command, OutcomeResult.REFUSED, detail="expired before it was sent")
        link = self._routes.link_of(command.row)
        try:
            await link.connect()
        except DeviceError as error:
            return _outcome(command, OutcomeResult.REFUSED, detail=f"never sent: {error.message}")
        if self._has_expired(command):  # connecting may take longer than a command lives
            return _outcome(command, OutcomeResult.REFUSED, detail="expired while connecting")
        sent_ns = self._clock.wall_ns()
        if sampled_mono_ns:
            self.on_sent(self._clock.monotonic_ns() - sampled_mono_ns)
        doubt = ""
        try:
            await link.write(command.row, command.value)
        except DeviceRefused as error:
            return _outcome(command, OutcomeResult.REFUSED, sent_ns=sent_ns, detail=error.message)
        except DeviceError as error:
            if error.unit is None:  # else the link goes on serving the other units
                await link.close()
            doubt = error.message
        return await self.read_back(command, sent_ns=sent_ns, doubt=doubt)

    def _has_expired(self, command: Command) -> bool:
        return self._clock.monotonic_ns() > command.expires_mono_ns

    async def read_back(self, command: Command, *, sent_ns: int, doubt: str = "") -> WriteOutcome:
        """Read until the value is there or the time for it is over. A protocol's acknowledgement is never proof."""
        deadline_ns = self._clock.monotonic_ns() + command.readback_within_ns
        reading, answered_ns = None, 0
        while True:
            reading = await self._read(command) or reading
            if reading is not None:
                answered_ns = reading.response_time_ns
                if abs(reading.value - command.value) <= command.readback_tolerance:
                    return _outcome(command, OutcomeResult.VERIFIED, reading.value, sent_ns, answered_ns, doubt)
            now_ns = self._clock.monotonic_ns()
            if now_ns >= deadline_ns:
                break
            await self._clock.sleep_until(min(now_ns + READBACK_EVERY_NS, deadline_ns))
        if reading is None:
            return _outcome(
                command, OutcomeResult.UNKNOWN, math.nan, sent_ns, 0, doubt or "no good value could be read back"
            )
        return _outcome(command, OutcomeResult.MISMATCH, reading.value, sent_ns, answered_ns, doubt)

    async def _read(self, command: Command) -> Reading | None:
        link = self._routes.link_of(command.readback_row)
        try:
            await link.connect()
            reading = await link.read_back(command.readback_row)
        except DeviceError:
            return None
        return reading if quality.is_good(reading.status) else None


class Act:
    """All writers; a command goes to the writer of the device it writes to.

    Args:
        device_of: row -> device name.
        links: device name -> link.
        journal: where outcomes become durable.
        report: takes each outcome into the next cycle.
        clock: wall and boot time.
    """

    def __init__(
        self,
        device_of: Callable[[int], str],
        links: Mapping[str, Link],
        journal: OutcomeJournal,
        *,
        report: Callable[[WriteOutcome], None],
        clock: Clock,
    ) -> None:
        self._device_of = device_of
        self._links = links
        self.writers = {name: Writer(self, journal, report=report, clock=clock) for name in links}

    def link_of(self, row: int) -> Link:
        """Return the link of a row's device."""
        return self._links[self._device_of(row)]

    def writer_of(self, row: int) -> Writer:
        """Return the writer of a row's device."""
        return self.writers[self._device_of(row)]

    def hand_over(self, commands: tuple[Command, ...], sampled_mono_ns: int) -> None:
        """Take commands whose decisions are durable."""
        for command in commands:
            self.writer_of(command.row).hand_over(command, sampled_mono_ns)


def _outcome(
    command: Command,
    result: OutcomeResult,
    read_back: float = math.nan,
    sent_ns: int = 0,
    answered_ns: int = 0,
    detail: str = "",
) -> WriteOutcome:
    return WriteOutcome(
        decision_id=command.decision_id,
        point=command.point,
        result=result,
        value=command.value,
        read_back=read_back,
        sent_ns=sent_ns,
        answered_ns=answered_ns,
        detail=detail[:256],
    )
