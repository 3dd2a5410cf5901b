"""The compiled form of every expression of a site: plain data, the same for every gateway that gets the same site."""

from __future__ import annotations

import hashlib
from typing import Literal

import msgspec
from msgspec import Struct

from gatewayd.core.expr.opcodes import Type

RING_SIZE_MIN = 16
RING_SIZE_MAX = 65_536
_FORMAT = b"gatewayd programme 2\n"
_RING_SPARE = 8

TermKind = Literal["tag", "window", "anomaly", "stale", "quality", "age", "memory"]


class Term(Struct, frozen=True, array_like=True):
    """Something an expression reads of the plant or remembers, as people see it: `rate(bearing_temp, 60s)`.

    Args:
        text: as written in the expression, on one line.
        kind: `memory` is what an operation with a register gave last: `for`, `latch(...)`, `within(...)`.
        row: the tag's row in the twin, -1 for memory.
        window: index into `Programme.windows`, -1 for the other kinds.
        function: of a window, as written; empty for the other kinds.
        register: of memory, -1 for the other kinds.
    """

    text: str
    kind: TermKind
    row: int
    window: int = -1
    function: Literal["", "rate", "avg", "min", "max", "std", "count", "integral"] = ""
    register: int = -1


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
    """A look back over one tag.

    Args:
        ring_size: so many samples are kept at most; the window is unknown when there were more.
        patience_ns: so long after a sample the next is waited for, before samples that left make the program run.
    """

    row: int
    duration_ns: int
    ring_size: int
    patience_ns: int = 0


class Programme(Struct, frozen=True, array_like=True):
    """All expressions of a site. `gatewayd.core.expr.verifier.verify` says whether a kernel may run it.

    Args:
        consts: numbers; durations and times of the day in ns.
        registers: how many operations remember something.
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


def ring_size(duration_ns: int, spacing_ns: int) -> int:
    """Return how many samples a window keeps: twice what its tag should deliver, and some.

    Args:
        duration_ns: how far the window looks back.
        spacing_ns: the shortest time between two samples; 0 = not known, and then it is as many as can be.
    """
    return max(2 * duration_ns // spacing_ns + _RING_SPARE, RING_SIZE_MIN) if spacing_ns else RING_SIZE_MAX


def longest_window_ns(spacing_ns: int) -> int:
    """Return how far a window can look back on a tag, in whole seconds if it is as many."""
    longest_ns = (RING_SIZE_MAX - _RING_SPARE) * spacing_ns // 2
    return longest_ns - longest_ns % 1_000_000_000 if longest_ns >= 1_000_000_000 else longest_ns


def digest_of(programme: Programme) -> bytes:
    """Return SHA-256 over the canonical bytes of a programme, its digest left out."""
    canonical = msgspec.msgpack.encode(msgspec.structs.replace(programme, digest=b""))
    return hashlib.sha256(_FORMAT + canonical).digest()
