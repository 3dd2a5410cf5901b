"""How records are found: of a full tile by what stands in the index table, of younger ones by looking at them.

A term is something that records have in common: a kind, a point, a rule. Of a full tile the index keeps one row per term,
with the places in the tile of the records that have it, which is a byte for each; younger records have no rows at all, so
that a decision that becomes durable writes none. An index only finds; the record itself is checked when it is read.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import NamedTuple

from gatewayd.model.record import Body, Decision, Kind, Outcome, kind_of
from gatewayd.proof.tiles import TILE_HEIGHT
from gatewayd.store.tables import u64

DECISIONS = b"d"

Rows = dict[bytes, bytes]


def decision_key(decision_id: int) -> bytes:
    """Return the key of a tile whose first decision has this id; the value is the tile's index."""
    return DECISIONS + u64(decision_id)


def outcomes_prefix(decision_id: int) -> bytes:
    """Return the prefix of a decision's outcome keys, each of which ends with a seq."""
    return b"o" + u64(decision_id)


def kind_term(kind: Kind) -> bytes:
    """Return the term that records of a kind have."""
    return b"k" + bytes([kind])


def point_term(point: str) -> bytes:
    """Return the term that decisions on a point have."""
    return b"p" + point.encode() + b"\x00"


class Marks(NamedTuple):
    """What a record will be found by.

    Args:
        terms: that it has.
        decision: the id, if it is a decision; 0 = it is none.
        outcome_of: the id of the decision, if it is an outcome; 0 = it is none.
    """

    terms: tuple[bytes, ...] = ()
    decision: int = 0
    outcome_of: int = 0


NO_MARKS = Marks()


def marks_of(body: Body) -> Marks:
    """Return what a record can be found by."""
    kind = kind_term(kind_of(body))
    if isinstance(body, Decision):
        return Marks((kind, point_term(body.point)), body.decision_id)
    return Marks((kind,), outcome_of=body.decision_id if isinstance(body, Outcome) else 0)


def rows_of(tile: int, marked: Iterable[tuple[int, Marks]]) -> Rows:
    """Return the index rows of a full tile.

    Args:
        tile: its index.
        marked: (place in the tile, marks) of its records, ascending.
    """
    places: dict[bytes, bytearray] = {}
    rows: Rows = {}
    has_decision = False
    for place, marks in marked:
        for term in marks.terms:
            if term not in places:
                places[term] = bytearray()
            places[term].append(place)
        if marks.decision and not has_decision:
            rows[decision_key(marks.decision)] = u64(tile)
            has_decision = True
        elif marks.outcome_of:
            rows[outcomes_prefix(marks.outcome_of) + u64((tile << TILE_HEIGHT) + place)] = b""
    end = u64(tile)
    rows.update((term + end, bytes(found)) for term, found in places.items())
    return rows


def places_back(row: bytes) -> Iterator[int]:
    """Yield the places of a term's row, last first."""
    return reversed(row)
