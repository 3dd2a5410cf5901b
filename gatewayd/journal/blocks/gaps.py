"""What the flight recorder lost: cycles that no block holds, told to the journal so that a replay can name them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import msgspec

from gatewayd.model.decision import RUN_SHIFT
from gatewayd.model.record import Gap

STREAM: Final = "blocks"
UNTOLD_MAX = 64
PINS_FILL: Final = "blocks that must stay fill storage.evidence_mb"
NOT_SEALED: Final = "the store took no block"
TOO_SLOW: Final = "sealing could not keep up"
TAIL: Final = "the unsealed tail of the last run is lost"


class Gaps:
    """Gaps that are not journalled yet. Of a loss that goes on the first block is told at once, the rest at its end."""

    def __init__(self) -> None:
        self._told: Gap | None = None
        self._growing: Gap | None = None
        self._untold: list[Gap] = []
        self._asked = 0  # of the untold ones, those that somebody may be journalling

    def lose(self, first_cycle: int, last_cycle: int, cycles: int, reason: str) -> None:
        """Note that the cycles of a block are lost."""
        gap = Gap(STREAM, first_cycle, last_cycle, cycles, reason)
        if self._growing is not None and _goes_on(self._growing, gap):
            self._growing = _joined(self._growing, gap)
            return
        self.end()
        if len(self._untold) > self._asked and _goes_on(self._untold[-1], gap):
            self._untold[-1] = _joined(self._untold[-1], gap)
        elif self._told is not None and _goes_on(self._told, gap):
            self._growing = gap
        else:
            self._add(gap)

    def end(self) -> None:
        """Note that what was being lost is kept again, or that nothing more will come."""
        if self._growing is not None:
            self._add(self._growing)
        self._growing = None

    def untold(self) -> tuple[Gap, ...]:
        """Return the gaps to be journalled now, in the order in which they arose."""
        self._asked = len(self._untold)
        return tuple(self._untold)

    def tell(self, told: Sequence[Gap]) -> None:
        """Note that these, the first of the untold ones, are durable; none = it failed, and they stay untold."""
        del self._untold[: len(told)]
        self._asked = 0
        self._told = told[-1] if told else self._told

    def _add(self, gap: Gap) -> None:
        """Keep a gap; of too many the newest are told as one."""
        if len(self._untold) >= UNTOLD_MAX and len(self._untold) > self._asked:
            gap = _joined(self._untold.pop(), gap)
        self._untold.append(gap)


def lost_tail(run: int, sealed_cycle: int, decided_cycle: int) -> Gap:
    """Return what a run that did not end in order has lost: the cycles behind its last sealed block.

    Args:
        run: its number; its cycles are from run << 40 on.
        sealed_cycle: the last one in a sealed block, of whatever run; 0 = none.
        decided_cycle: the last one in which something was decided, of whatever run; 0 = none.

    Returns:
        A gap whose last cycle is 0 where the journal does not know it, as then its count.
    """
    first = max((run << RUN_SHIFT) + 1, sealed_cycle + 1)
    if decided_cycle < first:
        return Gap(STREAM, first, 0, 0, TAIL)
    return Gap(STREAM, first, decided_cycle, decided_cycle - first + 1, TAIL + "; it went on at least so far")


def _goes_on(before: Gap, gap: Gap) -> bool:
    return gap.reason == before.reason and gap.first == before.last + 1


def _joined(before: Gap, gap: Gap) -> Gap:
    first, last = min(before.first, gap.first), max(before.last, gap.last)
    return msgspec.structs.replace(gap, first=first, last=last, count=before.count + gap.count)
