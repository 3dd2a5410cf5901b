"""The checks of a full tile's 256 records that need no other tile, done for all of them at once.

Whoever verifies asks here first: what is sound is said to be so in a fraction of the time. Of a tile that is not, nothing is
said; then each record is looked at by itself, and the first bad one is named.
"""

from __future__ import annotations

from collections.abc import Iterable
from hashlib import sha256
from typing import NamedTuple

from gatewayd.errors import GatewayError
from gatewayd.journal import index, tail
from gatewayd.journal.audit.index_check import Told, times_problem
from gatewayd.journal.audit.scan import TileScan
from gatewayd.journal.audit.shape import PERSONAL_FIELDS
from gatewayd.journal.bundle import Entries, slice_key
from gatewayd.journal.leaf import decode_leaf, decode_personal, wrong_personal_field
from gatewayd.model.record import Decision, Kind, Leaf, Outcome, kind_of
from gatewayd.proof.merkle import HASH_SIZE
from gatewayd.proof.tiles import TILE_WIDTH, TileNodes
from gatewayd.store.tables import Table, from_u64, u64
from gatewayd.store.transaction import Reading


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
        look = _Look(reading, scan, tile, Told(reading) if told is None else told)
        return look.found() if look.is_sound() else None
    except (GatewayError, ValueError):
        return None


class _Look:
    """One tile, as the compiled pass found it; what that did not pass is decoded here.

    Raises:
        ValueError: it is no full tile of records.
    """

    def __init__(self, reading: Reading, scan: TileScan, tile: int, told: Told) -> None:
        self._reading = reading
        self._told = told
        self._scan = scan
        self._tile = tile
        self._first = TILE_WIDTH * tile
        self._bundle = Entries(reading).bundle(tile) or b""
        self._terms = scan.leaves(self._bundle, self._first)
        if self._terms < 0:
            raise ValueError("it is no full tile")
        bounds = zip(scan.column("start"), scan.column("end"), strict=True)
        self._entries = [self._bundle[start:end] for start, end in bounds]
        self._hashes = [sha256(b"\x00" + leaf).digest() for leaf in self._entries]
        self._joined = b"".join(self._hashes)
        self._decoded = {place: self._leaf(place) for place, ok in enumerate(scan.column("sound")) if not ok}
        self._kinds, self._walls = scan.column("kind"), scan.column("wall")
        self._ids = scan.column("id")
        for place, leaf in self._decoded.items():
            self._kinds[place], self._walls[place] = kind_of(leaf.body), leaf.wall_ns
            self._ids[place] = leaf.body.decision_id if isinstance(leaf.body, Decision | Outcome) else 0
            scan.cite(place, cites=bool(getattr(leaf.body, "evidence", b"")))
        self._decisions = self._of_kind(Kind.DECISION)
        self._outcomes = self._of_kind(Kind.OUTCOME)
        self._cited = 0
        self._kept = 0

    def is_sound(self) -> bool:
        """Compare the tile with what the tables say of it."""
        if self._joined != self._reading.get(Table.TILE, tail.tile_key(0, self._tile)):
            return False
        ids = [id_ for id_, _ in self._decisions]
        if ids != sorted(set(ids)):
            return False
        places = dict(self._scan.places(self._bundle, self._terms))
        tags = self._tags_of_sound_slices()
        if tags is None:
            return False
        for place, leaf in self._decoded.items():
            _add(places, index.marks_of(leaf.body).terms, place)
        found = index.TileIndex(self._rows(), places, tags)
        if not self._told.agrees(self._tile, found, is_evidence_kept=self._kept == self._cited):
            return False
        is_last = (self._tile + 1) % TILE_WIDTH == 0
        return not is_last or not times_problem(self._reading, self._tile // TILE_WIDTH)

    def found(self) -> SoundTile:
        """Return the tile."""
        first, kinds = self._first, self._kinds
        return SoundTile(
            entries=self._entries,
            hashes=self._hashes,
            nodes=TileNodes(self._joined),
            decisions={id_: first + place for id_, place in self._decisions},
            outcomes=[(id_, first + place) for id_, place in self._outcomes],
            blocks=[self._leaf(place) for place, kind in enumerate(kinds) if kind == Kind.BLOCK],
            log_care=[self._leaf(place) for place, kind in enumerate(kinds) if kind in _LOG_CARE],
            redacted=self._redacted(),
            evidence_missing=self._cited - self._kept,
        )

    def _leaf(self, place: int) -> Leaf:
        leaf = decode_leaf(self._entries[place])
        if leaf.seq != self._first + place:
            raise ValueError(f"record {leaf.seq} stands at {self._first + place}")
        return leaf

    def _of_kind(self, kind: Kind) -> list[tuple[int, int]]:
        """Return (decision id, place) of the records of a kind."""
        wanted = int(kind)  # comparing with a member of an enumeration takes three times as long
        return [(self._ids[place], place) for place, each in enumerate(self._kinds) if each == wanted]

    def _rows(self) -> index.Rows:
        """Return the rows of the index that are the tile's own."""
        rows = {index.outcome_key(id_, self._first + place): b"" for id_, place in self._outcomes}
        rows[index.span_key(0, self._tile)] = index.span_row(min(self._walls), max(self._walls))
        if self._decisions:
            rows[index.decision_key(self._decisions[0][0])] = u64(self._tile)
        return rows

    def _tags_of_sound_slices(self) -> index.Rows | None:
        """Compare the evidence that is kept with the hashes that records cite; return which tags it holds samples of.

        None if a slice has another hash.
        """
        packed = Entries(self._reading).slice_bundle(self._tile) or b"\x80"
        terms = self._scan.slices(packed)
        if terms < 0:
            return None
        tags = dict(self._scan.places(packed, terms))
        columns = [self._scan.column(name) for name in ("evidence", "slice_start", "slice_end", "slice_sound")]
        for place, (at, start, end, is_sound) in enumerate(zip(*columns, strict=True)):
            if not at:
                continue
            self._cited += 1
            slice_ = packed[start:end] if end else self._reading.get(Table.EVIDENCE, slice_key(self._first + place))
            if slice_ is None:
                continue
            self._kept += 1
            digest = self._digest(place) if place in self._decoded else self._bundle[at : at + HASH_SIZE]
            if sha256(slice_).digest() != digest:
                return None
            if not is_sound:
                _add(tags, {index.tag_term(tag) for tag in index.tags_of(slice_)}, place)
        return tags

    def _digest(self, place: int) -> bytes:
        """Return the hash that a record cites which was decoded."""
        digest: bytes = getattr(self._decoded[place].body, "evidence", b"")
        return digest

    def _redacted(self) -> int:
        """Return how many personal texts are gone.

        Raises:
            ValueError: one that is here has another hash than the record says.
        """
        hashed = sum(self._scan.column("personal"))
        for place, leaf in self._decoded.items():
            hashed += _hashes_in(leaf) - self._scan.column("personal")[place]
        last = u64(self._first + TILE_WIDTH)
        for key, row in self._reading.scan(Table.PERSONAL, first=u64(self._first), below=last, limit=TILE_WIDTH + 1):
            texts = decode_personal(row)
            body = self._leaf(from_u64(key) - self._first).body
            if len(key) != len(last) or wrong_personal_field(body, texts) is not None:
                raise ValueError("a text is not that of its record")
            hashed -= len([field for field in texts if field in PERSONAL_FIELDS])
        return hashed


_LOG_CARE = frozenset((Kind.KEY_ROTATED, Kind.PRUNED))


def _hashes_in(leaf: Leaf) -> int:
    return sum(1 for field in PERSONAL_FIELDS if getattr(leaf.body, field, b""))


def _add(places: index.Rows, terms: Iterable[bytes], place: int) -> None:
    """Add a place to packed places of terms."""
    for term in terms:
        places[term] = index.packed(index.unpacked(places.get(term, b"")) | 1 << place)
