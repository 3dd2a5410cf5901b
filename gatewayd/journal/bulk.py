"""The checks of a full tile's 256 records that need no other tile, done for all of them at once.

Whoever verifies asks here first: what is sound is said to be so in a fifth of the time. Of a tile that is not, or that holds
anything out of the ordinary, nothing is said; then each record is looked at by itself, and the first bad one is named.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from hashlib import sha256
from typing import NamedTuple, get_args

import msgspec

from gatewayd.errors import GatewayError
from gatewayd.journal import index, tail
from gatewayd.journal.bundle import Entries
from gatewayd.journal.care.pruned import pruned_state
from gatewayd.journal.leaf import LEAF_BYTES_MAX, LEAF_PREFIX, decode_personal, wrong_personal_field
from gatewayd.model.record import AnyBody, BlockSealed, Decision, KeyRotated, Leaf, Outcome, Pruned
from gatewayd.proof.tiles import TILE_WIDTH
from gatewayd.store.tables import Table, from_u64, u64
from gatewayd.store.transaction import Reading

PERSONAL_FIELDS = ("reason_text", "actor_name")

_PERSONAL = frozenset(body for body in get_args(AnyBody) if set(PERSONAL_FIELDS) & set(body.__struct_fields__))
_leaf_decoder = msgspec.msgpack.Decoder(Leaf)


class SoundTile(NamedTuple):
    """A full tile whose records are sound as far as it can say alone.

    Args:
        entries: bytes of each leaf.
        hashes: leaf hash of each, as the tile of the tree holds them.
        decisions: decision id -> seq, both rising.
        outcomes: (decision id, seq).
        blocks: records of flight-recorder blocks, whose blocks were not looked at.
        log_care: records that say something of the log's keys or how far it was pruned, which was not compared.
        redacted: personal texts of which only the hash is left.
        evidence_missing: slices that are cited and not kept.
    """

    entries: list[bytes]
    hashes: list[bytes]
    decisions: dict[int, int]
    outcomes: list[tuple[int, int]]
    blocks: list[Leaf]
    log_care: list[Leaf]
    redacted: int
    evidence_missing: int


def sound_tile(reading: Reading, entries: Entries, tile: int) -> SoundTile | None:
    """Return a full tile in a bundle if it is sound; None if each record must be looked at."""
    first = TILE_WIDTH * tile
    try:
        found = tail.leaves_of(entries, first, TILE_WIDTH)
        leaves = _leaves(found, first)
        hashes = [sha256(b"\x00" + leaf).digest() for leaf in found]
        if leaves is None or b"".join(hashes) != reading.get(Table.TILE, tail.tile_key(0, tile)):
            return None
        slices = _sound_slices(entries, leaves, tile)
        redacted = _redacted(reading, leaves)
    except (GatewayError, ValueError):
        return None
    ids = [leaf.body.decision_id for leaf in leaves if type(leaf.body) is Decision]
    if slices is None or redacted is None or ids != sorted(set(ids)):
        return None
    if index_problem(reading, tile, leaves, slices):
        return None
    return SoundTile(
        entries=found,
        hashes=hashes,
        decisions={leaf.body.decision_id: leaf.seq for leaf in leaves if type(leaf.body) is Decision},
        outcomes=[(leaf.body.decision_id, leaf.seq) for leaf in leaves if type(leaf.body) is Outcome],
        blocks=[leaf for leaf in leaves if type(leaf.body) is BlockSealed],
        log_care=[leaf for leaf in leaves if type(leaf.body) is KeyRotated or type(leaf.body) is Pruned],
        redacted=redacted,
        evidence_missing=sum(1 for leaf in leaves if getattr(leaf.body, "evidence", b"")) - len(slices),
    )


def _leaves(found: Sequence[bytes], first: int) -> list[Leaf] | None:
    """Decode the records of a tile; None if one cannot be, is elsewhere, or is missing."""
    if len(found) != TILE_WIDTH or {data[:2] for data in found} != {LEAF_PREFIX}:
        return None
    if max(map(len, found)) > LEAF_BYTES_MAX:
        return None
    try:
        leaves = [_leaf_decoder.decode(data[2:]) for data in found]
    except msgspec.MsgspecError:
        return None
    return leaves if [leaf.seq for leaf in leaves] == list(range(first, first + TILE_WIDTH)) else None


def _sound_slices(entries: Entries, leaves: Sequence[Leaf], tile: int) -> dict[int, bytes] | None:
    """Return the evidence that is kept, by place; None if one has another hash than the record cites."""
    bundled = entries.slices(tile)
    found: dict[int, bytes] = {}
    for place, leaf in enumerate(leaves):
        digest = getattr(leaf.body, "evidence", b"")
        if not digest:
            continue
        slice_ = bundled.get(place)
        if slice_ is None:
            slice_ = entries.evidence(leaf.seq)
        if slice_ is not None:
            if sha256(slice_).digest() != digest:
                return None
            found[place] = slice_
    return found


def _redacted(reading: Reading, leaves: Sequence[Leaf]) -> int | None:
    """Return how many personal texts are gone; None if one that is here has another hash than the record says."""
    first = leaves[0].seq
    rows = dict(reading.scan(Table.PERSONAL, first=u64(first), below=u64(first + TILE_WIDTH), limit=TILE_WIDTH + 1))
    hashed = sum(
        1
        for leaf in leaves
        if type(leaf.body) in _PERSONAL
        for field in PERSONAL_FIELDS
        if getattr(leaf.body, field, b"")
    )
    for key, row in rows.items():
        texts = decode_personal(row)
        body = leaves[from_u64(key) - first].body
        if len(key) != len(u64(0)) or wrong_personal_field(body, texts) is not None:
            return None
        hashed -= len([field for field in texts if field in PERSONAL_FIELDS])
    return hashed


# --- the index --------------------------------------------------------------------------------------------------------


def index_problem(reading: Reading, tile: int, leaves: Sequence[Leaf], slices: Mapping[int, bytes]) -> str:
    """Compare what the index says of a tile with its records, so that it hides none of them; empty = nothing is wrong.

    Args:
        reading: the transaction.
        tile: its index.
        leaves: its records.
        slices: place -> evidence, as far as it is kept.
    """
    found = index.index_of(tile, _entries(leaves, slices))
    is_sound = all(reading.get(Table.INDEX, key) == row for key, row in found.rows.items())
    is_sound = is_sound and all(_places(reading, term, tile) == places for term, places in found.places.items())
    is_kept = sum(1 for leaf in leaves if getattr(leaf.body, "evidence", b"")) == len(slices)
    agrees = bytes.__eq__ if is_kept else _covers
    is_sound = is_sound and all(agrees(_places(reading, term, tile), places) for term, places in found.tags.items())
    if not is_sound:
        return f"the index of the {len(leaves)} records from here on is not theirs"
    if (tile + 1) % TILE_WIDTH == 0:
        return times_problem(reading, tile // TILE_WIDTH)
    return ""


def _entries(leaves: Sequence[Leaf], slices: Mapping[int, bytes]) -> Iterator[index.Entry]:
    for place, leaf in enumerate(leaves):
        yield index.Entry(place, index.marks_of(leaf.body), leaf.wall_ns, slices.get(place, b""))


def _places(reading: Reading, term: bytes, tile: int) -> bytes:
    key = index.term_key(term, tile)
    return dict(index.tiles_of(key, reading.get(Table.INDEX, key) or b"")).get(tile, b"")


def _covers(stored: bytes, places: bytes) -> bool:
    """Say whether all places are told; those of evidence that was pruned since are told, too."""
    return not index.unpacked(places) & ~index.unpacked(stored)


def times_problem(reading: Reading, group: int) -> str:
    """Compare the times over 256 tiles with those of the tiles, which have been compared with the records."""
    above = reading.get(Table.INDEX, index.span_key(1, group))
    keys = [index.span_key(0, tile) for tile in range(TILE_WIDTH * group, TILE_WIDTH * (group + 1))]
    rows = [row for key in keys if (row := reading.get(Table.INDEX, key)) is not None]
    if above is None or not rows:
        return ""
    over = index.span_over(rows)
    is_whole = pruned_state(reading).end <= TILE_WIDTH * TILE_WIDTH * group
    is_sound = above == over if is_whole else index.covers(above, over)  # that of pruned tiles went with them
    return "" if is_sound else f"the times that the index holds over {TILE_WIDTH} tiles are not theirs"
