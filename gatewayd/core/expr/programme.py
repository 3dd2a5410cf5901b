"""The compiled form of every expression of a site: plain data, the same for every gateway that gets the same site."""

from __future__ import annotations

import hashlib
from typing import Literal

import msgspec
from msgspec import Struct

from gatewayd.core.expr.opcodes import Type

RING_SIZE_MIN = 16
RING_SIZE_MAX = 65_536
_FORMAT = b"gatewayd programme 1\n"

TermKind = Literal["tag", "window", "anomaly", "stale", "quality"]


class Term(Struct, frozen=True, array_like=True):
    """Something an expression reads of the plant, as people see it: `rate(bearing_temp, 60s)`.

    Args:
        text: as written in the expression, on one line.
        row: the tag's row in the twin.
        window: index into `Programme.windows`, -1 for the other kinds.
        function: of a window, as written; empty for the other kinds.
    """

    text: str
    kind: TermKind
    row: int
    window: int = -1
    function: Literal["", "rate", "avg", "min", "max", "std", "count", "integral"] = ""


class Compiled(Struct, frozen=True, array_like=True):
    """One expression: `ops[start:start + length]` of its programme.

    Args:
        text: on one line.
        rows: rows of the twin that it reads, sorted; a change of one makes it run.
        terms: what it reads, in the order of the text, each text once.
    """

    text: str
    kind: Type
    start: int
    length: int
    rows: tuple[int, ...]
    terms: tuple[Term, ...]


class WindowSpec(Struct, frozen=True, array_like=True):
    """A look back over one tag; `ring_size` samples are kept at most."""

    row: int
    duration_ns: int
    ring_size: int


class Programme(Struct, frozen=True, array_like=True):
    """All expressions of a site. `gatewayd.core.expr.verifier.verify` says whether a kernel may run it.

    Args:
        consts: numbers; durations of `for` in ns.
        registers: how many `for` there are.
        digest: SHA-256 of everything else.
    """

    programs: tuple[Compiled, ...]
    ops: tuple[int, ...]
    args: tuple[int, ...]
    consts: tuple[float, ...]
    registers: int
    windows: tuple[WindowSpec, ...]
    digest: bytes

    def dependencies(self, tag_count: int) -> tuple[list[int], list[int], list[int]]:
        """Return which programs read a tag: `programs[first[row] : first[row] + count[row]]`.

        Args:
            tag_count: rows of the twin; every row that is read is below it.
        """
        readers: list[list[int]] = [[] for _ in range(tag_count)]
        for index, program in enumerate(self.programs):
            for row in program.rows:
                readers[row].append(index)
        first: list[int] = []
        programs: list[int] = []
        for reader in readers:
            first.append(len(programs))
            programs.extend(reader)
        return first, [len(reader) for reader in readers], programs


def digest_of(programme: Programme) -> bytes:
    """Return SHA-256 over the canonical bytes of a programme, its digest left out."""
    canonical = msgspec.msgpack.encode(msgspec.structs.replace(programme, digest=b""))
    return hashlib.sha256(_FORMAT + canonical).digest()
