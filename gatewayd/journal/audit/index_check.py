"""Does the index hide any record? What it says of a tile, compared with the tile's records, which have been checked."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from gatewayd.journal.care.pruned import pruned_state
from gatewayd.journal.tiles import index
from gatewayd.model.record import Leaf
from gatewayd.proof.tiles import TILE_WIDTH
from gatewayd.store.tables import Table
from gatewayd.store.transaction import Reading


def index_problem(reading: Reading, tile: int, leaves: Sequence[Leaf], slices: Mapping[int, bytes]) -> str:
    """Compare what the index says of a tile with its records; empty = nothing is wrong.

    Args:
        reading: the transaction.
        tile: its index.
        leaves: its records.
        slices: place -> evidence, as far as it is kept.
    """
    found = index.index_of(tile, _entries(leaves, slices))
    is_kept = sum(1 for leaf in leaves if getattr(leaf.body, "evidence", b"")) == len(slices)
    if not Told(reading).agrees(tile, found, is_evidence_kept=is_kept):
        return f"the index of the {len(leaves)} records from here on is not theirs"
    return times_problem(reading, tile // TILE_WIDTH) if (tile + 1) % TILE_WIDTH == 0 else ""


class Told:
    """What the index table says, in one transaction. Rows that 16 tiles share are fetched once.

    Args:
        reading: the transaction.
    """

    def __init__(self, reading: Reading) -> None:
        self._reading = reading
        self._rows: dict[bytes, bytes] = {}
        self._group = -1

    def agrees(self, tile: int, found: index.TileIndex, *, is_evidence_kept: bool) -> bool:
        """Say whether the table says of a tile what it should.

        Args:
            tile: its index.
            found: what it should say.
            is_evidence_kept: all that the records cite; if not, tags of what was pruned may be told beside these.
        """
        if tile // index.GROUP != self._group:
            self._rows, self._group = {}, tile // index.GROUP
        fits = bytes.__eq__ if is_evidence_kept else _covers
        return (
            self._has_rows(found.rows)
            and all(self._places(term, tile) == places for term, places in found.places.items())
            and all(fits(self._places(term, tile), places) for term, places in found.tags.items())
        )

    def _has_rows(self, rows: index.Rows) -> bool:
        """Look for rows, most of which stand side by side: the outcomes of a tile."""
        missing = rows
        keys = [key for key, value in rows.items() if not value]
        if keys:
            below, limit = max(keys) + b"\x00", 2 * len(keys)
            beside = dict(self._reading.scan(Table.INDEX, first=min(keys), below=below, limit=limit))
            missing = {key: row for key, row in rows.items() if key not in beside or beside[key] != row}
        return all(self._reading.get(Table.INDEX, key) == row for key, row in missing.items())

    def _places(self, term: bytes, tile: int) -> bytes:
        row = self._rows.get(term)
        if row is None:
            row = self._rows[term] = self._reading.get(Table.INDEX, index.term_key(term, tile)) or b""
        return index.places_of(row, tile)


def _entries(leaves: Sequence[Leaf], slices: Mapping[int, bytes]) -> Iterator[index.Entry]:
    for place, leaf in enumerate(leaves):
        yield index.Entry(place, index.marks_of(leaf.body), leaf.wall_ns, slices.get(place, b""))


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
