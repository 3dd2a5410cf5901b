"""What keeps the gateway in MONITOR. Each cause ends by itself; automatic writes come back when none is left."""

from __future__ import annotations

from enum import StrEnum


class Inhibit(StrEnum):
    """A cause for which automatic writes stop."""

    SETTLING = "settling"  # after a start
    EPOCH = "epoch"  # a damaged journal was given up, and nobody has seen it yet
    STORAGE = "storage"  # the quota or the disk is nearly used up
    JOURNAL = "journal"  # it cannot be written


class Inhibits:
    """The causes that stand now, each with its words for people."""

    def __init__(self) -> None:
        self._standing: dict[Inhibit, str] = {}

    def begin(self, inhibit: Inhibit, reason: str) -> bool:
        """Let a cause stand; True if none did before."""
        was_free = not self._standing
        self._standing[inhibit] = reason
        return was_free

    def end(self, inhibit: Inhibit) -> bool:
        """Let a cause end; True if it was the last one."""
        return self._standing.pop(inhibit, None) is not None and not self._standing

    def stands(self, inhibit: Inhibit) -> bool:
        """Say whether a cause stands."""
        return inhibit in self._standing

    def is_only(self, inhibit: Inhibit) -> bool:
        """Say whether nothing but this cause stands."""
        return set(self._standing) <= {inhibit}

    @property
    def reasons(self) -> tuple[str, ...]:
        """Return the words of all causes."""
        return tuple(self._standing.values())
