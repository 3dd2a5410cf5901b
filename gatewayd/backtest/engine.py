"""Runs a site over recorded samples: the daemon's own `step`, the same kernels, a clock moved by the recording.

Samples of one time are one pass. Between two times every deadline that the core asked for has its own cycle, in order.
A write is assumed to reach the plant and to be read back as told, a tenth of a second later.
"""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from typing import Final

import msgspec

from gatewayd.backtest.columns import SAMPLE, Chunk
from gatewayd.backtest.tally import Tally
from gatewayd.core.kernels import Kernels
from gatewayd.core.site import NS, Site
from gatewayd.core.state import State
from gatewayd.core.step import bind, step
from gatewayd.model.block import Block, Codec, PlanRow, ReadPlan, WireType
from gatewayd.model.decision import Command, Inputs, Mode, OutcomeResult, Request, SetMode, WriteOutcome

WRITE_NS: Final = NS // 10  # from a decision to its read-back
MONO_FIRST_NS: Final = 1000 * NS  # the boot clock as a recording begins
NEVER_STALE_NS: Final = 1 << 60
_COLUMNS: Final = Codec.COLUMNS


def site_over(site: Site, rows: Sequence[int], shapes: Sequence[Sequence[int]]) -> Site:
    """Return a site whose read plans are the shapes of a recording.

    Args:
        site: compiled without plans, or with others.
        rows: row of the twin of each column of the recording.
        shapes: the columns that occur together.
    """
    plans = tuple(
        ReadPlan(
            index=index,
            device="recording",
            scan_class="",
            codec=_COLUMNS,
            rows=tuple(PlanRow(rows[column], 0, WireType.FLOAT64) for column in columns),
            request=(),
        )
        for index, columns in enumerate(shapes)
    )
    return msgspec.structs.replace(site, plans=plans)


def assumed(command: Command, at_ns: int) -> WriteOutcome:
    """Return the outcome of a write that goes well."""
    return WriteOutcome(
        decision_id=command.decision_id,
        point=command.point,
        result=OutcomeResult.VERIFIED,
        value=command.value,
        read_back=command.value,
        sent_ns=at_ns,
        answered_ns=at_ns,
    )


class Backtest:
    """One run over one recording.

    Args:
        site: of `site_over`.
        kernels: compiled code.
        tally: takes what the cycles did.
        first_ns: wall time of the first row.
        is_held: a value stands until the next one: no tag turns stale, however far its samples lie apart.
    """

    def __init__(self, site: Site, kernels: Kernels, tally: Tally, *, first_ns: int, is_held: bool = False) -> None:
        self.site = site
        self.tally = tally
        self.now_ns = first_ns
        self.samples = 0
        self.state = State(site, kernels, now_mono_ns=MONO_FIRST_NS)
        self._mono_less_wall_ns = MONO_FIRST_NS - first_ns
        self._number = 0
        self._next_mono_ns = 0
        self._under_way: list[tuple[int, Command]] = []  # due, ascending
        self._widths = [SAMPLE.size * len(plan.rows) for plan in site.plans]
        self._prepare(is_held=is_held)
        self._kernels = bind(kernels, self.state)
        self._cycle(first_ns, requests=(SetMode(mode=Mode.AUTO, reason="backtest"),))

    def feed(self, chunk: Chunk, *, until_ns: int = 0) -> bool:
        """Run the rows of a chunk; say whether `until_ns` (0 = none) is still ahead."""
        times, shapes = array("q", chunk.times), array("q", chunk.shapes)
        payload, at, rows = chunk.payload, 0, len(times)
        row = 0
        while row < rows:
            now_ns = times[row]
            if 0 < until_ns < now_ns:
                return False
            blocks: list[Block] = []
            mono_ns = now_ns + self._mono_less_wall_ns
            while not blocks or (row < rows and shapes[row] < 0):
                plan = shapes[row] if shapes[row] >= 0 else ~shapes[row]
                size = self._widths[plan]
                blocks.append(Block(plan, _COLUMNS, now_ns, now_ns, mono_ns, payload[at : at + size]))
                at += size
                row += 1
                self.samples += size // SAMPLE.size
            self.advance(now_ns)
            self._cycle(now_ns, blocks=tuple(blocks))
        return True

    def advance(self, until_ns: int) -> None:
        """Give every deadline before a time its cycle."""
        while 0 < (due_ns := self._due_ns()) < until_ns:
            self._cycle(max(due_ns, self.now_ns))
            if self._due_ns() == due_ns:
                return  # only a sample can change that

    def finish(self, end_ns: int) -> None:
        """Run the deadlines up to the end, it included, and close the tally."""
        self.advance(end_ns + 1)
        self.tally.end(max(end_ns, self.now_ns))

    def _prepare(self, *, is_held: bool) -> None:
        """Take values as they are: a recording holds them in contract units, scaled already."""
        for row in range(len(self.site.tags)):
            self.state.column("tag.scale")[row] = 1.0
            self.state.column("tag.offset")[row] = 0.0
            if is_held:
                self.state.column("tag.stale_after")[row] = NEVER_STALE_NS

    def _due_ns(self) -> int:
        """Return the next deadline of the core or of a write under way, wall ns; 0 = none."""
        due_ns = self._next_mono_ns - self._mono_less_wall_ns if self._next_mono_ns > 0 else 0
        if self._under_way:
            outcome_ns = self._under_way[0][0]
            return min(due_ns, outcome_ns) if due_ns else outcome_ns
        return due_ns

    def _cycle(self, now_ns: int, *, blocks: tuple[Block, ...] = (), requests: tuple[Request, ...] = ()) -> None:
        self._number += 1
        self.now_ns = now_ns
        outcomes = self._outcomes(now_ns) if self._under_way else ()
        inputs = Inputs(self._number, now_ns, now_ns + self._mono_less_wall_ns, blocks, outcomes, requests)
        effects = step(self.state, self.site, self._kernels, inputs)
        self._next_mono_ns = effects.next_mono_ns
        self._under_way += ((now_ns + WRITE_NS, command) for command in effects.commands)
        self.tally.take(now_ns, effects, self.state)

    def _outcomes(self, now_ns: int) -> tuple[WriteOutcome, ...]:
        due = [command for due_ns, command in self._under_way if due_ns <= now_ns]
        del self._under_way[: len(due)]
        return tuple(assumed(command, now_ns) for command in due)
