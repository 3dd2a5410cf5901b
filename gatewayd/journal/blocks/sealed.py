"""Reads the flight recorder's sealed blocks from a store, also beside a running daemon: the inputs of past cycles."""

from __future__ import annotations

from typing import NamedTuple

import msgspec

from gatewayd.errors import UNDECODABLE, JournalDamaged, StoreError
from gatewayd.journal import blob
from gatewayd.journal.blocks.recorder import BlockEntry
from gatewayd.journal.blocks.stored_block import unpack
from gatewayd.journal.care.pruned import pruned_state
from gatewayd.journal.leaf import decode_leaf
from gatewayd.journal.tiles.bundle import Entries
from gatewayd.model.decision import Inputs
from gatewayd.model.record import BlockSealed
from gatewayd.store.env import Store
from gatewayd.store.tables import Table, from_u64
from gatewayd.store.transaction import SCAN_ROWS_MAX

_entry_decoder = msgspec.msgpack.Decoder(BlockEntry)
_inputs_decoder = msgspec.msgpack.Decoder(Inputs)


class Sealed(NamedTuple):
    """One sealed block.

    Args:
        seq: of the record that cites it.
        digest: SHA-256 of its bytes.
    """

    first_cycle: int
    last_cycle: int
    seq: int
    digest: bytes


def sealed_blocks(store: Store) -> tuple[Sealed, ...]:
    """Return the blocks that are kept and whose record is, too, in the order in which they were sealed.

    Raises:
        JournalDamaged: the index cannot be read.
    """
    rows = store.read(lambda reading: reading.scan(Table.BLOCK_INDEX, limit=SCAN_ROWS_MAX))
    first = store.read(pruned_state).end
    try:
        entries = [(key, _entry_decoder.decode(value)) for key, value in rows]
    except UNDECODABLE as error:
        raise _damaged(f"the index of the flight recorder cannot be read: {error}") from error
    found = [Sealed(from_u64(key), entry.last_cycle, from_u64(key[8:]), entry.digest) for key, entry in entries]
    return tuple(sorted((block for block in found if block.seq >= first), key=lambda block: block.seq))


def inputs_of(store: Store, block: Sealed) -> list[Inputs]:
    """Return the inputs of a block's cycles; none if it has expired since it was listed.

    Raises:
        JournalDamaged: it is not what was sealed.
    """
    content = store.get(Table.BLOCK, block.digest)
    if content is None:
        return []
    try:
        return [_inputs_decoder.decode(encoded) for encoded in unpack(content, block.digest)]
    except UNDECODABLE as error:
        raise _damaged(f"flight-recorder block {block.digest.hex()[:16]}: {error}") from error


def site_digest_of(store: Store, block: Sealed) -> bytes:
    """Return the digest of the site whose read plans a block's inputs mean.

    Raises:
        JournalDamaged: the record that cites the block is not there, or another.
    """
    try:
        body = decode_leaf(store.read(lambda reading: Entries(reading).leaf(block.seq)) or b"").body
    except ValueError as error:
        raise _damaged(f"record {block.seq}: {error}") from error
    if not isinstance(body, BlockSealed) or body.digest != block.digest:
        raise _damaged(f"record {block.seq} does not cite the block of cycle {block.first_cycle}")
    return body.plans_digest


def site_bytes_of(store: Store, digest: bytes) -> bytes:
    """Return a configuration that the gateway ran with.

    Raises:
        StoreError: it is not kept, or damaged.
    """
    packed = store.get(Table.BLOB, digest)
    if packed is None:
        raise StoreError(
            f"the configuration {digest.hex()[:16]} of these cycles is not kept",
            remedy="Use the very site that the gateway ran with, or a recording as CSV.",
        )
    try:
        return blob.unpack(packed, digest)
    except ValueError as error:
        raise _damaged(f"configuration {digest.hex()[:16]}: {error}") from error


def _damaged(what: str) -> JournalDamaged:
    return JournalDamaged(what, remedy="Run `gatewayd journal verify`; it names the first bad record.")
