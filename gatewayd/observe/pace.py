"""How fast the loop runs: the last thousand durations of each kind, for status and benches. Bounded, no dependency."""

from __future__ import annotations

from collections import deque

KEPT = 1024


class Durations:
    """The newest `KEPT` durations."""

    def __init__(self) -> None:
        self._kept: deque[int] = deque(maxlen=KEPT)
        self.count = 0

    def add(self, duration_ns: int) -> None:
        """Keep one more."""
        self._kept.append(duration_ns)
        self.count += 1

    def quantile_ms(self, q: float) -> float | None:
        """Return the q-quantile of the kept durations in milliseconds, or None if there are none."""
        if not self._kept:
            return None
        ordered = sorted(self._kept)
        return ordered[min(len(ordered) - 1, int(q * len(ordered)))] / 1e6


class Pace:
    """Durations of the control loop.

    Attributes:
        busy: a cycle without its commit.
        commit: making a cycle's records durable.
        decision: last response byte of the newest block of a cycle to the moment its write is sent.
    """

    def __init__(self) -> None:
        self.cycles = 0
        self.busy = Durations()
        self.commit = Durations()
        self.decision = Durations()
