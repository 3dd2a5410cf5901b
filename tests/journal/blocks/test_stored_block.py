"""Blocks as they are stored: those of every version are read, and none can do harm."""

from __future__ import annotations

from hashlib import sha256
from pathlib import Path

import msgspec
import pytest
import zstandard

from gatewayd.errors import JournalDamaged
from gatewayd.journal.blocks.columnar import Packer
from gatewayd.journal.blocks.stored_block import CYCLES_MAX, pack, unpack
from gatewayd.model.block import Block, Codec
from gatewayd.model.decision import Inputs, OutcomeResult, WriteOutcome

SECOND = 1_000_000_000
encode = msgspec.msgpack.encode
GOLDEN = Path(__file__).parents[2] / "golden" / "blocks"


@pytest.mark.parametrize("version", [1, 2])
def test_blocks_of_every_version_are_read_for_ever(version):
    """Files of once: three cycles of two plans, one of them with an outcome. Only a new version adds a file."""
    content = (GOLDEN / f"version-{version}.bin").read_bytes()
    assert [bytes(cycle) for cycle in unpack(content, sha256(content).digest())] == [encode(i) for i in _kept_once()]


def _kept_once() -> list[Inputs]:
    recorded = []
    for cycle in range(3):
        at = cycle * SECOND + 1_000_003 * cycle
        registers = Block(0, Codec.MODBUS_REGISTERS, 10**18 + at, 10**18 + at + 9, at + 9, bytes((cycle, 7, 1, 255)))
        text = Block(1, Codec.OPCUA_READ, 10**18 + at, 10**18 + at + 8, at + 8, b"ab" * cycle, 0, ((1, 2, 0x80340000),))
        outcomes = (WriteOutcome(4, 0, OutcomeResult.VERIFIED, 2.5, 2.5, 8, 9),) if cycle == 1 else ()
        recorded.append(Inputs((3 << 40) + cycle, 10**18 + at + 100, at + 100, (registers, text), outcomes))
    return recorded


@pytest.mark.parametrize(("wall_ns", "is_columns"), [(5, True), (-5, False)])
def test_cycles_that_fit_no_columns_are_stored_one_after_the_other(wall_ns, is_columns):
    encoded = [encode(Inputs(1, wall_ns, 7))]
    content, digest = pack(Packer(), encoded)
    assert digest == sha256(content).digest()
    assert content.startswith(b"\x02") is is_columns
    assert content.startswith(zstandard.FRAME_HEADER) is not is_columns
    assert [bytes(cycle) for cycle in unpack(content, digest)] == encoded


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"not zstd",
        zstandard.ZstdCompressor().compress(bytes(64 << 20)),
        zstandard.ZstdCompressor(write_content_size=False).compress(bytes(100)),
        zstandard.ZstdCompressor().compress(b"\xc1"),
        zstandard.ZstdCompressor().compress(msgspec.msgpack.encode({"no": "block"})),
        zstandard.ZstdCompressor().compress(msgspec.msgpack.encode([1, [0] * (CYCLES_MAX + 1)])),
        b"\x02" + bytes(40),
    ],
    ids=["empty", "no zstd", "bomb", "unknown size", "no msgpack", "no block", "a million cycles", "no columns"],
)
def test_a_block_with_the_right_hash_and_hostile_content_is_refused(content):
    with pytest.raises(JournalDamaged):
        unpack(content, sha256(content).digest())
