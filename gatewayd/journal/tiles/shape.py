"""What stands where in a record, drawn up from the model's own types for the compiled walk (kernels/record_walk.py).

The types are the only description of a record; a kind or a field that is added is walked from then on. A type that the
walk does not know gives a word that nothing matches: such records are decoded one by one.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
from msgspec import inspect

from gatewayd.journal.leaf import PERSONAL_FIELDS

# Types of a word and captures, as kernels.record_walk numbers them.
INTEGER, NUMBER, BOOLEAN, TEXT, BYTES, LITERAL, STRUCTURE, LIST, TAGGED = range(1, 10)
SEQ, WALL, ID, UID, EVIDENCE, PERSONAL, POINT, RULE, TAG = range(1, 10)

_CAPTURES = {
    "Leaf.seq": SEQ,
    "Leaf.wall_ns": WALL,
    "Decision.decision_id": ID,
    "Decision.point": POINT,
    "Decision.rule": RULE,
    "Decision.actor.uid": UID,
    "Outcome.decision_id": ID,
    "EvidenceSlice.rows.tag": TAG,
}
_CAPTURES_OF_ANY = {"evidence": EVIDENCE} | dict.fromkeys(PERSONAL_FIELDS, PERSONAL)
_OPTIONAL = 1 << 4
_CAPTURE = 5
_CHILD = 9

_SIMPLE: dict[type[inspect.Type], int] = {
    inspect.IntType: INTEGER,
    inspect.FloatType: NUMBER,
    inspect.BoolType: BOOLEAN,
    inspect.StrType: TEXT,
    inspect.BytesType: BYTES,
}


class Shape:
    """A run of words, and where in it the words of types begin.

    Args:
        types: structures encoded as arrays.

    Attributes:
        words: for table shape.
        first: of each type, the place of its own word.
    """

    def __init__(self, types: Sequence[type[msgspec.Struct]]) -> None:
        self.words: list[int] = []
        self.first: list[int] = []
        for each in types:
            word = self._word(inspect.type_info(each), each.__name__)
            self.first.append(self._placed([word]))

    def _placed(self, words: Sequence[int]) -> int:
        self.words += words
        return len(self.words) - len(words)

    def _word(self, type_: inspect.Type, path: str) -> int:
        """Return the word of a type, after placing what is inside it.

        Args:
            type_: as msgspec describes it.
            path: the structure and the fields that lead to it.
        """
        if isinstance(type_, inspect.UnionType):
            return self._word_of_some(type_.types, path)
        if any(getattr(type_, limit, None) is not None for limit in _LIMITS):
            return 0
        kind = _SIMPLE.get(type(type_))
        if kind is not None:
            capture = _CAPTURES.get(path) or (_CAPTURES_OF_ANY.get(path.partition(".")[2]) if kind == BYTES else 0)
            return kind | (capture or 0) << _CAPTURE
        if isinstance(type_, inspect.EnumType):
            literals = [str(each.value).encode() for each in type_.cls]
            parts = [part for literal in literals for part in (len(literal), *literal)]
            return LITERAL | self._placed([len(literals), *parts]) << _CHILD
        if isinstance(type_, inspect.VarTupleType):
            return LIST | self._placed([self._word(type_.item_type, path)]) << _CHILD
        if isinstance(type_, inspect.StructType) and _is_walked(type_) and type_.tag is None:
            return STRUCTURE | self._structure(type_, path) << _CHILD
        return 0

    def _word_of_some(self, types: Sequence[inspect.Type], path: str) -> int:
        """Return the word of one type or None, or of structures told apart by a number."""
        some = [each for each in types if not isinstance(each, inspect.NoneType)]
        if len(some) == 1:
            return self._word(some[0], path) | _OPTIONAL
        places: list[int] = []
        for each in some:
            if not isinstance(each, inspect.StructType) or not _is_walked(each) or not isinstance(each.tag, int):
                return 0
            places += (each.tag, self._structure(each, each.cls.__name__))
        return TAGGED | self._placed([len(some), *places]) << _CHILD if len(some) == len(types) else 0

    def _structure(self, type_: inspect.StructType, path: str) -> int:
        words = [self._word(field.type, f"{path}.{field.name}") for field in type_.fields]
        required = sum(1 for field in type_.fields if field.required)
        return self._placed([required, len(words), *words])


_LIMITS = ("gt", "ge", "lt", "le", "multiple_of", "min_length", "max_length", "pattern")


def _is_walked(type_: inspect.StructType) -> bool:
    return type_.array_like and not type_.forbid_unknown_fields
