"""The checks of a full tile's 256 records that need no other tile, done for all of them at once.

Whoever verifies asks here first: what is sound is said to be so in a fraction of the time. Of a tile that is not, nothing is
said; then each record is looked at by itself, and the first bad one is named.
"""

from __future__ import annotations

from hashlib import sha256
from typing import NamedTuple

from gatewayd.errors import GatewayError
from gatewayd.journal import tail
from gatewayd.journal.audit.index_check import Told, times_problem
from gatewayd.journal.leaf import PERSONAL_FIELDS, decode_personal, wrong_personal_field
from gatewayd.journal.tiles import index
from gatewayd.journal.tiles.bundle import NO_SLICES, Entries, slice_key
from gatewayd.journal.tiles.look import TileLook, add_tags
from gatewayd.journal.tiles.scan import TileScan
from gatewayd.model.record import Kind, Leaf
from gatewayd.proof.tiles import TILE_WIDTH, TileNodes
from gatewayd.store.tables import Table, from_u64, u64
from gatewayd.store.transaction import Reading

_BLOCK = int(Kind.BLOCK)
_LOG_CARE = frozenset((int(Kind.KEY_ROTATED), int(Kind.PRUNED)))


class SoundTile(NamedTuple):
    """A full tile whose records are sound as far as it can say alone.

    Args:
        entries: bytes of each leaf.
        hashes: leaf hash of each, as the tile of the tree holds them.
        nodes: over the hashes.
        decisions: decision id -> seq, both rising.
        outcomes: (decision id, seq).
        blocks: records of flight-recorder blocks, whose blocks were not looked at.
        log_care: records that say something of the log's keys or how far it was pruned, which was not compared.
        redacted: personal texts of which only the hash is left.
        evidence_missing: slices that are cited and not kept.
    """

    entries: list[bytes]
    hashes: list[bytes]
    nodes: TileNodes
    decisions: dict[int, int]
    outcomes: list[tuple[int, int]]
    blocks: list[Leaf]
    log_care: list[Leaf]
    redacted: int
    evidence_missing: int

    def without_records(self) -> SoundTile:
        """Return what is small enough to be sent from one process to another."""
        return self._replace(entries=[], hashes=[])


def sound_tile(reading: Reading, scan: TileScan, tile: int, told: Told | None = None) -> SoundTile | None:
    """Return a full tile in a bundle if it is sound; None if each record must be looked at.

    Args:
        reading: the transaction.
        scan: the compiled pass.
        tile: index of the tile.
        told: what the index says in this transaction, for whoever looks at more tiles in it.
    """
    try:
        look = TileLook(scan, tile, Entries(reading).bundle(tile) or b"")
        check = _Check(reading, look, tile)
        return check.found() if check.is_sound(told or Told(reading)) else None
    except (GatewayError, ValueError):
        return None


class _Check:
    """One tile, compared with what the tables say of it."""

    def __init__(self, reading: Reading, look: TileLook, tile: int) -> None:
        self._reading = reading
        self._look = look
        self._tile = tile
        self._hashes = [sha256(b"\x00" + leaf).digest() for leaf in look.entries]
        self._joined = b"".join(self._hashes)
        self._cited = 0
        self._kept = 0

    def is_sound(self, told: Told) -> bool:
        """Compare hashes, order, evidence and index."""
        if self._joined != self._reading.get(Table.TILE, tail.tile_key(0, self._tile)):
            return False
        ids = [id_ for id_, _ in self._look.decisions]
        if ids != sorted(set(ids)):
            return False
        tags = self._tags_of_sound_slices()
        if tags is None:
            return False
        if not told.agrees(self._tile, self._look.indexed(tags), is_evidence_kept=self._kept == self._cited):
            return False
        is_last = (self._tile + 1) % TILE_WIDTH == 0
        return not is_last or not times_problem(self._reading, self._tile // TILE_WIDTH)

    def found(self) -> SoundTile:
        """Return the tile.

        Raises:
            ValueError: a personal text is not that of its record.
        """
        look, first = self._look, self._look.first
        return SoundTile(
            entries=look.entries,
            hashes=self._hashes,
            nodes=TileNodes(self._joined),
            decisions={id_: first + place for id_, place in look.decisions},
            outcomes=[(id_, first + place) for id_, place in look.outcomes],
            blocks=[look.leaf(place) for place, kind in enumerate(look.kinds) if kind == _BLOCK],
            log_care=[look.leaf(place) for place, kind in enumerate(look.kinds) if kind in _LOG_CARE],
            redacted=self._redacted(),
            evidence_missing=self._cited - self._kept,
        )

    def _tags_of_sound_slices(self) -> index.Rows | None:
        """Compare the evidence that is kept with the hashes that records cite; return which tags it holds samples of.

        None if a slice has another hash.
        """
        packed = Entries(self._reading).slice_bundle(self._tile) or NO_SLICES
        tags, cited = self._look.slices(packed)
        self._cited = len(cited)
        for place, at, start, end, is_known in cited:
            slice_ = (
                packed[start:end] if end else self._reading.get(Table.EVIDENCE, slice_key(self._look.first + place))
            )
            if slice_ is None:
                continue
            self._kept += 1
            if sha256(slice_).digest() != self._look.digest(place, at):
                return None
            if not is_known:
                add_tags(tags, place, slice_)
        return tags

    def _redacted(self) -> int:
        """Return how many personal texts are gone."""
        hashed, first = self._look.hashed, self._look.first
        last = u64(first + TILE_WIDTH)
        for key, row in self._reading.scan(Table.PERSONAL, first=u64(first), below=last, limit=TILE_WIDTH + 1):
            texts = decode_personal(row)
            body = self._look.leaf(from_u64(key) - first).body
            if len(key) != len(last) or wrong_personal_field(body, texts) is not None:
                raise ValueError("a text is not that of its record")
            hashed -= len([field for field in texts if field in PERSONAL_FIELDS])
        return hashed
