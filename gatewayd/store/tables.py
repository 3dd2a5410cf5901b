"""The named tables of the store, and what their keys are. Names are for ever; integers in keys are big-endian u64."""

from __future__ import annotations

from enum import StrEnum


class Table(StrEnum):
    """One named LMDB database each."""

    ENTRY = "entry"  # seq -> leaf hash + leaf bytes, of records that are in no bundle yet
    BUNDLE = "bundle"  # tile index -> the leaves of a full tile, compressed; see journal/bundle.py
    TILE = "tile"  # tile level byte + index -> 8192 bytes, full tiles only
    EDGE = "edge"  # b"e" -> size + right-edge hashes; b"p" + level -> the partial tile of a level above 0
    CHECKPOINT = "checkpoint"  # size -> signed note
    COSIGNED = "cosigned"  # size -> signed note with cosignatures of others; kept for ever
    KEY = "key"  # size -> Handover: the key that counts from this size on, and its proof; see journal/care/chain.py
    INTENT = "intent"  # decision id -> Command: writes whose outcome is not journalled yet
    PERSONAL = "personal"  # seq -> {field: [salt, text]}; may be deleted without breaking a proof
    EVIDENCE = "evidence"  # b"r" + seq -> evidence slice; b"t" + tile index -> those of a full tile, compressed
    BLOCK = "block"  # SHA-256 -> sealed flight-recorder block, or a snapshot of the core before one
    BLOCK_INDEX = "block_index"  # first cycle + seq of the block record -> BlockEntry
    INDEX = "index"  # see journal/index.py
    SAVE = "save"  # key -> state that must survive a restart
    CURSOR = "cursor"  # stream -> how far the cloud has acknowledged
    BLOB = "blob"  # SHA-256 -> configuration bytes
    META = "meta"  # b"format" -> version of this layout


def u64(number: int) -> bytes:
    """Return the key form of an integer, 0 to 2^64 - 1: keys sort as the numbers do."""
    return number.to_bytes(8, "big")


def from_u64(key: bytes) -> int:
    """Return the integer in the first 8 bytes of a key."""
    return int.from_bytes(key[:8], "big")
