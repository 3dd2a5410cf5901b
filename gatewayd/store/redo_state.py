"""What the redo file of a store looks like to somebody who only looks: whole, torn, cut short, or with holes."""

from __future__ import annotations

from pathlib import Path

from msgspec import Struct

from gatewayd.store.env import QUOTA_BYTES_MIN, REDO_NAME, REDO_SIZE_KEY, Store
from gatewayd.store.environment import RUNNING_NAME
from gatewayd.store.lock import OwnerLock
from gatewayd.store.mark import MARK_KEY
from gatewayd.store.redo import read_frames, torn_bytes
from gatewayd.store.tables import Table, from_u64, u64


class RedoState(Struct, frozen=True):
    """What is wrong with a redo file. All zero: nothing.

    Args:
        batches: whole ones that the tables have not taken over yet; they count as records.
        missing_bytes: the file is so much shorter than it was laid out.
        torn_bytes: of a last batch that began and is not whole.
        lost_batches: whole ones behind that one, which are therefore acknowledged and out of reach.
        is_live: a daemon owns the store and may be writing; then only whole batches are counted.
        was_closed: the last daemon closed the store: the tables had taken over everything.
    """

    batches: int = 0
    missing_bytes: int = 0
    torn_bytes: int = 0
    lost_batches: int = 0
    is_live: bool = False
    was_closed: bool = False

    @property
    def may_lack_acknowledged(self) -> bool:
        """Say whether records that were acknowledged may be missing.

        A torn batch is usually one that the loss of power cut short, and then nobody was told that it was durable; a bit
        that flipped in it since looks the same.
        """
        return self.lost_batches > 0 or (not self.was_closed and (self.missing_bytes > 0 or self.torn_bytes > 0))

    @property
    def is_certain(self) -> bool:
        """Say whether something is wrong that no loss of power alone explains."""
        return self.lost_batches > 0 or (not self.was_closed and self.missing_bytes > 0)

    def words(self) -> str:
        """Return what is wrong, for people; empty = nothing."""
        parts = []
        if self.missing_bytes:
            parts.append(f"it was cut short by {self.missing_bytes} bytes")
        if self.torn_bytes:
            parts.append(f"its last batch, of {self.torn_bytes} bytes, is torn")
        if self.lost_batches:
            parts.append(f"{self.lost_batches} batches behind a damaged one cannot be read")
        if not parts:
            return ""
        if self.lost_batches:
            return "; ".join((*parts, "acknowledged records are missing"))
        if not self.may_lack_acknowledged:
            return "; ".join((*parts, "nothing is missing: the store was closed, and the tables hold everything"))
        return "; ".join((*parts, "acknowledged records of the last second or two may be missing"))


def redo_state(path: Path) -> RedoState:
    """Look at the redo file of a store's folder. Changes nothing.

    Raises:
        StoreError: the store cannot be opened for reading.
    """
    is_live = not OwnerLock.is_free(path)
    store = Store.open(path, QUOTA_BYTES_MIN, readonly=True)
    try:
        mark = store.get(Table.META, MARK_KEY) or b""
        laid_out = from_u64(store.get(Table.META, REDO_SIZE_KEY) or u64(0))
    finally:
        store.close()
    redo = path / REDO_NAME
    frames = read_frames(redo, mark) if mark else None
    if frames is None or is_live:
        return RedoState(batches=0 if frames is None else len(frames.payloads), is_live=is_live)
    size = redo.stat().st_size if redo.exists() else 0
    return RedoState(
        batches=len(frames.payloads),
        missing_bytes=max(0, laid_out - size),
        torn_bytes=torn_bytes(redo, mark, frames),
        lost_batches=frames.lost,
        was_closed=not (path / RUNNING_NAME).exists(),
    )
