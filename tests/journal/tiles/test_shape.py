"""The shape that the compiled walk goes by is the model's own, whole, and numbered as the walk numbers it."""

from __future__ import annotations

from enum import Enum
from typing import Annotated

import pytest
from msgspec import Meta, Struct

from gatewayd.journal.tiles import index, scan, shape
from gatewayd.journal.tiles.shape import Shape
from gatewayd.model.record import EvidenceSlice, Leaf
from kernels import record_walk


def test_types_and_captures_are_numbered_as_the_walk_numbers_them():
    names = ("INTEGER", "NUMBER", "BOOLEAN", "TEXT", "BYTES", "LITERAL", "STRUCTURE", "LIST", "TAGGED")
    names += ("SEQ", "WALL", "ID", "UID", "EVIDENCE", "PERSONAL", "POINT", "RULE", "TAG")
    assert [getattr(shape, name) for name in names] == [getattr(record_walk, name) for name in names]
    assert (scan.WALK_CELLS, scan.PLACE_BYTES) == (record_walk.WALK_CELLS, record_walk.TERM_BYTES)
    assert index.LIST_MAX == record_walk.LISTED_MAX


def test_every_field_of_every_record_is_known_to_the_walk():
    """A zero among the words of a structure would have each of its records decoded one by one."""
    words = Shape((Leaf, EvidenceSlice))
    assert all(word & 15 for word in fields_in(words, words.first[0]))
    assert all(word & 15 for word in fields_in(words, words.first[1]))


def fields_in(shape_: Shape, at: int) -> list[int]:
    """Return the word at a place and all words inside it."""
    word = shape_.words[at]
    found, child, kind = [word], word >> 9, word & 15
    if kind == shape.LIST:
        return found + fields_in(shape_, child)
    if kind == shape.STRUCTURE:
        places = [child]
    elif kind == shape.TAGGED:
        places = shape_.words[child + 2 : child + 2 + 2 * shape_.words[child] : 2]
    else:
        places = []
    for place in places:
        for field in range(shape_.words[place + 1]):
            found += fields_in(shape_, place + 2 + field)
    return found


class Limited(Struct, array_like=True):
    few: Annotated[int, Meta(le=3)]


class Named(Struct):
    name: str


class Colour(Enum):
    RED = "red"


class Odd(Struct, array_like=True):
    limited: Limited
    mapping: dict[str, int]
    named: Named
    either: int | str
    colour: Colour = Colour.RED


@pytest.mark.parametrize(("field", "kind"), [(0, shape.STRUCTURE), (1, 0), (2, 0), (3, 0), (4, shape.LITERAL)])
def test_what_the_walk_cannot_check_gets_a_word_that_matches_nothing(field: int, kind: int):
    words = Shape((Odd,))
    place = words.words[words.first[0]] >> 9
    assert words.words[place : place + 2] == [4, 5], "fields it has at least, and at most"
    assert words.words[place + 2 + field] & 15 == kind
    limited = words.words[place + 2] >> 9
    assert words.words[limited + 2] == 0
