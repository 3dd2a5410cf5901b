"""Which addresses of a read plan its device refuses, and the requests that read the rest. Pure.

A coalesced request reads along what lies between the values, and one address that does not exist makes the device refuse
all of it. The plan itself never changes, since recorded blocks name it; how it is asked does.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from typing import Final, NamedTuple

from msgspec import Struct

RETRY_FIRST_NS: Final = 10_000_000_000
RETRY_MAX_NS: Final = 3_600_000_000_000


class Part(NamedTuple):
    """Consecutive rows of a plan, and the addresses [start, end) of the one request that reads them."""

    first: int
    rows: int
    start: int
    end: int


class Refusal(Struct):
    """Addresses [start, end) that one request must not cover, for now."""

    start: int
    end: int
    delay_ns: int
    retry_mono_ns: int


class _Halves(Struct):
    """The two halves of a refused request, as long as neither was refused itself."""

    seam: tuple[int, int]  # what is to blame if both are answered
    waiting: set[Part]


class Holes:
    """What was learned about one plan.

    Values, not registers, are the unit: a value is never read in parts, and some devices refuse half of one. A refused
    request is halved between values until what is refused is a single value, or two neighbours with a bad gap, or a
    border that the device lets no request cross. When both halves are answered it is the seam between them. Only the smallest refused ranges are remembered; the fewest requests
    that cover none of them read the rest.

    Args:
        spans: addresses [start, end) of each row of the plan, ascending.

    Attributes:
        parts: the requests to make, in order; rows in none of them are refused.
    """

    def __init__(self, spans: Sequence[tuple[int, int]]) -> None:
        self._spans = tuple(spans)
        self._refusals: list[Refusal] = []  # none within another, ascending; so their ends ascend, too
        self._halves: dict[tuple[int, int], _Halves] = {}  # by the refused range
        self._waiting: list[Part] = []  # pieces of a refused request that have not been asked yet
        self.parts: tuple[Part, ...] = (self._part(0, len(self._spans)),)

    @property
    def refused(self) -> tuple[tuple[int, int], ...]:
        """Return the address ranges that no request may cover."""
        return tuple((refusal.start, refusal.end) for refusal in self._refusals)

    def refuse(self, part: Part, now_mono_ns: int) -> tuple[Part, ...]:
        """Learn that a request was refused; return its two halves, or nothing if it was one value.

        Call `settle` once no more is to be learned from this scan.
        """
        if not self._covers_refusal(part.start, part.end):
            refusal = Refusal(part.start, part.end, RETRY_FIRST_NS, now_mono_ns + RETRY_FIRST_NS)
            self._refusals = _smallest([*self._refusals, refusal])
        last = part.first + part.rows
        borders = [row for row in range(part.first + 1, last) if self._spans[row] != self._spans[row - 1]]
        if not borders:
            return ()
        middle = min(borders, key=lambda row: abs(2 * row - part.first - last))
        halves = self._part(part.first, middle - part.first), self._part(middle, last - middle)
        self._halves[part.start, part.end] = _Halves(self._seam(halves[1]), set(halves))
        return halves

    def answered(self, part: Part) -> None:
        """Learn that a request was not refused."""
        for halves in self._halves.values():
            halves.waiting.discard(part)

    def postpone(self, parts: Sequence[Part]) -> None:
        """Ask these halves in the next scan: this one has taken long enough."""
        self._waiting += parts

    def settle(self) -> None:
        """Make up the requests of the next scan from what is known."""
        self._blame_seams()
        waiting = {part.first: part for part in self._waiting}
        self._waiting = []
        parts: list[Part] = []
        row = first = 0
        while row < len(self._spans):
            if row in waiting or self._covers_refusal(*self._spans[row]):
                parts += self._run(first, row)
                if row in waiting:
                    parts.append(waiting[row])
                first = row = row + (waiting[row].rows if row in waiting else 1)
            elif row > first and self._covers_refusal(*self._part(first, row + 1 - first)[2:]):
                parts += self._run(first, row)
                first = row
            else:
                row += 1
        self.parts = (*parts, *self._run(first, row))

    def _blame_seams(self) -> None:
        """Narrow each refused range of which both halves were answered to what lies between them."""
        narrowed = False
        for refusal in self._refusals:
            halves = self._halves.get((refusal.start, refusal.end))
            if halves is not None and not halves.waiting:
                (refusal.start, refusal.end), narrowed = halves.seam, True
        if narrowed:
            self._refusals = _smallest(self._refusals)
        known = set(self.refused)
        self._halves = {refused: halves for refused, halves in self._halves.items() if refused in known}

    def due(self, now_mono_ns: int) -> tuple[int, int] | None:
        """Return the range that has been left alone for longest beyond its time, if any, to be asked once more."""
        refusal = min(self._refusals, key=lambda known: known.retry_mono_ns, default=None)
        if refusal is None or refusal.retry_mono_ns > now_mono_ns:
            return None
        return refusal.start, refusal.end

    def refused_again(self, start: int, end: int, now_mono_ns: int) -> None:
        """Learn that what was due is refused as before; the next try waits twice as long."""
        for refusal in self._refusals:
            if (refusal.start, refusal.end) == (start, end):
                refusal.delay_ns = min(2 * refusal.delay_ns, RETRY_MAX_NS)
                refusal.retry_mono_ns = now_mono_ns + refusal.delay_ns

    def forget(self) -> None:
        """Begin anew, after an answer where there was a refusal: the device has another program, or is ready by now."""
        self._refusals = []
        self._waiting = []
        self.settle()

    def _seam(self, right: Part) -> tuple[int, int]:
        """Return the two values at the border of two halves, which no request may read together if both are answered."""
        before, after = self._spans[right.first - 1], self._spans[right.first]
        return before[0], max(before[1], after[1])

    def _part(self, first: int, rows: int) -> Part:
        spans = self._spans[first : first + rows]
        return Part(first, rows, spans[0][0], max(end for _, end in spans))

    def _run(self, first: int, last: int) -> tuple[Part, ...]:
        return (self._part(first, last - first),) if last > first else ()

    def _covers_refusal(self, start: int, end: int) -> bool:
        at = bisect_left(self._refusals, start, key=lambda refusal: refusal.start)
        return at < len(self._refusals) and self._refusals[at].end <= end


def _smallest(refusals: Sequence[Refusal]) -> list[Refusal]:
    """Return the refused ranges that hold no other, ascending by start, and so by end."""
    kept: list[Refusal] = []
    for refusal in sorted(refusals, key=lambda known: (known.end, -known.start)):
        if not kept or refusal.start > kept[-1].start:
            kept.append(refusal)
    return kept
