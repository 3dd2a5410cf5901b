"""One compiled pass over a full tile: which of its records are sound, and what they are found by."""

from __future__ import annotations

from array import array
from collections.abc import Iterator
from functools import cache
from typing import Any

from gatewayd.compiled import load_kernels
from gatewayd.core.kernels import FORMATS, Kernels
from gatewayd.errors import KernelError
from gatewayd.journal.leaf import LEAF_PREFIX
from gatewayd.journal.tiles import index
from gatewayd.journal.tiles.shape import Shape
from gatewayd.model.record import EvidenceSlice, Kind, Leaf
from gatewayd.proof.tiles import TILE_WIDTH

TERMS_MAX = 2048
PLACE_BYTES = 64  # of a term: its places one by one, then as bits
BITS_AT = 32
WALK_CELLS = 40
INBOX_BYTES = 1 << 18
TERMS_KEPT = 65_536

_LETTERS = {ord(letter): letter.encode() for letter in "kparug"}


class TileScan:
    """Walks tiles in buffers of its own.

    Args:
        kernels: compiled code.
    """

    def __init__(self, kernels: Kernels) -> None:
        self._kernels = kernels
        self._shape = _shape()
        rows = {"walk": WALK_CELLS, "record": TILE_WIDTH, "term": TERMS_MAX, "slot": 2 * TERMS_MAX}
        self._columns: dict[str, memoryview[Any]] = {"shape.word": memoryview(array("q", self._shape.words))}
        for table, count in rows.items():
            for name, _ in kernels.tables[table]:
                self._columns[f"{table}.{name}"] = memoryview(bytearray(8 * count)).cast(FORMATS["i8"])
        self._columns["place.byte"] = memoryview(bytearray(PLACE_BYTES * TERMS_MAX))
        self._no_places, self._no_slots = bytes(PLACE_BYTES * TERMS_MAX), array("q", [-1]) * (2 * TERMS_MAX)
        self._bind(INBOX_BYTES)
        self._terms: dict[tuple[int, bytes | int], bytes] = {}

    def _bind(self, inbox_bytes: int) -> None:
        self._columns["inbox.byte"] = memoryview(bytearray(inbox_bytes))
        self._leaves = self._kernels.bind("scan_leaves", self._columns)
        self._slices = self._kernels.bind("scan_slices", self._columns)

    def column(self, name: str) -> list[int]:
        """Return a column of table record, as the last pass left it."""
        cells: list[int] = self._columns[f"record.{name}"].tolist()
        return cells

    def leaves(self, bundle: bytes, first: int) -> int:
        """Look at the records of a tile; return how many terms they are found by, negative = this is no full tile.

        Args:
            bundle: the leaves, each after its length.
            first: seq of the first of them.
        """
        self._prepare(bundle)
        return self._leaves(len(bundle), first, self._shape.first[0], int.from_bytes(LEAF_PREFIX, "big"))

    def cite(self, place: int, *, cites: bool) -> None:
        """Say of a record that was not sound whether it cites evidence."""
        self._columns["record.evidence"][place] = int(cites)

    def slices(self, packed: bytes) -> int:
        """Look at the evidence of the tile looked at last; return how many tags there are, negative = malformed.

        Args:
            packed: MessagePack map from place to slice.
        """
        self._prepare(packed)
        return self._slices(len(packed), self._shape.first[1])

    def places(self, content: bytes, terms: int) -> Iterator[tuple[bytes, bytes]]:
        """Yield (term, packed places) of what the last pass found, as the index has them.

        Args:
            content: what the pass went over.
            terms: how many there are.
        """
        columns = (self._columns[f"term.{name}"][:terms].tolist() for name in ("letter", "start", "length", "count"))
        block = bytes(self._columns["place.byte"][: PLACE_BYTES * terms])
        at = 0
        for letter, start, length, count in zip(*columns, strict=True):
            name = start if length < 0 else content[start : start + length]
            term = self._terms.get((letter, name))
            if term is None:
                term = self._term(letter, name)
            if count <= index.LIST_MAX:
                yield term, block[at : at + count]
            else:
                yield term, block[at + BITS_AT : at + PLACE_BYTES]
            at += PLACE_BYTES

    def _prepare(self, content: bytes) -> None:
        if len(content) > len(self._columns["inbox.byte"]):
            self._bind(2 * len(content))
        self._columns["inbox.byte"][: len(content)] = content
        self._columns["place.byte"][:] = self._no_places
        self._columns["slot.term"][:] = self._no_slots

    def _term(self, letter: int, name: bytes | int) -> bytes:
        if len(self._terms) >= TERMS_KEPT:
            self._terms.clear()
        if letter == ord("k"):
            assert isinstance(name, int)
            term = index.kind_term(Kind(name))
        else:
            term = index.term(_LETTERS[letter], str(name) if isinstance(name, int) else name.decode())
        self._terms[letter, name] = term
        return term


@cache
def _shape() -> Shape:
    return Shape((Leaf, EvidenceSlice))


def compiled_scan() -> TileScan | None:
    """Return a pass of its own for each caller; None where no kernels were built: then each record is looked at by itself."""
    try:
        return TileScan(load_kernels())
    except KernelError:
        return None
