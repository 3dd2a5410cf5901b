"""Which cycles of the flight recorder must stay: those of what is still open, and those that a person retains.

Open are a write whose outcome is not known, an override that holds, and the last write to a point that the gateway
commands. Everything here is read from the store, so a restart changes nothing.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator

import msgspec
from msgspec import Struct

from gatewayd.core.decide.outcomes import SavedPoint
from gatewayd.core.decide.people import SavedOverride
from gatewayd.errors import UNDECODABLE, StoreError
from gatewayd.journal.guarded import unguard
from gatewayd.journal.log import Journal
from gatewayd.model.record import Decision
from gatewayd.store.tables import Table

LOOKED_UP_MAX = 8  # decisions per look: each may take a millisecond of the loop
WRITES_WITHIN = 16  # newest decisions of a point among which its last write is looked for
ROWS_MAX = 10_000
RETAINED_MAX = 1000
RETAINED = "retained/"

_override_decoder = msgspec.msgpack.Decoder(SavedOverride)
_point_decoder = msgspec.msgpack.Decoder(SavedPoint)


class Retained(Struct, frozen=True, array_like=True):
    """A decision whose cycle a person wants kept."""

    decision_id: int
    cycle: int
    since_ns: int  # wall
    point: str = ""


_retained_decoder = msgspec.msgpack.Decoder(Retained)


class Pinned(Struct, frozen=True):
    """Cycles that must stay.

    Args:
        cycles: ascending.
        is_complete: all are known; else every block in whose cycles something was decided must stay.
    """

    cycles: tuple[int, ...]
    is_complete: bool

    def holds(self, first_cycle: int, last_cycle: int, *, is_cited: bool) -> bool:
        """Say whether the block of these cycles must stay."""
        place = bisect_left(self.cycles, first_cycle)
        holds_one = place < len(self.cycles) and self.cycles[place] <= last_cycle
        return holds_one or (is_cited and not self.is_complete)


class Pins:
    """Finds what must stay. A look costs a few milliseconds at most; what is not found by then is looked for next time."""

    def __init__(self, journal: Journal) -> None:
        self._journal = journal
        self._cycles: dict[int, int] = {}  # decision in doubt -> its cycle
        self._written: dict[str, int] = {}  # point -> cycle of its last write before this run
        self._left = 0  # decisions that this look may still look up

    def look(self) -> Pinned:
        """Return what must stay now."""
        self._left = LOOKED_UP_MAX
        try:
            found = [*self._in_doubt(), *self._overridden(), *self._commanded()]
            found += [one.cycle for one in retained(self._journal)]
        except (StoreError, *UNDECODABLE):  # damage, which the journal's own readers name
            return Pinned((), is_complete=False)
        cycles = tuple(sorted({cycle for cycle in found if cycle}))
        return Pinned(cycles, is_complete=None not in found)

    def _in_doubt(self) -> Iterator[int | None]:
        ids = [command.decision_id for command in self._journal.in_doubt()]
        self._cycles = {number: self._cycles[number] for number in ids if number in self._cycles}
        for number in ids:
            if number not in self._cycles and self._left:
                self._left -= 1
                record = self._journal.decision(number)
                body = record.leaf.body if record else None
                self._cycles[number] = body.cycle if isinstance(body, Decision) else 0
            yield self._cycles.get(number)

    def _overridden(self) -> Iterator[int]:
        for row in _rows(self._journal, "override/").values():
            yield _override_decoder.decode(row).cycle

    def _commanded(self) -> Iterator[int | None]:
        for point, row in _rows(self._journal, "point/").items():
            if _point_decoder.decode(row).owned:
                yield self._journal.written_in(point) or self._written_before(point)

    def _written_before(self, point: str) -> int | None:
        if point not in self._written and self._left:
            self._left -= 1
            bodies = [record.leaf.body for record in self._journal.decisions(WRITES_WITHIN, point=point)]
            writes = (body.cycle for body in bodies if isinstance(body, Decision) and body.write)
            self._written[point] = next(writes, 0)
        return self._written.get(point)


def retained(journal: Journal) -> list[Retained]:
    """Return the decisions that people retain, by id."""
    rows = _rows(journal, RETAINED).values()
    return sorted((_retained_decoder.decode(row) for row in rows), key=lambda one: one.decision_id)


def _rows(journal: Journal, prefix: str) -> dict[str, bytes]:
    """Return the saved rows of a kind, without the prefix of their keys."""
    first = prefix.encode()
    below = first[:-1] + bytes([first[-1] + 1])
    rows = journal.store.read(lambda reading: reading.scan(Table.SAVE, first=first, below=below, limit=ROWS_MAX))
    return {key[len(first) :].decode(): unguard(key, row) for key, row in rows}
