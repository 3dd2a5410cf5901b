"""How records are found: of a full tile by what stands in the index table, of younger ones by looking at them.

A term is something that records have in common: a kind, a point, its asset, a rule, a tag that was read, a person's uid. A row
of the index says of one term where it occurs in 16 tiles; rows of a term stand together, so that a rule that fired twice in
ten million records is two rows. A second kind of row says which wall times a tile holds, and one above it which times 256
tiles hold: wall time may step back, so nothing is believed to rise. Younger records have no rows at all, so that a decision
that becomes durable writes none. An index only finds; the record itself is checked when it is read. Names of people are not
in here, only their uids, which stay in the record anyway.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator
from functools import lru_cache
from hashlib import sha256
from typing import NamedTuple, Protocol

import msgspec
from msgspec import Struct

from gatewayd.errors import UNDECODABLE
from gatewayd.model.record import Body, Decision, Kind, Outcome, kind_of
from gatewayd.proof.tiles import TILE_HEIGHT, TILE_WIDTH
from gatewayd.store.tables import Table, from_u64, u64

DECISIONS = b"d"
GROUP = 16  # tiles that share a row of a term
LIST_MAX = 31  # places that are told one by one; more of them are a bitmap
BITMAP_BYTES = TILE_WIDTH // 8
TERM_HASH_BYTES = 8
TERMS_CACHED = 16_384

Rows = dict[bytes, bytes]


class _Read(Struct, frozen=True, array_like=True, gc=False):
    """The beginning of an `EvidenceRow`."""

    tag: str


class _Slice(Struct, frozen=True, array_like=True, gc=False):
    """The beginning of an `EvidenceSlice`."""

    cycle: int
    expression: str
    rows: tuple[_Read, ...]


_slice_decoder = msgspec.msgpack.Decoder(_Slice)
_outcome_key = struct.Struct(">sQQ")


def decision_key(decision_id: int) -> bytes:
    """Return the key of a tile whose first decision has this id; the value is the tile's index."""
    return DECISIONS + u64(decision_id)


def outcomes_prefix(decision_id: int) -> bytes:
    """Return the prefix of a decision's outcome keys."""
    return b"o" + u64(decision_id)


def outcome_key(decision_id: int, seq: int) -> bytes:
    """Return the key that says that a record is an outcome of a decision."""
    return _outcome_key.pack(b"o", decision_id, seq)


def kind_term(kind: Kind) -> bytes:
    """Return the term that records of a kind have."""
    return b"k" + bytes([kind])


def point_term(point: str) -> bytes:
    """Return the term that decisions on a point have."""
    return term(b"p", point)


def asset_term(asset: str) -> bytes:
    """Return the term that decisions on a point of an asset have."""
    return term(b"a", asset)


def rule_term(rule: str) -> bytes:
    """Return the term that decisions of a rule have."""
    return term(b"r", rule)


def tag_term(tag: str) -> bytes:
    """Return the term that decisions have whose evidence holds a sample of a tag."""
    return term(b"g", tag)


def actor_term(uid: int) -> bytes:
    """Return the term that decisions have which a person or the gateway itself asked for, by uid."""
    return term(b"u", str(uid))


@lru_cache(TERMS_CACHED)
def term(letter: bytes, name: str) -> bytes:
    """Return a term of fixed length; two names that share one are told apart by their records."""
    return letter + sha256(name.encode()).digest()[:TERM_HASH_BYTES]


def asset_of(point: str) -> str:
    """Return the asset of a point or tag, e.g. `pump_1` of `pump_1.speed_sp`; empty = it has none."""
    return point.rpartition(".")[0]


class Marks(NamedTuple):
    """What a record will be found by.

    Args:
        terms: that it has, without those of its evidence.
        decision: the id, if it is a decision; 0 = it is none.
        outcome_of: the id of the decision, if it is an outcome; 0 = it is none.
    """

    terms: tuple[bytes, ...] = ()
    decision: int = 0
    outcome_of: int = 0


def marks_of(body: Body) -> Marks:
    """Return what a record can be found by."""
    if isinstance(body, Decision):
        uid = -1 if body.actor is None else body.actor.uid
        return Marks(_decision_terms(body.point, body.rule, uid), body.decision_id)
    return Marks(_kind_terms(kind_of(body)), outcome_of=body.decision_id if isinstance(body, Outcome) else 0)


@lru_cache
def _kind_terms(kind: Kind) -> tuple[bytes, ...]:
    return (kind_term(kind),)


@lru_cache(TERMS_CACHED)
def _decision_terms(point: str, rule: str, uid: int) -> tuple[bytes, ...]:
    terms = [kind_term(Kind.DECISION), point_term(point)]
    if asset := asset_of(point):
        terms.append(asset_term(asset))
    if rule:
        terms.append(rule_term(rule))
    if uid >= 0:
        terms.append(actor_term(uid))
    return tuple(terms)


def tags_of(evidence: bytes) -> tuple[str, ...]:
    """Return the tags of which a slice holds samples; none if it is no slice, which whoever reads it is told."""
    try:
        return tuple([row.tag for row in _slice_decoder.decode(evidence).rows])
    except UNDECODABLE:
        return ()


@lru_cache(TERMS_CACHED)
def _tag_terms(tags: tuple[str, ...]) -> tuple[bytes, ...]:
    return tuple({tag_term(tag) for tag in tags})


class Entry(NamedTuple):
    """A record of a full tile, as far as the index knows it.

    Args:
        place: in the tile.
        marks: of its body.
        wall_ns: its wall time.
        evidence: bytes of its slice; empty = it has none, or none that is kept.
    """

    place: int
    marks: Marks
    wall_ns: int
    evidence: bytes = b""


class TileIndex(NamedTuple):
    """What the index says of one full tile.

    Args:
        rows: that are the tile's own.
        places: term -> packed places, a part of a row that the tile shares.
        tags: the same of terms that come from evidence, of which more than these may be on record once it was pruned.
    """

    rows: Rows
    places: Rows
    tags: Rows


def index_of(tile: int, entries: Iterable[Entry]) -> TileIndex:
    """Return what the index says of a full tile whose records are these, ascending by place."""
    rows: Rows = {}
    places: dict[tuple[bytes, ...], list[int]] = {}  # by all terms of a record: most share them
    tags: dict[tuple[bytes, ...], list[int]] = {}
    walls: list[int] = []
    has_decision = False
    for place, (terms, decision, outcome_of), wall_ns, evidence in entries:
        walls.append(wall_ns)
        places.setdefault(terms, []).append(place)
        if decision and not has_decision:
            rows[decision_key(decision)] = u64(tile)
            has_decision = True
        elif outcome_of:
            rows[outcome_key(outcome_of, (tile << TILE_HEIGHT) + place)] = b""
        if evidence:
            tags.setdefault(_tag_terms(tags_of(evidence)), []).append(place)
    if walls:
        rows[span_key(0, tile)] = span_row(min(walls), max(walls))
    return TileIndex(rows, _by_term(places), _by_term(tags))


def _by_term(places: dict[tuple[bytes, ...], list[int]]) -> Rows:
    bits: dict[bytes, int] = {}
    for terms, found in places.items():
        together = sum([1 << place for place in found])
        for term in terms:
            bits[term] = bits.get(term, 0) | together
    return {term: packed(found) for term, found in bits.items()}


# --- terms ------------------------------------------------------------------------------------------------------------


def term_key(term: bytes, tile: int) -> bytes:
    """Return the key of the row that says where a term occurs in a tile and its neighbours."""
    return term + (tile // GROUP).to_bytes(4, "big")


def packed(bits: int) -> bytes:
    """Return places of a tile, bit n for place n, as a byte each or as a bitmap of 256 bits, whichever is shorter."""
    if bits.bit_count() > LIST_MAX:
        return bits.to_bytes(BITMAP_BYTES, "little")
    places = bytearray()
    while bits:
        lowest = bits & -bits
        places.append(lowest.bit_length() - 1)
        bits ^= lowest
    return bytes(places)


def unpacked(places: bytes) -> int:
    """Return packed places as a number whose bit n says whether the record at place n has the term."""
    if len(places) == BITMAP_BYTES:
        return int.from_bytes(places, "little")
    bits = 0
    for place in places:
        bits |= 1 << place
    return bits


def listed(places: bytes) -> list[int]:
    """Return packed places as a list, ascending."""
    bits = unpacked(places)
    return [place for place in range(bits.bit_length()) if bits >> place & 1]


def places_in(row: bytes | None, tile: int) -> list[int]:
    """Return the places of a tile that a term's row, if there is one, tells; ascending."""
    return listed(places_of(row or b"", tile))


def places_of(row: bytes, tile: int) -> bytes:
    """Return the packed places of one tile that a term's row tells, none if its tiles do not rise up to there and beyond."""
    wanted, at, before, end = tile % GROUP, 0, -1, len(row) - 1
    while at < end:
        number = row[at]
        if number <= before:
            return b""
        if number >= wanted:
            after = at + 2 + row[at + 1]
            is_told = number == wanted and after <= end + 1 and (after >= end or row[after] > number)
            return row[at + 2 : after] if is_told else b""
        at, before = at + 2 + row[at + 1], number
    return b""


def with_tile(row: bytes, tile: int, places: bytes) -> bytes:
    """Return a term's row with a tile's places behind those of earlier tiles.

    A row is a sequence of: tile modulo 16, length of the packed places, packed places.
    """
    kept, at = row, 0
    while at + 1 < len(row):
        if row[at] >= tile % GROUP:
            kept = row[:at]
            break
        at += 2 + row[at + 1]
    return kept + bytes((tile % GROUP, len(places))) + places


def tiles_of(key: bytes, row: bytes) -> Iterator[tuple[int, bytes]]:
    """Yield (tile, packed places) of a term's row, ascending; nothing from where it is damaged on."""
    first = int.from_bytes(key[-4:], "big") * GROUP
    at = 0
    while at + 1 < len(row):
        end = at + 2 + row[at + 1]
        if end > len(row) or row[at] >= GROUP:
            return
        yield first + row[at], row[at + 2 : end]
        at = end


# --- times ------------------------------------------------------------------------------------------------------------


def span_key(level: int, index: int) -> bytes:
    """Return the key of the wall times of a tile (level 0), or of the 256 tiles from 256 * `index` on (level 1)."""
    return b"t" + bytes([level]) + u64(index)


def span_row(first_ns: int, last_ns: int) -> bytes:
    """Return the earliest and the latest wall time as a row."""
    return u64(max(first_ns, 0)) + u64(max(last_ns, 0))


def span_of(row: bytes) -> tuple[int, int]:
    """Return (earliest, latest) wall time, ns."""
    return from_u64(row), from_u64(row[8:])


def covers(above: bytes, below: bytes) -> bool:
    """Say whether the times of one row hold those of another."""
    (first, last), (earliest, latest) = span_of(above), span_of(below)
    return first <= earliest and latest <= last


def span_over(rows: list[bytes]) -> bytes:
    """Return the row above the rows of 256 tiles."""
    spans = [span_of(row) for row in rows]
    return span_row(min(first for first, _ in spans), max(last for _, last in spans))


# --- what was pruned --------------------------------------------------------------------------------------------------


class Lookup(Protocol):
    """The index table, to look through."""

    def scan(
        self, table: Table, *, first: bytes = b"", below: bytes | None = None, limit: int
    ) -> list[tuple[bytes, bytes]]:
        """Return up to `limit` rows in key order."""
        ...


def keys_before(rows: Lookup, tile: int) -> Iterator[bytes]:
    """Yield the keys of rows that tell of nothing but tiles before this one; of each term one look is enough to skip it."""
    for letter, size in _TERM_BYTES.items():
        at = letter
        while found := rows.scan(Table.INDEX, first=at, below=bytes([letter[0] + 1]), limit=1):
            (key, _), term = found[0], found[0][0][:size]
            if int.from_bytes(key[size:], "big") < tile // GROUP:
                yield key
                at = key + b"\x00"
            else:
                at = term + b"\xff" * 5  # behind all of its rows
    above = rows.scan(Table.INDEX, first=span_key(1, 0), below=span_key(1, tile // TILE_WIDTH), limit=TILE_WIDTH)
    yield from (key for key, _ in above)


_TERM_BYTES = {b"k": 2} | dict.fromkeys((b"p", b"a", b"r", b"g", b"u"), 1 + TERM_HASH_BYTES)  # letter -> of a term
