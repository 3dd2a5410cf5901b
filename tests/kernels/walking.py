"""Structures of the journal, drawn from their types, and the walk over them told slowly, by msgspec."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st
from msgspec import Struct, inspect

from gatewayd.journal.tiles.shape import Shape
from gatewayd.model.record import EvidenceSlice, Leaf
from tests.kernels.harness import Columns

SHAPE = Shape((Leaf, EvidenceSlice))
TERMS = 64
NAMES = st.sampled_from(["", ".", "pump_1.speed", "a.b.c", ".x", "Läufer.Größe", "温度", "🙂"]) | st.text(max_size=40)


def drawn(type_: type[Struct]) -> st.SearchStrategy[Any]:
    """Draw a structure with anything its types allow."""
    return _drawn(inspect.type_info(type_))


def _drawn(type_: inspect.Type) -> st.SearchStrategy[Any]:
    match type_:
        case inspect.IntType():
            return st.integers(-(2**63), 2**63 - 1) | st.integers(-200, 300)
        case inspect.FloatType():
            return st.floats()
        case inspect.BoolType():
            return st.booleans()
        case inspect.StrType():
            return NAMES
        case inspect.BytesType():
            return st.sampled_from([b"", bytes(32), b"\xff" * 32]) | st.binary(max_size=40)
        case inspect.NoneType():
            return st.none()
        case inspect.EnumType(cls=cls):
            return st.sampled_from(list(cls))
        case inspect.UnionType(types=types):
            return st.one_of([_drawn(each) for each in types])
        case inspect.VarTupleType(item_type=item):
            return st.lists(_drawn(item), max_size=3).map(tuple)
        case inspect.StructType(cls=cls, fields=fields):
            return st.builds(cls, **{field.name: _drawn(field.type) for field in fields})
    raise AssertionError(f"records have a type now of which nothing is drawn: {type_}")


def columns_for(inbox: bytes, records: int, terms: int = TERMS) -> Columns:
    """Return buffers of a scan, filled as it wants them."""
    slots = 2
    while slots < 2 * terms:
        slots *= 2
    return {
        "inbox.byte": list(inbox) or [0],
        "shape.word": list(SHAPE.words),
        "walk.cell": [0] * 40,
        "record.start": [0] * records,
        "term.letter": [0] * terms,
        "place.byte": [0] * 64 * terms,
        "slot.term": [-1] * slots,
    }


def terms_of(inbox: bytes, columns: dict[str, Any], terms: int) -> dict[tuple[str, bytes | int], list[int]]:
    """Return what a scan says of terms: (letter, name) -> the records that have it, from the list and from the bits."""
    found: dict[tuple[str, bytes | int], list[int]] = {}
    for term in range(terms):
        start, length, count = (columns[f"term.{name}"][term] for name in ("start", "length", "count"))
        block = bytes(columns["place.byte"][64 * term : 64 * term + 64])
        bits = int.from_bytes(block[32:], "little")
        places = [place for place in range(256) if bits >> place & 1]
        assert count == len(places)
        assert list(block[: min(count, 31)]) == places[:31]
        name = start if length < 0 else inbox[start : start + length]
        found[chr(columns["term.letter"][term]), name] = places
    assert len(found) == terms, "a term stands in the table twice"
    return found
