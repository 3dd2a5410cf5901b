"""Blocks into columns: one kernel call per block, no object per sample."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from gatewayd.core.contract.text import take_texts
from gatewayd.core.kernels import BoundKernel
from gatewayd.core.site import Site
from gatewayd.core.state import INBOX_BYTES, State
from gatewayd.model import quality
from gatewayd.model.block import Block, Codec

TURNS_MAX = 128  # samples of one tag in one block; more than an item's queue may hold
_MORE = 1  # cell of `out`
_CONFIRMED, _NOTIFICATION = Codec.CONFIRMED, Codec.OPCUA_NOTIFICATION  # Python 3.11 takes 0.2 us to look a member up

_DECODER = {
    Codec.MODBUS_REGISTERS: "decode_modbus_registers",
    Codec.MODBUS_BITS: "decode_modbus_bits",
    Codec.OPCUA_READ: "decode_opcua",
    Codec.OPCUA_NOTIFICATION: "decode_opcua_notification",
    Codec.COLUMNS: "decode_columns",
}


def passes(blocks: Sequence[Block]) -> Iterator[list[Block]]:
    """Split blocks, in order, so that no plan occurs twice in a pass: kernels see every sample, one at a time per tag."""
    taken: set[int] = set()
    current: list[Block] = []
    for block in blocks:
        if block.plan in taken:
            yield current
            taken, current = set(), []
        if block.codec is not _CONFIRMED:  # brings no sample
            taken.add(block.plan)
        current.append(block)
    if current:
        yield current


def take(
    state: State,
    site: Site,
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
        site: what the state was made for.
        kernels: bound to the state.
        blocks: of one pass; in a later turn, those the turn before returned.
        now_wall_ns: time of the cycle.
        turn: which sample of each tag, from 0.

    Returns:
        How many rows are on the fresh list, and the blocks with samples for a later turn.
    """
    fresh = 0
    unfinished: list[Block] = []
    text_rows = state.text_rows
    for block in blocks:
        if block.lost:
            fresh = _take_around(state, site, kernels, block, fresh, now_wall_ns)
            continue
        first, count = state.plan_first[block.plan], len(site.plans[block.plan].rows)
        if block.codec is _CONFIRMED:
            kernels["confirm"](first, count, block.response_mono_ns)
            continue
        result = _decode(state, kernels, block, (first, count, fresh), now_wall_ns, turn)
        if result >= 0 and block.codec is _NOTIFICATION and state.column("out.value")[_MORE]:
            unfinished.append(block)
        if result < 0:
            result = kernels["mark_lost"](
                first,
                count,
                fresh,
                block.response_time_ns,
                now_wall_ns,
                state.pass_number,
                block.status or quality.BAD_DECODING,
            )
        elif text_rows and block.plan in text_rows:
            take_texts(state, block, [row for _, row in text_rows[block.plan]])
        fresh = result
    return fresh, unfinished


def _decode(
    state: State,
    kernels: Mapping[str, BoundKernel],
    block: Block,
    span: tuple[int, int, int],
    now_wall_ns: int,
    turn: int,
) -> int:
    """Copy a payload into the inbox and call its kernel; negative when nothing can be decoded."""
    size = len(block.payload)
    if block.codec not in _DECODER or size > INBOX_BYTES:
        return -1
    state.column("inbox.byte")[:size] = block.payload
    times = (block.response_time_ns, block.response_mono_ns, now_wall_ns, state.pass_number)
    turns = (turn,) if block.codec is _NOTIFICATION else ()
    return kernels[_DECODER[block.codec]](0, size, *span, *times, *turns)


def _take_around(
    state: State, site: Site, kernels: Mapping[str, BoundKernel], block: Block, fresh: int, now_wall_ns: int
) -> int:
    """Decode a block that lacks some rows of its plan: what is there as ever, run by run, the others as lost."""
    at = state.plan_first[block.plan]
    texts = state.text_rows.get(block.plan, ())
    for first, rows, status in _runs(block, len(site.plans[block.plan].rows)):
        result = -1
        if not status:
            result = _decode(state, kernels, block, (at + first, rows, fresh), now_wall_ns, 0)
        if result < 0:
            result = kernels["mark_lost"](
                at + first,
                rows,
                fresh,
                block.response_time_ns,
                now_wall_ns,
                state.pass_number,
                status or block.status or quality.BAD_DECODING,
            )
        else:
            take_texts(state, block, [row for place, row in texts if first <= place < first + rows])
        fresh = result
    return fresh


def _runs(block: Block, count: int) -> Iterator[tuple[int, int, int]]:
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
