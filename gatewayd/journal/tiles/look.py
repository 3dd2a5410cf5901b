"""A full tile's records, by one compiled pass, and what they are found by. What the pass does not know is decoded here."""

from __future__ import annotations

from collections.abc import Iterable

from gatewayd.journal.leaf import PERSONAL_FIELDS, decode_leaf
from gatewayd.journal.tiles import index
from gatewayd.journal.tiles.scan import TileScan
from gatewayd.model.record import Decision, Kind, Leaf, Outcome, kind_of
from gatewayd.proof.merkle import HASH_SIZE
from gatewayd.proof.tiles import TILE_WIDTH
from gatewayd.store.tables import u64

Cited = tuple[int, int, int, int, int]  # place, where the hash stands, [start, end) of the slice (0 = elsewhere), known


class TileLook:
    """One tile; ask for the evidence before anybody looks at another tile with the same pass.

    Args:
        scan: the compiled pass.
        tile: index of the tile.
        bundle: its records, each after its length.

    Attributes:
        first: seq of its first record.
        entries: bytes of each record.
        kinds: of each record.
        decisions: (decision id, place), by place.
        outcomes: the same of outcomes.
        hashed: personal texts of which the records have hashes.

    Raises:
        ValueError: it is no full tile of records that can be decoded.
    """

    def __init__(self, scan: TileScan, tile: int, bundle: bytes) -> None:
        self._scan = scan
        self._tile = tile
        self._bundle = bundle
        self.first = TILE_WIDTH * tile
        terms = scan.leaves(bundle, self.first)
        if terms < 0:
            raise ValueError("it is no full tile")
        bounds = zip(scan.column("start"), scan.column("end"), strict=True)
        self.entries = [bundle[start:end] for start, end in bounds]
        self.kinds, self._ids, self._walls = scan.column("kind"), scan.column("id"), scan.column("wall")
        personal = scan.column("personal")
        self._places = dict(scan.places(bundle, terms))
        self._decoded = {place: self.leaf(place) for place, is_sound in enumerate(scan.column("sound")) if not is_sound}
        for place, leaf in self._decoded.items():
            self.kinds[place], self._walls[place] = kind_of(leaf.body), leaf.wall_ns
            self._ids[place] = leaf.body.decision_id if isinstance(leaf.body, Decision | Outcome) else 0
            personal[place] = sum(1 for field in PERSONAL_FIELDS if getattr(leaf.body, field, b""))
            scan.cite(place, cites=bool(getattr(leaf.body, "evidence", b"")))
            _add(self._places, index.marks_of(leaf.body).terms, place)
        self.decisions, self.outcomes = self._of_kind(Kind.DECISION), self._of_kind(Kind.OUTCOME)
        self.hashed = sum(personal)

    def leaf(self, place: int) -> Leaf:
        """Decode the record at a place."""
        leaf = decode_leaf(self.entries[place])
        if leaf.seq != self.first + place:
            raise ValueError(f"record {leaf.seq} stands at {self.first + place}")
        return leaf

    def indexed(self, tags: index.Rows) -> index.TileIndex:
        """Return what the index says of the tile, given what it says of its evidence."""
        rows = {index.outcome_key(id_, self.first + place): b"" for id_, place in self.outcomes}
        rows[index.span_key(0, self._tile)] = index.span_row(min(self._walls), max(self._walls))
        if self.decisions:
            rows[index.decision_key(self.decisions[0][0])] = u64(self._tile)
        return index.TileIndex(rows, self._places, tags)

    def _of_kind(self, kind: Kind) -> list[tuple[int, int]]:
        wanted = int(kind)  # comparing with a member of an enumeration takes three times as long
        return [(self._ids[place], place) for place, each in enumerate(self.kinds) if each == wanted]

    def slices(self, packed: bytes) -> tuple[index.Rows, list[Cited]]:
        """Look at the evidence that stands in the tile's bundle of slices.

        Args:
            packed: MessagePack from place to slice.

        Returns:
            What the index says of the slices that the pass knows, and all records that cite evidence.

        Raises:
            ValueError: it is none, or has a slice that no record cites.
        """
        terms = self._scan.slices(packed)
        if terms < 0:
            raise ValueError("it is no evidence of these records")
        columns = [self._scan.column(name) for name in ("evidence", "slice_start", "slice_end", "slice_sound")]
        cited = [(place, *row) for place, row in enumerate(zip(*columns, strict=True)) if row[0]]
        return dict(self._scan.places(packed, terms)), cited

    def digest(self, place: int, at: int) -> bytes:
        """Return the SHA-256 of its evidence that a record cites, at a place of the tile and of the bundle."""
        leaf = self._decoded.get(place)
        if leaf is None:
            return self._bundle[at : at + HASH_SIZE]
        digest: bytes = getattr(leaf.body, "evidence", b"")
        return digest


def add_tags(tags: index.Rows, place: int, slice_: bytes) -> None:
    """Add the tags of a slice that the pass does not know to what the index says."""
    _add(tags, {index.tag_term(tag) for tag in index.tags_of(slice_)}, place)


def _add(places: index.Rows, terms: Iterable[bytes], place: int) -> None:
    """Add a place to the packed places of terms."""
    for term in terms:
        places[term] = index.packed(index.unpacked(places.get(term, b"")) | 1 << place)
