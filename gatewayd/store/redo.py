"""The redo file: changes made durable ahead of the tables, with one small write where LMDB needs a dozen.

A commit of LMDB writes every page it touches in every table, all over the file, and then a meta page after them: on a
small disk that is several milliseconds between a decision and its write. So a batch of changes is first written here,
into a file that has its blocks already: one append and one fdatasync. The tables take it over later, with many others.

Each frame begins on a page of its own, so that no later write touches a page of a frame that was acknowledged. It
carries the mark of the store it belongs to; the transaction that takes the frames over changes that mark, and by that
alone they are void.
"""

from __future__ import annotations

import errno
import os
import struct
from hashlib import sha256
from pathlib import Path
from typing import Final

from msgspec import Struct

from gatewayd.store.disk import sync_folder

PAGE_BYTES: Final = 4096
MARK_BYTES: Final = 24  # the store's id, then a counter
COUNTER_BYTES: Final = 8
PAYLOAD_BYTES_MAX: Final = 16 << 20

_MAGIC: Final = b"gw-redo1"
_HEADER: Final = struct.Struct(f"<8s{MARK_BYTES}sII32s")  # magic, mark, number, payload bytes, SHA-256
_NO_ROOM: Final = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}


class Frames(Struct, frozen=True):
    """What a redo file holds under one mark.

    Args:
        payloads: of the frames, in order, up to the first that is not whole.
        pages: they take.
        lost: frames of this mark behind that one. A frame that was cut short by the loss of power is always the last,
            so these had been acknowledged.
    """

    payloads: tuple[bytes, ...]
    pages: int
    lost: int


class RedoFile:
    """One file of fixed size, written from the front again and again.

    Args:
        path: the file; its blocks are written with zeros if it is new, so that no later write needs the file system.
        size: bytes, whole pages.

    Raises:
        OSError: it cannot be made.
    """

    def __init__(self, path: Path, size: int) -> None:
        assert size % PAGE_BYTES == 0
        self._path = path
        self._pages = size // PAGE_BYTES
        self._next_page = 0
        self._number = 0
        self._descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            if (found := os.fstat(self._descriptor).st_size) < size:
                self._lay_out(found // PAGE_BYTES * PAGE_BYTES, size)
        except OSError:
            self.close()
            raise

    def frames(self, mark: bytes) -> Frames:
        """Return the frames of a mark, and go on behind them."""
        found = read_frames(self._path, mark)
        self._next_page, self._number = found.pages, len(found.payloads)
        return found

    def append(self, mark: bytes, payload: bytes) -> bool:
        """Make a payload durable as the next frame; False if there is no room for it, then nothing has happened.

        Raises:
            OSError: it may be durable or not.
        """
        header = _HEADER.pack(_MAGIC, mark, self._number, len(payload), _digest(mark, self._number, payload))
        frame = header + payload
        pages = -(-len(frame) // PAGE_BYTES)
        if self._next_page + pages > self._pages:
            return False
        padded = frame.ljust(pages * PAGE_BYTES, b"\0")
        try:
            written = os.pwrite(self._descriptor, padded, self._next_page * PAGE_BYTES)
        except OSError as error:
            if error.errno in _NO_ROOM:
                return False
            raise
        if written != len(padded):
            return False  # a disk without room may take a part; the frame is void, its hash does not match
        os.fdatasync(self._descriptor)
        self._next_page += pages
        self._number += 1
        return True

    def rewind(self) -> None:
        """Start from the front, under a new mark."""
        self._next_page = 0
        self._number = 0

    def close(self) -> None:
        """Give the file back."""
        os.close(self._descriptor)

    def _lay_out(self, found: int, size: int) -> None:
        """Write the pages that are missing; those that are there may hold what was acknowledged, under a smaller quota."""
        zeros = bytes(min(size - found, 1 << 20))
        for start in range(found, size, len(zeros)):
            part = zeros[: size - start]
            if os.pwrite(self._descriptor, part, start) != len(part):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        os.fsync(self._descriptor)
        sync_folder(self._path.parent)  # or a power cut takes the name, and with it what was acknowledged


def read_frames(path: Path, mark: bytes) -> Frames:
    """Return the frames of a mark in a file that another process may be writing."""
    content = _content(path)
    payloads: list[bytes] = []
    page = 0
    while (payload := _frame_at(content, page, mark, len(payloads))) is not None:
        payloads.append(payload)
        page += -(-(_HEADER.size + len(payload)) // PAGE_BYTES)
    return Frames(tuple(payloads), page, _lost_behind(content, page, mark, len(payloads)))


def strange_frames(path: Path, mark: bytes) -> int:
    """Return how many whole frames begin the file that a store with this mark cannot have left behind.

    They are another store's, or of a later state of this one: its mark was damaged, or an old copy stands in its place.
    """
    content = _content(path)
    if _frame_at(content, 0, None, 0) is None:
        return 0
    found: bytes = _HEADER.unpack_from(content)[1]
    is_earlier = found[:-COUNTER_BYTES] == mark[:-COUNTER_BYTES] and found <= mark
    return 0 if is_earlier else len(read_frames(path, found).payloads)


def torn_bytes(path: Path, mark: bytes, frames: Frames) -> int:
    """Return the bytes of a frame that was to follow `frames` and is not whole, 0 if none had begun."""
    content, start = _content(path), frames.pages * PAGE_BYTES
    if start + _HEADER.size > len(content):
        return 0
    magic, found_mark, number, size, _ = _HEADER.unpack_from(content, start)
    is_next = magic == _MAGIC and found_mark == mark and number == len(frames.payloads)
    return _HEADER.size + min(size, PAYLOAD_BYTES_MAX) if is_next else 0


def whole_payloads(path: Path) -> list[bytes]:
    """Return the payload of every whole frame in a file, of whatever mark: for people, of a store that was given up."""
    content = _content(path)
    found = (_frame_at(content, page, None, None) for page in range(len(content) // PAGE_BYTES))
    return [payload for payload in found if payload is not None]


def _content(path: Path) -> bytes:
    try:
        return path.read_bytes() if path.stat().st_size <= 2 * PAYLOAD_BYTES_MAX else b""
    except OSError:
        return b""


def _frame_at(content: bytes, page: int, mark: bytes | None, number: int | None) -> bytes | None:
    """Return the payload of the whole frame at a page, None if there is none (of this mark and number)."""
    start = page * PAGE_BYTES
    if start + _HEADER.size > len(content):
        return None
    magic, found_mark, found_number, size, digest = _HEADER.unpack_from(content, start)
    if magic != _MAGIC or mark not in (None, found_mark) or number not in (None, found_number):
        return None
    payload = content[start + _HEADER.size : start + _HEADER.size + size]
    if len(payload) != size or _digest(found_mark, found_number, payload) != digest:
        return None
    return payload


def _lost_behind(content: bytes, page: int, mark: bytes, number: int) -> int:
    """Count the whole frames of a mark behind its first one that is not whole."""
    pages = len(content) // PAGE_BYTES
    behind = [at for at in range(page + 1, pages) if _frame_at(content, at, mark, None) is not None]
    if not behind:
        return 0
    last: int = _HEADER.unpack_from(content, behind[-1] * PAGE_BYTES)[2]
    return max(1, last + 1 - number)


def _digest(mark: bytes, number: int, payload: bytes) -> bytes:
    return sha256(_MAGIC + mark + number.to_bytes(4, "little") + payload).digest()
