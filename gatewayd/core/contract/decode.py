"""Blocks into columns: one kernel call per block, no object per sample."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from gatewayd.core.kernels import BoundKernel
from gatewayd.core.site import Site
from gatewayd.core.state import INBOX_BYTES, State
from gatewayd.model import quality
from gatewayd.model.block import Block, Codec

_DECODER = {
    Codec.MODBUS_REGISTERS: "decode_modbus_registers",
    Codec.MODBUS_BITS: "decode_modbus_bits",
    Codec.OPCUA_READ: "decode_opcua",
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
        taken.add(block.plan)
        current.append(block)
    if current:
        yield current


def take(
    state: State, site: Site, kernels: Mapping[str, BoundKernel], blocks: Sequence[Block], *, now_wall_ns: int
) -> int:
    """Decode a pass of blocks into the twin; return how many rows are on the fresh list.

    A payload that cannot be decoded, or is larger than the inbox, turns its own rows Bad and harms no other.
    """
    fresh = 0
    inbox = state.column("inbox.byte")
    for block in blocks:
        first, count = state.plan_first[block.plan], len(site.plans[block.plan].rows)
        size = len(block.payload)
        result = -1
        if block.codec in _DECODER and size <= INBOX_BYTES:
            inbox[:size] = block.payload
            result = kernels[_DECODER[block.codec]](
                0,
                size,
                first,
                count,
                fresh,
                block.response_time_ns,
                block.response_mono_ns,
                now_wall_ns,
                state.pass_number,
            )
        if result < 0:
            status = block.status or quality.BAD_DECODING
            result = kernels["mark_lost"](
                first,
                count,
                fresh,
                block.response_time_ns,
                now_wall_ns,
                state.pass_number,
                status,
            )
        fresh = result
    return fresh
