"""Snapshots of the core beside the blocks of the flight recorder: their stored form, and which are worth their bytes.

Whoever replays a block begins with a snapshot and runs every cycle from there on. So the first block of a run or of a site
has one; so has a block whose way from the last snapshot leads over blocks that expire before it; and of a long way without
any, one is kept each time the blocks since have become several times as large as a snapshot is.
"""

from __future__ import annotations

from collections.abc import Callable
from hashlib import sha256
from typing import Final, NamedTuple

import zstandard

from gatewayd.core.snapshot import Captured, head_of
from gatewayd.errors import JournalDamaged

BLOCKS_PER_STATE: Final = 4  # bytes of blocks for each byte of a snapshot, at least: what is kept is mostly inputs
QUOTA_PER_STATE: Final = 8  # a snapshot larger than this part of the quota would cost too many blocks
PLAIN_BYTES_MAX: Final = 256 << 20  # 65,536 tags with many detectors are some 60 MB
COMPRESSION_LEVEL: Final = 1  # a tenth larger than 3, in half the time and a fraction of the memory


class PackedState(NamedTuple):
    """A snapshot as it is stored, and its SHA-256; both empty for none."""

    content: bytes
    digest: bytes


NO_STATE: Final = PackedState(b"", b"")


def pack_state(captured: Captured) -> PackedState:
    """Return the stored form of a captured state."""
    head = head_of(captured)
    packing = zstandard.ZstdCompressor(level=COMPRESSION_LEVEL).compressobj(size=len(head) + len(captured.cells))
    content = packing.compress(head) + packing.compress(captured.cells) + packing.flush()
    return PackedState(content, sha256(content).digest())


def unpack_state(content: bytes, digest: bytes) -> bytes:
    """Return what `core.snapshot.restore` takes.

    Raises:
        JournalDamaged: it does not have the hash `digest`, would expand beyond every bound, or is malformed.
    """
    if sha256(content).digest() != digest:
        raise _damaged(digest, "it does not have the hash that the journal cites")
    try:
        claimed = zstandard.frame_content_size(content)
        if not 0 <= claimed <= PLAIN_BYTES_MAX:
            raise _damaged(digest, f"it claims to hold {claimed} bytes")
        return zstandard.ZstdDecompressor(max_window_size=PLAIN_BYTES_MAX).decompress(content)
    except zstandard.ZstdError as error:
        raise _damaged(digest, str(error)) from error


class Camera:
    """Copies the core's state into memory that it keeps: fresh pages would cost a cycle several times what the copy does.

    Args:
        capture: copies the state as it is after the cycle taken last, into a buffer if there is one.
    """

    def __init__(self, capture: Callable[[bytearray | None], Captured]) -> None:
        self._capture = capture
        self._buffer: bytearray | None = None

    def look(self) -> Captured:
        """Copy the state, between two cycles."""
        buffer, self._buffer = self._buffer, None
        return self._capture(buffer)

    def take_back(self, captured: Captured) -> None:
        """Use the memory of a copy again, whose columns nobody reads any more."""
        self._buffer = captured.cells


class StatePolicy:
    """Says which blocks keep their snapshot.

    Args:
        quota_bytes: of the flight recorder.
    """

    def __init__(self, quota_bytes: int) -> None:
        self._bytes_max = quota_bytes // QUOTA_PER_STATE
        self._is_cut = True  # a block is missing since the last snapshot, so what follows cannot be reached from it
        self._has_uncited = False  # or will be missing before the others
        self._bytes_since = 0

    def choose(self, packed: PackedState | None, *, is_cited: bool, is_first: bool) -> PackedState:
        """Return what is to be kept beside a block, which may be nothing.

        Args:
            packed: of the core before its first cycle.
            is_cited: something was decided in its cycles.
            is_first: of a run, or of a site.
        """
        if packed is None or len(packed.content) > self._bytes_max:
            return NO_STATE
        is_far = self._bytes_since >= BLOCKS_PER_STATE * len(packed.content)
        is_needed = is_first or self._is_cut or is_far or (is_cited and self._has_uncited)
        return packed if is_needed else NO_STATE

    def sealed(self, state: PackedState, *, size: int, is_cited: bool) -> None:
        """Take note of a block that is kept, with a snapshot or without."""
        if state.digest:
            self._is_cut = self._has_uncited = False
            self._bytes_since = 0
        self._has_uncited |= not is_cited
        self._bytes_since += size

    def lose(self) -> None:
        """Take note of a block that could not be kept."""
        self._is_cut = True


def _damaged(digest: bytes, what: str) -> JournalDamaged:
    return JournalDamaged(
        f"snapshot {digest.hex()[:16]} of the core: {what}",
        remedy="Run `gatewayd journal verify`; replay can begin at a later block.",
    )
