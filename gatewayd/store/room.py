"""How much room a store has, and what follows from that: nothing, a warning, or no automatic writes.

Pure: numbers in, a level out. `Store.room` measures; `gatewayd.quota` acts on the levels.
"""

from __future__ import annotations

from enum import StrEnum

from msgspec import Struct

INODES_MIN = 64
REFUSED_AT = 0.95  # the share that a store without room for ordinary records is said to be filled to, at least
NEARLY_REFUSED_AT = 0.945  # ends no automatic writes under the usual limits, and lets none come back


class Level(StrEnum):
    """What the room left allows."""

    AMPLE = "ample"
    WARNING = "warning"  # everything goes on; people should make room
    MONITOR = "monitor"  # automatic writes stop; the reserve is for people and last words


class Limits(Struct, frozen=True):
    """Where levels begin and end, as shares from 0 to 1: warn_clear < warn <= resume < monitor.

    Args:
        warn: a warning begins here,
        warn_clear: and ends below this.
        monitor: automatic writes end here,
        resume: and come back below this.
    """

    warn: float = 0.70
    warn_clear: float = 0.65
    monitor: float = 0.95
    resume: float = 0.90

    @property
    def shed(self) -> float:
        """Return where the flight recorder begins to give room to the journal, so that automatic writes need not end."""
        return (self.resume + self.monitor) / 2


def next_level(level: Level, fill: float, limits: Limits) -> Level:
    """Return the level that follows from a fill, given the one before: each limit has its own way back."""
    if fill >= limits.monitor or (level is Level.MONITOR and fill >= limits.resume):
        return Level.MONITOR
    if fill >= limits.warn or (level is not Level.AMPLE and fill >= limits.warn_clear):
        return Level.WARNING
    return Level.AMPLE


class Room(Struct, frozen=True):
    """What a store takes and may take, in bytes.

    Args:
        used: of pages that hold rows.
        quota: that the tables may take.
        refused: from this many on, ordinary records are refused.
        file: that the data file has on the disk already; what it holds of free pages is used again.
        disk_free: that the file system has for us beside that.
        is_disk_full: it refused the store more room.
        floor: a disk with less than this left is as good as full, whatever the store has allocated ahead.
        inodes_free: files that the file system still takes; -1 = it does not count them.
    """

    used: int
    quota: int
    refused: int
    file: int
    disk_free: int
    is_disk_full: bool = False
    inodes_free: int = -1
    floor: int = 0

    @property
    def limit(self) -> int:
        """Return how much the store can ever take: its quota, or what the disk has for it, whichever is nearer."""
        return max(1, min(self.quota, self.file + self.disk_free))

    @property
    def lacks_inodes(self) -> bool:
        """Say whether the file system takes hardly any more files; the tables need none, whoever looks after them does."""
        return 0 <= self.inodes_free < INODES_MIN

    @property
    def is_disk_nearer(self) -> bool:
        """Say whether the disk ends before the quota does."""
        return self.is_disk_full or self.disk_free < 2 * self.floor or self.file + self.disk_free < self.quota

    @property
    def fill(self) -> float:
        """Return the share of the limit that is used; 0.95 at least where ordinary records are refused."""
        return max(self.own_fill, self._disk_fill)

    @property
    def own_fill(self) -> float:
        """Return the same without what others make of the disk: rows that are deleted lower it."""
        refused = REFUSED_AT * self.used / max(1, self.refused)
        return max(self.used / self.limit, min(refused, 1.0))

    @property
    def _disk_fill(self) -> float:
        """Return what a disk that is full counts for; it is so until twice the floor is free again."""
        if self.is_disk_full or self.disk_free < self.floor:
            return REFUSED_AT
        return NEARLY_REFUSED_AT if self.disk_free < 2 * self.floor else 0.0
