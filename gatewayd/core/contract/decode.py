"""Blocks into columns: one kernel call per block or fewer, no object per sample."""

from __future__ import annotations

from array import array
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

from gatewayd.core.contract.text import take_texts
from gatewayd.core.kernels import BoundKernel
from gatewayd.core.state import INBOX_BYTES, RESPONSES_PER_CALL, State
from gatewayd.model import quality
from gatewayd.model.block import Block, Codec

TURNS_MAX = 128  # samples of one tag in one block; more than an item's queue may hold
_MORE = 1  # cell of `out`
# Python 3.11 takes 0.2 us to look a member up.
_CONFIRMED, _NOTIFICATION, _REGISTERS = Codec.CONFIRMED, Codec.OPCUA_NOTIFICATION, Codec.MODBUS_REGISTERS

_DECODER = {
    Codec.MODBUS_BITS: "decode_modbus_bits",
    Codec.OPCUA_READ: "decode_opcua",
    Codec.OPCUA_NOTIFICATION: "decode_opcua_notification",
    Codec.COLUMNS: "decode_columns",
}


def passes(blocks: Sequence[Block]) -> Iterator[list[Block]]:
    """Split blocks, in order, so that no plan occurs twice in a pass: kernels see every sample, one at a time per tag."""
    if len(blocks) == 1:
        yield list(blocks)
        return
    taken: set[int] = set()
    current: list[Block] = []
    for block in blocks:
        plans = range(block.plan, block.plan + block.plans)
        if not taken.isdisjoint(plans):
            yield current
            taken, current = set(), []
        if block.codec is not _CONFIRMED:  # brings no sample
            taken.update(plans)
        current.append(block)
    if current:
        yield current


def take(
    state: State,
    kernels: Mapping[str, BoundKernel],
    blocks: Sequence[Block],
    *,
    now_wall_ns: int,
    turn: int = 0,
) -> tuple[int, list[Block]]:
    """Decode a pass of blocks into the twin.

    A notification may hold several samples of a tag. One turn takes one of each, so that kernels and rules see them one
    at a time; the blocks that hold more come back for the next turn.

    A payload that cannot be decoded, or is larger than the inbox, turns its own rows Bad and harms no other; so do
    the rows that a block says it lacks.

    Args:
        state: changed in place.
        kernels: bound to the state.
        blocks: of one pass; in a later turn, those the turn before returned.
        now_wall_ns: time of the cycle.
        turn: which sample of each tag, from 0.

    Returns:
        How many rows are on the fresh list, and the blocks with samples for a later turn.
    """
    fresh = 0
    unfinished: list[Block] = []
    this = _Pass(state, kernels, now_wall_ns)
    for run in _runs(blocks):
        block = run[0]
        if block.lost:
            fresh = this.take_around(block, fresh)
        elif block.codec is _REGISTERS:
            fresh = this.take_registers(run, fresh)
        elif block.codec is _CONFIRMED:
            kernels["confirm"](*this.span(block), block.response_mono_ns)
        else:
            decoded = this.decode(block, this.span(block), fresh, turn)
            if decoded < 0:
                decoded = this.lose(block, this.span(block), fresh)
            elif block.codec is _NOTIFICATION and state.column("out.value")[_MORE]:
                unfinished.append(block)
            fresh = decoded
    return fresh, unfinished


def _runs(blocks: Sequence[Block]) -> Iterator[Sequence[Block]]:
    """Split a pass, in order, into whole responses of registers that one call can decode, and single blocks."""
    if len(blocks) == 1:
        yield blocks
        return
    run: list[Block] = []
    for block in blocks:
        is_alone = block.codec is not _REGISTERS or block.lost
        if run and (is_alone or len(run) == RESPONSES_PER_CALL):
            yield run
            run = []
        if is_alone:
            yield [block]
        else:
            run.append(block)
    if run:
        yield run


class _Pass(NamedTuple):
    """One pass of blocks on its way into a state; `fresh` is how many rows are on the fresh list, before and after."""

    state: State
    kernels: Mapping[str, BoundKernel]
    now_wall_ns: int

    def span(self, block: Block) -> tuple[int, int]:
        """Return the first of a block's rows in table plan, and how many there are."""
        first = self.state.plan_first[block.plan]
        return first, self.state.plan_first[block.plan + block.plans] - first

    def take_registers(self, blocks: Sequence[Block], fresh: int, part: tuple[int, int] | None = None) -> int:
        """Decode responses of registers in one call; of the only one, if so told, just a part of its plan's rows."""
        state, plan_base = self.state, self.state.plan_base
        payloads = b"".join([block.payload for block in blocks])
        result = -1
        if len(payloads) <= INBOX_BYTES:
            cells: list[int] = []
            for block in blocks:
                times = block.response_time_ns, block.response_mono_ns
                cells += (*(part or self.span(block)), len(block.payload), plan_base[block.plan], *times)
            state.columns["response.cell"][: len(cells)] = array("q", cells)
            state.columns["inbox.byte"][: len(payloads)] = payloads
            result = self.kernels["decode_modbus_registers"](len(blocks), fresh, self.now_wall_ns, state.pass_number)
        elif len(blocks) > 1:  # some are larger than any device's
            for block in blocks:
                fresh = self.take_registers([block], fresh)
            return fresh
        for block in blocks if result < 0 or state.text_rows else ():
            span = part or self.span(block)
            if result < 0:
                fresh = self.lose(block, span, fresh)
            else:
                self.take_texts(block, span)
        return fresh if result < 0 else result

    def take_texts(self, block: Block, span: tuple[int, int]) -> None:
        """Decode the texts among some rows of a block."""
        state, (begin, rows) = self.state, span
        for plan in range(block.plan, block.plan + block.plans):
            at = state.plan_first[plan]
            payload = block.payload[state.plan_base[plan] - state.plan_base[block.plan] :]
            texts = [row for place, row in state.text_rows.get(plan, ()) if begin <= at + place < begin + rows]
            take_texts(state, payload, texts)

    def decode(self, block: Block, span: tuple[int, int], fresh: int, turn: int = 0) -> int:
        """Decode a payload of its own, or a part of it; negative when nothing can be decoded."""
        size = len(block.payload)
        if block.codec not in _DECODER or size > INBOX_BYTES:
            return -1
        self.state.columns["inbox.byte"][:size] = block.payload
        times = (block.response_time_ns, block.response_mono_ns, self.now_wall_ns, self.state.pass_number)
        turns = (turn,) if block.codec is _NOTIFICATION else ()
        return self.kernels[_DECODER[block.codec]](0, size, *span, fresh, *times, *turns)

    def lose(self, block: Block, span: tuple[int, int], fresh: int, status: int = 0) -> int:
        """Turn rows Bad."""
        status = status or block.status or quality.BAD_DECODING
        arrived_ns = block.response_time_ns
        return self.kernels["mark_lost"](*span, fresh, arrived_ns, self.now_wall_ns, self.state.pass_number, status)

    def take_around(self, block: Block, fresh: int) -> int:
        """Decode a block that lacks some rows of its plan: what is there as ever, run by run, the others as lost."""
        at, count = self.span(block)
        for begin, rows, status in _spans(block, count):
            span = at + begin, rows
            if not status and block.codec is _REGISTERS:
                fresh = self.take_registers([block], fresh, span)
                continue
            decoded = -1 if status else self.decode(block, span, fresh)
            fresh = decoded if decoded >= 0 else self.lose(block, span, fresh, status)
        return fresh


def _spans(block: Block, count: int) -> Iterator[tuple[int, int, int]]:
    """Yield (first row of the plan, rows, status) over all its rows; status 0 = the payload has them."""
    at = 0
    for first, rows, status in block.lost:
        if first < at or rows < 0 or first + rows > count:  # of no driver of ours: trust nothing from here on
            yield at, count - at, quality.BAD_DECODING
            return
        if first > at:
            yield at, first - at, 0
        yield first, rows, status or quality.BAD_DECODING
        at = first + rows
    if at < count:
        yield at, count - at, 0
