"""Full jitter: a fleet that lost its broker together must not come back together."""

from __future__ import annotations

from collections.abc import Callable

FIRST_NS = 1_000_000_000
CEILING_NS = 300_000_000_000


class Backoff:
    """Delays drawn from [0, ceiling], the ceiling doubling from 1 s.

    Args:
        uniform: returns a float in [0, 1); a source of randomness, or a test's constant.
        highest_ns: where the ceiling stops.
    """

    def __init__(self, uniform: Callable[[], float], highest_ns: int = CEILING_NS) -> None:
        self._uniform = uniform
        self._highest_ns = highest_ns
        self._ceiling_ns = FIRST_NS

    def next_ns(self) -> int:
        """Return how long to wait before the next attempt, in nanoseconds."""
        delay_ns = int(self._ceiling_ns * self._uniform())
        self._ceiling_ns = min(2 * self._ceiling_ns, self._highest_ns)
        return delay_ns

    def reset(self) -> None:
        """The far end answered: the next loss starts again at 1 s."""
        self._ceiling_ns = FIRST_NS
