"""A breaker per device: one that keeps failing is left alone for a while, so that it harms only its own tags."""

from __future__ import annotations


class Breaker:
    """Counts failures in a row and demotes.

    Args:
        demote_after: failures in a row before the device is left alone.
        demote_for_ns: for how long.
    """

    def __init__(self, demote_after: int, demote_for_ns: int) -> None:
        self.demote_after = demote_after
        self.demote_for_ns = demote_for_ns
        self._failures = 0
        self.open_until_ns = 0

    @property
    def state(self) -> str:
        """Return `connected`, `lost` or `demoted`."""
        if self.open_until_ns:
            return "demoted"
        return "lost" if self._failures else "connected"

    def allows(self, now_mono_ns: int) -> bool:
        """Say whether the device may be tried now."""
        return now_mono_ns >= self.open_until_ns

    def succeed(self) -> None:
        """Forget all failures."""
        self._failures = 0
        self.open_until_ns = 0

    def forgive(self) -> None:
        """Allow another try now; one more failure and it is left alone again."""
        self.open_until_ns = 0

    def fail(self, now_mono_ns: int) -> None:
        """Count a failure; from the limit on, each one keeps the device alone for another while."""
        self._failures += 1
        if self._failures >= self.demote_after:
            self.open_until_ns = now_mono_ns + self.demote_for_ns
