"""From a new record to the bytes of a leaf, and back.

A leaf is `schema byte || flag byte || msgpack([seq, wall_ns, boot_ns, boot_id, clock_quality, body])`, at most 65,535
bytes. Personal texts leave a salted hash in the leaf and stand, with their salt, in a side table: deleting that row
breaks no proof.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from functools import lru_cache
from hashlib import sha256

import msgspec
from msgspec import Struct

from gatewayd.errors import UNDECODABLE, StoreError
from gatewayd.journal.reserve import Reserve, reserve_of
from gatewayd.model.decision import NewRecord
from gatewayd.model.record import SCHEMA, Body, ClockQuality, Decision, Kind, Leaf, kind_of

LEAF_BYTES_MAX = 65_535
STAMP_BYTES_MAX = 96  # schema, flags and everything before the body
EVIDENCE_BYTES_MAX = 1 << 20
PERSONAL_BYTES_MAX = 4096  # per text
PERSONAL_FIELDS = ("reason_text", "actor_name")  # of a body that hold the hash of a text
SALT_BYTES = 32

LEAF_PREFIX = bytes((SCHEMA, 0))  # schema and flags
_LEAF_HEAD = LEAF_PREFIX + b"\x96"  # msgpack's array of six

PersonalRow = dict[str, tuple[bytes, str]]  # field -> (salt, text)

_encoder = msgspec.msgpack.Encoder()
_leaf_decoder = msgspec.msgpack.Decoder(Leaf)
_personal_decoder = msgspec.msgpack.Decoder(PersonalRow)


class Stamp(Struct, frozen=True, gc=False, cache_hash=True):
    """When and on which clock a transaction's leaves were made."""

    wall_ns: int
    boot_ns: int
    boot_id: bytes  # 16 bytes
    clock_quality: ClockQuality


class Draft(Struct, frozen=True, gc=False):
    """A record that is ready but for its place in the log."""

    kind: Kind
    body: bytes  # msgpack
    personal: bytes = b""  # msgpack of a PersonalRow; empty = none
    evidence: bytes = b""
    point: str = ""  # of a decision
    decision_id: int = 0  # of a decision
    cycle: int = 0  # of a decision
    reserve: Reserve = Reserve.NONE  # it may use when the store counts as full


def personal_hash(salt: bytes, text: str) -> bytes:
    """Return SHA-256(salt || UTF-8 text)."""
    return sha256(salt + text.encode()).digest()


def draft(record: NewRecord) -> Draft:
    """Prepare a record: salt and hash its personal texts, check its evidence, encode its body.

    Raises:
        StoreError: the record is larger than a leaf may be.
    """
    body, evidence = record.body, record.evidence
    personal = _salted(record.personal) if record.personal else {}
    if personal:
        hashes = {field: personal_hash(salt, text) for field, (salt, text) in personal.items()}
        body = msgspec.structs.replace(body, **hashes)
    cited = getattr(body, "evidence", b"")
    assert cited == (sha256(evidence).digest() if evidence else b""), "the body cites other evidence than it came with"
    encoded = _encoder.encode(body)
    if len(encoded) > LEAF_BYTES_MAX - STAMP_BYTES_MAX:
        raise _too_large("a record", len(encoded), LEAF_BYTES_MAX - STAMP_BYTES_MAX)
    if len(evidence) > EVIDENCE_BYTES_MAX:
        raise _too_large("an evidence slice", len(evidence), EVIDENCE_BYTES_MAX)
    decided = body if isinstance(body, Decision) else None
    return Draft(
        kind=kind_of(body),
        body=encoded,
        personal=_encoder.encode(personal) if personal else b"",
        evidence=evidence,
        point=decided.point if decided else "",
        decision_id=decided.decision_id if decided else 0,
        cycle=decided.cycle if decided else 0,
        reserve=reserve_of(body),
    )


def _salted(texts: Mapping[str, str]) -> PersonalRow:
    for text in texts.values():
        if len(text.encode()) > PERSONAL_BYTES_MAX:
            raise _too_large("a personal text", len(text.encode()), PERSONAL_BYTES_MAX)
    return {field: (os.urandom(SALT_BYTES), text) for field, text in texts.items() if text}


def _too_large(what: str, size: int, most: int) -> StoreError:
    return StoreError(
        f"{what} of {size} bytes is too large for the journal (at most {most})",
        remedy="Shorten the texts, or let the rule read fewer samples at once.",
    )


def encode_leaf(seq: int, stamp: Stamp, body: bytes) -> bytes:
    """Return the bytes of a leaf; they equal those of encoding a `Leaf` whole."""
    leaf = _LEAF_HEAD + _encoder.encode(seq) + _stamp_bytes(stamp) + body
    assert len(leaf) <= LEAF_BYTES_MAX, len(leaf)
    return leaf


@lru_cache(maxsize=1)
def _stamp_bytes(stamp: Stamp) -> bytes:
    """Return the four fields of a leaf that all leaves of a transaction share."""
    fields = (stamp.wall_ns, stamp.boot_ns, stamp.boot_id, stamp.clock_quality)
    return b"".join(map(_encoder.encode, fields))


def decode_leaf(data: bytes) -> Leaf:
    """Return the leaf of its stored bytes.

    Raises:
        ValueError: too long, of an unknown schema, sealed, or malformed.
    """
    if not 2 < len(data) <= LEAF_BYTES_MAX:
        raise ValueError(f"a leaf of {len(data)} bytes")
    if data[0] != SCHEMA:
        raise ValueError(f"schema {data[0]}, this version knows {SCHEMA}")
    if data[1] != 0:
        raise ValueError(f"flags {data[1]:#04x}, this version knows none")
    try:
        return _leaf_decoder.decode(memoryview(data)[2:])
    except UNDECODABLE as error:
        raise ValueError(str(error)) from error


def decode_personal(row: bytes) -> PersonalRow:
    """Return a row of the personal table.

    Raises:
        ValueError: malformed.
    """
    try:
        return _personal_decoder.decode(row)
    except UNDECODABLE as error:
        raise ValueError(str(error)) from error


def wrong_personal_field(body: Body, row: PersonalRow) -> str | None:
    """Return the first field whose text does not fit the hash in the body; None if all do."""
    for field, (salt, text) in row.items():
        if getattr(body, field, None) != personal_hash(salt, text):
            return field
    return None
