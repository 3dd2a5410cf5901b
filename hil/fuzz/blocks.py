"""Blocks of the flight recorder: as they are stored, and heads that lie about sections which fit them."""

from __future__ import annotations

import re
from collections.abc import Callable
from hashlib import sha256

import msgspec

from gatewayd.errors import UNDECODABLE, JournalDamaged
from gatewayd.journal.blocks import columnar
from gatewayd.journal.blocks.columnar import Malformed, Packer
from gatewayd.journal.blocks.stored_block import PLAIN_BYTES_MAX, unpack
from gatewayd.model.block import Block, Codec
from gatewayd.model.decision import Inputs, Stop

FITTED_BYTES_MAX = 1 << 20
_encode = msgspec.msgpack.encode


def _cycles(count: int) -> list[bytes]:
    recorded = []
    for cycle in range(count):
        at = cycle * 1_000_000_000 + cycle * cycle % 7000
        blocks = [
            Block(
                plan, Codec.MODBUS_REGISTERS, 10**18 + at, 10**18 + at + plan, at + plan, bytes((cycle, plan, 7, 255))
            )
            for plan in range(1 + cycle % 3)
        ]
        blocks.append(Block(7, Codec.OPCUA_NOTIFICATION, at, at + 9, at, b"text" * (cycle % 5)))
        requests = (Stop("fuzz"),) if cycle == 2 else ()
        recorded.append(_encode(Inputs(cycle, 10**18 + at + 9, at + 9, tuple(blocks), (), requests)))
    return recorded


def _packed(count: int) -> bytes:
    content = Packer().pack(_cycles(count))
    assert content is not None
    return content


def corpus() -> list[bytes]:
    """Return blocks as they are stored, and with sections that are not compressed."""
    stored = [_packed(count) for count in (1, 3, 20, 60)]
    return stored + [bytes((columnar.VERSION,)) + _encode(_bare(content)) for content in stored]


def heads() -> list[bytes]:
    """Return the heads of blocks."""
    return [_bare(_packed(count))[0][1] for count in (1, 3, 20, 60)]


def _bare(content: bytes) -> list[tuple[int, bytes]]:
    sections = columnar._expanded(columnar._sections_decoder.decode(content[1:]))
    return [(len(section), section) for section in sections]


def stored() -> Callable[[bytes], str]:
    """A block with the hash that the journal cites, whatever is in it."""

    def run(content: bytes) -> str:
        try:
            cycles = unpack(content, sha256(content).digest())
        except JournalDamaged as error:
            return re.sub(r"[0-9a-fx]*[0-9][0-9a-fx]*", "#", str(error).partition(": ")[2])[:80]
        return _within_bounds(cycles)

    return run


def fitted() -> Callable[[bytes], str]:
    """A head, and sections of exactly the sizes that it asks for, so that it is followed as far as it leads."""

    def run(content: bytes) -> str:
        try:
            head = columnar._head_decoder.decode(content)
            columnar._check(head)
            sizes = [
                0,
                0,
                sum(uses * shape.size for uses, shape in zip(columnar._uses(head), head.shapes, strict=True)),
            ]
            for series in head.series:
                sizes[bool(series.width)] += series.size
            if sum(sizes) > FITTED_BYTES_MAX:
                return "large"
            sections = [content, *((content * (1 + size // max(1, len(content))))[:size] for size in sizes)]
            block = bytes((columnar.VERSION,)) + _encode([(len(section), section) for section in sections])
            return _within_bounds(columnar.unpack(block))
        except (Malformed, *UNDECODABLE) as error:
            return re.sub(r"[0-9]+", "#", str(error))[:80]

    return run


def _within_bounds(cycles: list[msgspec.Raw]) -> str:
    size = sum(len(bytes(cycle)) for cycle in cycles)
    assert size <= PLAIN_BYTES_MAX, f"{size} bytes out of a block"
    return f"ok {len(cycles)} {size.bit_length()}"
