"""Blocks of the disk that a store holds: its data file grown ahead of need, and a ballast to give up.

A disk that fills up must say so when the file grows, and not in the midst of a transaction: LMDB, which meets a full disk
while it writes a meta page, refuses everything until it is opened anew. So the file has its blocks before pages are
written to them. When the file cannot grow any more the store counts as full; what must be written all the same goes into
the blocks that were allocated ahead, and then into those of the ballast.
"""

from __future__ import annotations

import errno
import os
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from gatewayd.store.disk import allocate
from gatewayd.store.redo import PAGE_BYTES

BALLAST_NAME = "ballast"
BALLAST_BYTES_MAX = 8 << 20
BALLAST_SHARE = 50  # of the quota, a fiftieth
BALLAST_QUOTA_MIN = 2 << 20  # a store that small has better use for the blocks
RESERVE_SHARE = 0.05  # of the map, kept for records that must still be written
RESERVE_PAGES_MIN = 128  # one transaction copies every page that it touches before the old ones are free
REDO_BYTES_MAX = 1 << 20  # bounds how long the tables take to catch up, for which they may use the much larger reserve
REDO_SHARE = 64  # of the quota, at least
FLOOR_SHARE = 50  # of the disk, a fiftieth at most
AHEAD_BYTES_MIN = 512 << 10  # one transaction copies every page that it touches before the old ones are free
AHEAD_BYTES_MAX = 4 << 20
AHEAD_SHARE = 32  # of the map

NO_SPACE = frozenset({errno.ENOSPC, errno.EDQUOT})


def ballast_bytes(quota_bytes: int, page: int) -> int:
    """Return the size of the ballast under a quota, whole pages; 0 = there is none."""
    if quota_bytes < BALLAST_QUOTA_MIN:
        return 0
    return max(page, min(BALLAST_BYTES_MAX, quota_bytes // BALLAST_SHARE) // page * page)


class Sizes(NamedTuple):
    """How a quota is divided, in bytes: the tables' map, where it counts as full, the redo file, the ballast."""

    map: int
    full: int
    redo: int
    ballast: int


def sizes_of(quota_bytes: int, page: int) -> Sizes:
    """Divide a quota; whole pages."""
    ballast = ballast_bytes(quota_bytes, page)
    redo = min(REDO_BYTES_MAX, quota_bytes // REDO_SHARE) // PAGE_BYTES * PAGE_BYTES
    map_bytes = (quota_bytes - ballast - redo) // page * page - page  # for small files
    reserve = max(int(RESERVE_SHARE * map_bytes), RESERVE_PAGES_MIN * page)
    return Sizes(map_bytes, max(map_bytes - reserve, map_bytes // 2), redo, ballast)


class Space:
    """The blocks of one store. The owner alone may use it.

    Args:
        data: the data file; it exists.
        map_bytes: most bytes it may have.
        ballast: bytes of the ballast, 0 = none.

    Attributes:
        is_full: the disk refused more; ends with `has_room_again`.
    """

    def __init__(self, data: Path, *, map_bytes: int, ballast: int) -> None:
        self._data = data
        self._map_bytes = map_bytes
        self._ballast = data.parent / BALLAST_NAME
        self.ballast_bytes = ballast
        self.ahead_bytes = min(max(AHEAD_BYTES_MIN, min(AHEAD_BYTES_MAX, map_bytes // AHEAD_SHARE)), map_bytes // 4)
        self.is_full = False

    @property
    def file_bytes(self) -> int:
        """Return the size of the data file."""
        return self._data.stat().st_size

    def floor_bytes(self, disk_bytes: int) -> int:
        """Return what must be left of a disk of so many bytes, or it is as good as full."""
        return min(self.ballast_bytes, disk_bytes // FLOOR_SHARE)

    @property
    def has_ballast(self) -> bool:
        """Say whether the ballast is there to be given up."""
        return self._ballast.exists()

    def fill_holes(self) -> None:
        """Give the file all blocks of its size, after a start: LMDB leaves pages out that a transaction freed again."""
        self._take(0, self.file_bytes)

    def grow(self, end: int, *, need: int = 0, at_any_price: bool = False) -> bool:
        """Let the file have blocks well beyond `end`, the end of its pages; False if the disk has none left.

        Args:
            end: bytes.
            need: bytes that the next transaction may write behind that.
            at_any_price: for what must be written all the same: the blocks ahead are used up, then the ballast's. It is
                False, too, when those are not enough: a disk that takes a part of a page fails the whole store.
        """
        wanted, size = min(end + max(self.ahead_bytes, need), self._map_bytes), self.file_bytes
        if size >= wanted:
            return True
        generous = min(wanted + self.ahead_bytes, self._map_bytes)
        if self._take(size, generous) or self._take(size, wanted):
            return True
        self.is_full = True
        least = min(end + need, self._map_bytes)
        if at_any_price and size < least and self.has_ballast:
            self.give_ballast_up()
            self._take(size, min(size + self.ballast_bytes // 2, self._map_bytes))
        return at_any_price and self.file_bytes >= least

    def give_ballast_up(self) -> None:
        """Free the ballast; until there is room again the store counts as full."""
        self.is_full = True
        with suppress(OSError):
            self._ballast.unlink(missing_ok=True)

    def has_room_again(self, end: int) -> bool:
        """Try to get the ballast back, with as much left on the disk, and to grow."""
        if not self._has_ballast_again():
            return False
        self.is_full = False
        return self.grow(end)  # which sets it again

    def _has_ballast_again(self) -> bool:
        try:
            if not self.ballast_bytes:
                self._ballast.unlink(missing_ok=True)  # of a larger quota
                return True
            if not self.has_ballast and disk_under(self._data.parent).free < 2 * self.ballast_bytes:
                return False
            allocate(self._ballast, self.ballast_bytes)
            if self._ballast.stat().st_size > self.ballast_bytes:
                os.truncate(self._ballast, self.ballast_bytes)
        except OSError:
            with suppress(OSError):
                self._ballast.unlink(missing_ok=True)
            return False
        return True

    def _take(self, start: int, end: int) -> bool:
        """Allocate blocks of the file. A disk that cannot, for other reasons than room, is left to fail where it is used."""
        if end <= start:
            return True
        try:
            descriptor = os.open(self._data, os.O_RDWR | os.O_CLOEXEC)
            try:
                os.posix_fallocate(descriptor, start, end - start)
            finally:
                os.close(descriptor)
        except OSError as error:
            return error.errno not in NO_SPACE
        return True


class Disk(NamedTuple):
    """What a file system has for us: bytes of how many, and files, -1 where it does not count them."""

    free: int
    size: int
    inodes: int


def disk_under(folder: Path) -> Disk:
    """Ask the file system under a folder."""
    disk = os.statvfs(folder)
    return Disk(disk.f_bavail * disk.f_frsize, disk.f_blocks * disk.f_frsize, disk.f_favail if disk.f_files else -1)
