"""The mark in the tables: which frames of the redo file are not in them yet. One bit of it would void them all."""

from __future__ import annotations

from hashlib import sha256

from gatewayd.errors import StoreDamaged
from gatewayd.store.tables import Table
from gatewayd.store.transaction import Reading, Writes

MARK_KEY = b"mark"  # in META
SUM_KEY = b"mark-sum"  # in META: begins the mark's SHA-256; LMDB would give back a mark with another bit
SUM_BYTES = 8


def write_mark(writing: Writes, mark: bytes) -> None:
    """Set the mark."""
    writing.put(Table.META, MARK_KEY, mark)
    writing.put(Table.META, SUM_KEY, sha256(mark).digest()[:SUM_BYTES])


def sound_mark(reading: Reading) -> bytes:
    """Return the mark; empty = there is none yet.

    Raises:
        StoreDamaged: it is not what was written, and nothing else says which frames still count.
    """
    mark, digest = reading.get(Table.META, MARK_KEY) or b"", reading.get(Table.META, SUM_KEY)
    if digest is not None and digest != sha256(mark).digest()[:SUM_BYTES]:  # stores of earlier versions have none
        raise lost_on_disk("the mark of its redo file is damaged")
    return mark


def lost_on_disk(what: str) -> StoreDamaged:
    """Return the error of a store that must not be gone on with."""
    return StoreDamaged(
        f"the disk did not give back what was acknowledged: {what}",
        remedy="Nothing to do: the next start begins a new epoch of the journal.",
    )
