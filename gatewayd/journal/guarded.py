"""Rows that no tree covers carry a short hash of their own: LMDB gives flipped bits back without a word."""

from __future__ import annotations

from hashlib import sha256

from gatewayd.errors import JournalDamaged

GUARD_BYTES = 8


def guard(key: bytes, value: bytes) -> bytes:
    """Return the stored form of a value: its hash, then itself."""
    return _hash(key, value) + value


def unguard(key: bytes, stored: bytes) -> bytes:
    """Return the value of a stored row.

    Raises:
        JournalDamaged: the row is not what was stored under this key.
    """
    value = stored[GUARD_BYTES:]
    if stored[:GUARD_BYTES] != _hash(key, value):
        raise JournalDamaged(
            f"the saved state {key!r} is not what was saved",
            remedy="Keep the store's folder for the auditor and run `gatewayd journal verify`.",
        )
    return value


def _hash(key: bytes, value: bytes) -> bytes:
    return sha256(len(key).to_bytes(2, "big") + key + value).digest()[:GUARD_BYTES]
