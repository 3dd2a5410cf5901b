"""Where records stand that have several things in common, newest first, by the index alone; who reads them checks them.

Rows of a term stand together in the index, 16 tiles each. One step looks at no more than `ROWS_AT_ONCE` rows of each term, so
that it is a short transaction; a term that occurs nowhere ends the search at once, a rare one skips what lies between.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from gatewayd.journal.tiles import index
from gatewayd.journal.tiles.index import GROUP
from gatewayd.model.record import Decision, Kind, Leaf
from gatewayd.model.wanted import Wanted
from gatewayd.proof.tiles import TILE_WIDTH
from gatewayd.store.tables import Table
from gatewayd.store.transaction import Reading

ROWS_AT_ONCE = 64  # of each term: 1,024 tiles or 262,144 records


class Times:
    """Which tiles may hold records between two wall times; wall time may step back, so each tile is asked.

    Args:
        reading: the transaction.
        since_ns: not earlier; 0 = from the beginning.
        until_ns: not later; 0 = to the newest.
    """

    def __init__(self, reading: Reading, since_ns: int, until_ns: int) -> None:
        self._reading = reading
        self._since_ns = since_ns
        self._until_ns = until_ns
        self._spans: dict[tuple[int, int], bool] = {}

    def may_hold(self, tile: int) -> bool:
        """Say whether a tile may hold such a record."""
        if not self._since_ns and not self._until_ns:
            return True
        return self._overlaps(1, tile // TILE_WIDTH) and self._overlaps(0, tile)

    def last_below(self, tile: int) -> int:
        """Return the last tile before this one that may hold such a record; -1 = there is none."""
        tile -= 1
        while tile >= 0 and not self.may_hold(tile):
            is_far = not self._overlaps(1, tile // TILE_WIDTH)
            tile = tile // TILE_WIDTH * TILE_WIDTH - 1 if is_far else tile - 1
        return tile

    def _overlaps(self, level: int, at: int) -> bool:
        """Say whether times overlap; what has no row, such as tiles of which 256 are not full yet, may hold anything."""
        known = self._spans.get((level, at))
        if known is not None:
            return known
        row = self._reading.get(Table.INDEX, index.span_key(level, at))
        first_ns, last_ns = index.span_of(row) if row else (0, self._since_ns)
        overlaps = last_ns >= self._since_ns and (not self._until_ns or first_ns <= self._until_ns)
        self._spans[level, at] = overlaps
        return overlaps


class _Term:
    """The newest rows of one term, down to the tile `floor`; 0 = there are no others."""

    def __init__(self, reading: Reading, term: bytes, below: int, most: int) -> None:
        self._reading = reading
        self._term = term
        end = index.term_key(term, below + GROUP - 1)
        first = index.term_key(term, 0)
        rows = reading.scan_back(Table.INDEX, floor=first, below=end, limit=most)
        self.tiles = {tile: places for key, row in reversed(rows) for tile, places in index.tiles_of(key, row)}
        self.floor = int.from_bytes(rows[-1][0][-4:], "big") * GROUP if len(rows) == most else 0

    def places(self, tile: int) -> bytes:
        """Return the packed places of a tile, also of one below the floor; empty = the term does not occur."""
        if tile >= self.floor:
            return self.tiles.get(tile, b"")
        key = index.term_key(self._term, tile)
        return index.places_of(self._reading.get(Table.INDEX, key) or b"", tile)


class Span(NamedTuple):
    """Tiles from `floor`, before which the log was pruned, to before `below`."""

    floor: int
    below: int


class Step(NamedTuple):
    """What one look at the index found.

    Args:
        tiles: (tile, bits of the places), newest first.
        below: where the next step goes on: only tiles before this one; 0 = there are no others.
    """

    tiles: list[tuple[int, int]]
    below: int


def step(reading: Reading, terms: Sequence[bytes], times: Times, span: Span, rows_at_once: int = ROWS_AT_ONCE) -> Step:
    """Look for tiles of a span whose records have all terms, from its end back, in so many rows of each."""
    below = times.last_below(span.below) + 1
    if below <= span.floor:
        return Step([], 0)
    rows = [_Term(reading, term, below, rows_at_once) for term in terms]
    sparsest = min(rows, key=lambda each: each.floor)
    others = [each for each in rows if each is not sparsest]
    found: list[tuple[int, int]] = []
    for tile in reversed(sparsest.tiles):
        if not span.floor <= tile < below or not times.may_hold(tile):
            continue
        if bits := _together(sparsest.tiles[tile], [other.places(tile) for other in others]):
            found.append((tile, bits))
    return Step(found, sparsest.floor if sparsest.floor > span.floor else 0)


def _together(places: bytes, others: Sequence[bytes]) -> int:
    """Return the places that all have, as bits. Most tiles have none: that two lists share no byte is seen at once."""
    for other in others:
        is_listed = len(places) <= index.LIST_MAX and len(other) <= index.LIST_MAX
        if is_listed and len(places.translate(None, other)) == len(places):
            return 0
    bits = index.unpacked(places)
    for other in others:
        bits &= index.unpacked(other)
    return bits


def places_back(tile: int, bits: int) -> Iterator[int]:
    """Yield where the records stand, last first."""
    while bits:
        place = bits.bit_length() - 1
        bits ^= 1 << place
        yield TILE_WIDTH * tile + place


def terms_of(wanted: Wanted) -> list[bytes]:
    """Return the terms of decisions that are wanted, at least one."""
    terms = []
    if wanted.rule:
        terms.append(index.rule_term(wanted.rule))
    if wanted.actor_uid is not None:
        terms.append(index.actor_term(wanted.actor_uid))
    if wanted.point:
        terms.append(index.point_term(wanted.point))
    if wanted.asset:
        terms.append(index.asset_term(wanted.asset))
    if wanted.tag:
        terms.append(index.tag_term(wanted.tag))
    return terms or [index.kind_term(Kind.DECISION)]


def is_wanted(leaf: Leaf, wanted: Wanted) -> bool:
    """Say whether a record is a decision that is wanted, apart from what it read, which its evidence tells."""
    body = leaf.body
    if not isinstance(body, Decision) or (wanted.before and body.decision_id >= wanted.before):
        return False
    if leaf.wall_ns < wanted.since_ns or (wanted.until_ns and leaf.wall_ns > wanted.until_ns):
        return False
    return (
        wanted.point in ("", body.point)
        and wanted.asset in ("", index.asset_of(body.point))
        and wanted.rule in ("", body.rule)
        and (wanted.actor_uid is None or (body.actor is not None and body.actor.uid == wanted.actor_uid))
    )
