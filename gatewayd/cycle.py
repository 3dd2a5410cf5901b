"""The async shell of a cycle: take what waits -> core.step -> commit -> hand commands to act. There is no fixed tick."""

from __future__ import annotations

import asyncio
import math
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

import msgspec

from gatewayd.clock import Cancellable, Clock
from gatewayd.core.decide.draft import Draft
from gatewayd.core.kernels import BoundKernel
from gatewayd.core.site import Site
from gatewayd.core.state import Override, State
from gatewayd.core.step import step
from gatewayd.core.swap import Swap, record_ends, take_over
from gatewayd.errors import RequestRefused, StoreError, StoreFull
from gatewayd.model import quality
from gatewayd.model.block import Block, Codec
from gatewayd.model.decision import (
    ClearOverride,
    Command,
    Effects,
    Inputs,
    Mode,
    NewRecord,
    OutcomeResult,
    Reply,
    Request,
    SetMode,
    SetOverride,
    WriteOutcome,
)
from gatewayd.model.record import Actor, Body, ClockStep, Gap
from gatewayd.observe.pace import Pace

BLOCKS_WAITING_MAX = 4096
BLOCKS_PER_CYCLE_MAX = 512
NOTES_WAITING_MAX = 1024
REQUESTS_WAITING_MAX = 256
CLOCK_STEP_NS = 1_000_000_000
REOPEN_EVERY_NS = 5_000_000_000
STOPPED = Reply("", False, "the daemon is stopping, so nothing was done", "Ask again once it runs.")
TOO_MANY = Reply("", False, "too many requests are waiting, so nothing was done", "Ask again in a moment.")
CORE = Actor(uid=0, role="core", method="core")
JOURNAL_LOST = Reply("", False, "the journal cannot be written, so nothing was done", "`gatewayd status` says why.")


class CycleJournal(Protocol):
    """What a cycle needs of the journal."""

    @property
    def healthy(self) -> bool:
        """Say whether a decision could be committed now."""
        ...

    @property
    def problem(self) -> str:
        """Return what only `reopen` can mend; empty = nothing, though it may be full."""
        ...

    async def commit(
        self,
        records: Sequence[NewRecord],
        *,
        saves: Mapping[str, bytes] | None = None,
        intents: Sequence[Command] = (),
        at_once: bool = False,
    ) -> tuple[int, ...]:
        """Make records durable, waiting for no others if `at_once`."""
        ...

    async def reopen(self) -> None:
        """Try to get a lost store back."""
        ...


class Plant:
    """What one cycle changes and uses.

    Args:
        state: owned by the cycle alone.
        site: the configuration in force.
        kernels: bound to the state.
    """

    def __init__(self, state: State, site: Site, kernels: Mapping[str, BoundKernel]) -> None:
        self.state = state
        self.site = site
        self.kernels = kernels


class Cycle:
    """Runs cycles; the only caller of `core.step` in a running daemon.

    Args:
        plant: state, site and kernels.
        journal: where records become durable before anything acts on them.
        hand_over: takes commands whose decisions are durable, and when the newest sample behind them arrived.
        keep: the flight recorder; takes every cycle's inputs.
        clock: wall and boot time.
        first_cycle: number of the first cycle; numbers never repeat in the life of a store.
    """

    def __init__(
        self,
        plant: Plant,
        journal: CycleJournal,
        *,
        hand_over: Callable[[tuple[Command, ...], int], None],
        keep: Callable[[Inputs], None],
        clock: Clock,
        first_cycle: int,
    ) -> None:
        self.plant = plant
        self.number = first_cycle
        self.blocks_dropped = 0
        self.records_lost = 0
        self.pace = Pace()
        self.on_cycle: Callable[[], None] = lambda: None
        self.on_rules: Callable[[Site], None] = lambda site: None
        self._journal = journal
        self._hand_over = hand_over
        self._keep = keep
        self._clock = clock
        self._blocks: deque[Block] = deque()
        self._holes: dict[int, Block] = {}  # plan -> what stands for its dropped notifications
        self._outcomes: deque[WriteOutcome] = deque()
        self._requests: deque[tuple[Request, asyncio.Future[Reply] | None]] = deque()
        self._asked: list[tuple[Request, asyncio.Future[Reply] | None]] = []  # of the cycle under way
        self._notes: deque[Body] = deque()
        self._notes_lost = 0
        self._swap: tuple[Swap, NewRecord, asyncio.Future[int]] | None = None
        self._unsaved: dict[str, bytes] = {}  # of commits that failed: the state they describe is in force all the same
        self._has_ended = False
        self._wake = asyncio.Event()
        self._alarm: Cancellable | None = None
        self._wall_minus_mono_ns = clock.wall_ns() - clock.monotonic_ns()
        self._reopen_mono_ns = 0
        self._suspended = Mode.MONITOR

    # --- what the rooms around put in -------------------------------------------------------------------------------

    def deliver(self, blocks: Sequence[Block]) -> None:
        """Take blocks; when too many wait, the oldest goes, and its successor of the same plan tells the truth.

        A subscribed plan has no such successor, for its next block tells other changes: it is lost until it is read anew.
        """
        self._blocks.extend(blocks)
        while len(self._blocks) > BLOCKS_WAITING_MAX:
            dropped = self._blocks.popleft()
            self.blocks_dropped += 1
            is_subscribed = self.plant.site.plans[dropped.plan].codec is Codec.OPCUA_NOTIFICATION
            if is_subscribed and dropped.codec is not Codec.CONFIRMED:
                lost = msgspec.structs.replace(dropped, codec=Codec.LOST, payload=b"", status=quality.BAD_DATA_LOST)
                self._holes[dropped.plan] = lost
        self._wake.set()

    def report(self, outcome: WriteOutcome) -> None:
        """Take the outcome of a write."""
        self._outcomes.append(outcome)
        self._wake.set()

    def note(self, body: Body) -> None:
        """Take a record of something that happened outside the core; too many at once are counted, not kept."""
        if len(self._notes) < NOTES_WAITING_MAX:
            self._notes.append(body)
        else:
            self._notes_lost += 1
        self._wake.set()

    def take_over(self, bodies: Sequence[Body], saves: Mapping[str, bytes]) -> None:
        """Take what could not be journalled before the first cycle; it goes with the first commit that succeeds."""
        self._unsaved |= saves
        for body in bodies:
            self.note(body)

    def request(self, request: Request) -> None:
        """Take a request nobody waits for."""
        self._requests.append((request, None))
        self._wake.set()

    async def ask(self, request: Request) -> Reply:
        """Take a person's request; return the core's answer once it is durable."""
        if self._has_ended:
            return STOPPED
        if self.records_lost:
            return JOURNAL_LOST
        if len(self._requests) >= REQUESTS_WAITING_MAX:
            return TOO_MANY
        future: asyncio.Future[Reply] = asyncio.get_running_loop().create_future()
        self._requests.append((request, future))
        self._wake.set()
        return await future

    async def take_rules(self, swap: Swap, taken: NewRecord) -> int:
        """Take another rule set before the next cycle; return how long cycles waited for it, ns, once it is in force.

        Args:
            swap: prepared beside the state in use.
            taken: its record, durable before the first cycle that uses it.

        Raises:
            RequestRefused: another was taken meanwhile, or is being taken, or the daemon stops.
            StoreError: it could not be journalled, so nothing changed.
        """
        if self._has_ended or self._swap is not None:
            raise _no_rules("the daemon is stopping" if self._has_ended else "another rule set is being taken")
        future: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        self._swap = (swap, taken, future)
        self._wake.set()
        return await future

    # --- the cycle --------------------------------------------------------------------------------------------------

    async def run(self) -> None:
        """Run cycles for ever; cancelled by the task group. A bug in the core ends it, and with it the process."""
        try:
            while True:
                # The first turn waits for nothing: it finds the code and the tables, which are then at hand for samples.
                await self.run_once()
                await self._wake.wait()
                self._wake.clear()
        finally:
            self._has_ended = True
            for _, future in (*self._asked, *self._requests):
                if future is not None and not future.done():
                    future.set_result(STOPPED)
            if self._swap is not None and not self._swap[2].done():
                self._swap[2].set_exception(_no_rules("the daemon is stopping"))

    async def run_once(self) -> None:
        """Run one cycle over everything that waits."""
        if self._swap is not None:
            await self._follow(*self._swap)
            self._swap = None
        started_ns = self._clock.monotonic_ns()
        self._watch_clock()
        self._asked = [self._requests.popleft() for _ in range(len(self._requests))]
        held = dict(self.plant.state.overrides) if self._asked else {}
        inputs = self._take_inputs(tuple(request for request, _ in self._asked))
        plant = self.plant
        effects = step(plant.state, plant.site, plant.kernels, inputs)
        self.pace.cycles += 1
        self.pace.busy.add(self._clock.monotonic_ns() - started_ns)
        durable = await self._commit(effects)
        if durable:
            newest_ns = max((block.response_mono_ns for block in inputs.blocks), default=0)
            self._hand_over(effects.commands, newest_ns)
        else:
            self._withdraw(effects.commands)
            self._undo(held)
        _answer(self._asked, effects.replies, durable=durable)
        self._asked = []
        try:
            if effects.commands:
                await asyncio.sleep(0)  # noqa: TID251 - no time but a turn: the writers go first, what follows takes time
        finally:
            self._keep(inputs)
        self._set_alarm(effects.next_mono_ns)
        self.on_cycle()
        if self._blocks:
            self._wake.set()

    async def _follow(self, swap: Swap, taken: NewRecord, asked: asyncio.Future[int]) -> None:
        """Let the next cycle be the first of another rule set, if that can be made durable; else nothing changes."""
        draft = Draft(self.number, self._clock.wall_ns(), self._clock.monotonic_ns())
        draft.records.append(taken)
        record_ends(swap, draft)
        try:
            if swap.running is not self.plant.state:
                raise _no_rules("another rule set was taken meanwhile")
            if self.records_lost:
                raise _no_rules("the journal cannot be written")
            await self._journal.commit(tuple(draft.records), at_once=True)
        except (RequestRefused, StoreError) as error:
            if not asked.done():
                asked.set_exception(error)
            return
        started_ns = self._clock.monotonic_ns()
        take_over(swap, now_mono_ns=started_ns)
        self.plant.state, self.plant.site, self.plant.kernels = swap.state, swap.site, swap.kernels
        self.on_rules(swap.site)
        if not asked.done():
            asked.set_result(self._clock.monotonic_ns() - started_ns)

    def _take_inputs(self, requests: tuple[Request, ...]) -> Inputs:
        self.number += 1
        count = min(len(self._blocks), BLOCKS_PER_CYCLE_MAX)
        blocks = (*self._holes.values(), *(self._blocks.popleft() for _ in range(count)))
        self._holes = {}
        outcomes = tuple(self._outcomes.popleft() for _ in range(len(self._outcomes)))
        return Inputs(
            cycle=self.number,
            wall_ns=self._clock.wall_ns(),
            mono_ns=self._clock.monotonic_ns(),
            blocks=blocks,
            outcomes=outcomes,
            requests=requests,
        )

    async def _commit(self, effects: Effects) -> bool:
        """Make a cycle durable, and with it what earlier cycles could not."""
        records: tuple[NewRecord, ...] = ()
        started_ns = self._clock.monotonic_ns()
        try:
            if self.records_lost:
                await self._look_again()
            records = (*self._take_notes(), *effects.records)
            if not records and not effects.saves:
                return True
            saves = self._unsaved | effects.saves
            # At once, whatever it is: the samples that arrive meanwhile wait for it.
            await self._journal.commit(records, saves=saves, intents=effects.commands, at_once=True)
        except StoreError as error:
            records = records or effects.records
            self._unsaved |= effects.saves
            self._lose_journal(len(records), full=isinstance(error, StoreFull))
            return False
        self._unsaved = {}
        self.pace.commit.add(self._clock.monotonic_ns() - started_ns)
        if self.records_lost and self._journal.healthy:
            self._regain_journal()
        return True

    def _take_notes(self) -> list[NewRecord]:
        """Return what happened outside the core, and what was lost of that and, once they can be told, of records."""
        bodies: list[Body] = []
        if self.records_lost and self._journal.healthy:
            bodies.append(_gap("journal", self.records_lost, "journal could not be written"))
        if self._notes_lost:
            bodies.append(_gap("notes", self._notes_lost, "more happened at once than could be noted"))
            self._notes_lost = 0
        bodies += [self._notes.popleft() for _ in range(len(self._notes))]
        return [NewRecord(body=body) for body in bodies]

    # --- the journal is lost, and comes back ------------------------------------------------------------------------

    def _lose_journal(self, records: int, *, full: bool) -> None:
        """Without a journal nothing is written; observation goes on."""
        if not self.records_lost:
            self._look_again_later()
        self.records_lost += records or not self.records_lost  # state alone can be lost, too
        if self.plant.state.mode is Mode.AUTO:
            self._suspended = Mode.AUTO
            self.request(SetMode(mode=Mode.MONITOR, reason="journal is full" if full else "journal is lost"))

    def _look_again_later(self) -> None:
        self._reopen_mono_ns = self._clock.monotonic_ns() + REOPEN_EVERY_NS
        self._clock.call_at(self._reopen_mono_ns, self._wake.set)

    async def _look_again(self) -> None:
        """Try to get the journal back, once in a while."""
        if self._clock.monotonic_ns() >= self._reopen_mono_ns:
            self._look_again_later()
            if self._journal.problem:
                await self._journal.reopen()

    def _regain_journal(self) -> None:
        """Go on. A full journal takes records of the loss itself, but that alone does not mean it is back."""
        self.records_lost = 0
        if self._suspended is Mode.AUTO:
            self._suspended = Mode.MONITOR
            self.request(SetMode(mode=Mode.AUTO, reason="journal is back"))

    def _withdraw(self, commands: tuple[Command, ...]) -> None:
        """Tell the core that its commands were never sent."""
        for command in commands:
            self.report(
                WriteOutcome(
                    decision_id=command.decision_id,
                    point=command.point,
                    result=OutcomeResult.REFUSED,
                    value=command.value,
                    read_back=math.nan,
                    sent_ns=0,
                    answered_ns=0,
                    detail="its decision could not be made durable",
                )
            )

    def _undo(self, held: Mapping[int, Override]) -> None:
        """Take back what people changed in a cycle that did not become durable: they are told that nothing was done.

        By requests, because only inputs may change the state.

        Args:
            held: the overrides before that cycle, by point.
        """
        asked = [request for request, future in self._asked if future is not None]
        for name in dict.fromkeys(ask.point for ask in asked if isinstance(ask, SetOverride | ClearOverride)):
            index = self.plant.site.point_of.get(name, -1)
            before = held.get(index)
            if self.plant.state.overrides.get(index) is before:
                continue
            left_ns = 0 if before is None else before.expires_mono_ns - self._clock.monotonic_ns()
            if before is not None and left_ns > 0:
                self.request(SetOverride(name, before.value, left_ns, before.reason, before.actor))
            else:
                self.request(ClearOverride(name, "the journal was lost", CORE))

    # --- time -------------------------------------------------------------------------------------------------------

    def _watch_clock(self) -> None:
        """Journal a jump of wall time; nothing in the core measures durations by it."""
        drift_ns = self._clock.wall_ns() - self._clock.monotonic_ns() - self._wall_minus_mono_ns
        if abs(drift_ns) > CLOCK_STEP_NS:
            new_ns = self._clock.wall_ns()
            self._notes.append(ClockStep(old_ns=new_ns - drift_ns, new_ns=new_ns))
            self._wall_minus_mono_ns += drift_ns

    def _set_alarm(self, deadline_ns: int) -> None:
        if self._alarm is not None:
            self._alarm.cancel()
            self._alarm = None
        if deadline_ns:
            self._alarm = self._clock.call_at(deadline_ns, self._wake.set)


def _gap(stream: str, count: int, reason: str) -> Gap:
    return Gap(stream=stream, first=0, last=0, count=count, reason=reason)


def _answer(
    asked: Sequence[tuple[Request, asyncio.Future[Reply] | None]], replies: Sequence[Reply], *, durable: bool
) -> None:
    """Give each waiting person the reply to their request; without a journal the answer is no."""
    by_id = {reply.request_id: reply for reply in replies}
    for request, future in asked:
        if future is not None and not future.done():
            request_id = getattr(request, "request_id", "")
            future.set_result(by_id.get(request_id, JOURNAL_LOST) if durable else JOURNAL_LOST)


def _no_rules(why: str) -> RequestRefused:
    return RequestRefused(f"{why}, so the rules stay as they are", remedy="Ask again once that is over.")
