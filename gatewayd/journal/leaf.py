"""From a new record to the bytes of a leaf, and back.

A leaf is `schema byte || flag byte || msgpack([seq, wall_ns, boot_ns, boot_id, clock_quality, body])`, at most 65,535
bytes. Personal texts leave a salted hash in the leaf and stand, with their salt, in a side table: deleting that row
breaks no proof.
"""

from __future__ import annotations

import os
from hashlib import sha256

import msgspec
from msgspec import Struct

from gatewayd.errors import StoreError
from gatewayd.model.decision import NewRecord
from gatewayd.model.record import SCHEMA, Body, ClockQuality, Decision, Kind, Leaf, Outcome

LEAF_BYTES_MAX = 65_535
STAMP_BYTES_MAX = 96  # schema, flags and everything before the body
EVIDENCE_BYTES_MAX = 1 << 20
PERSONAL_BYTES_MAX = 4096  # per text
SALT_BYTES = 32

PersonalRow = dict[str, tuple[bytes, str]]  # field -> (salt, text)

_encoder = msgspec.msgpack.Encoder()
_leaf_decoder = msgspec.msgpack.Decoder(Leaf)
_personal_decoder = msgspec.msgpack.Decoder(PersonalRow)


class Stamp(Struct, frozen=True):
    """When and on which clock a transaction's leaves were made."""

    wall_ns: int
    boot_ns: int
    boot_id: bytes  # 16 bytes
    clock_quality: ClockQuality


class Draft(Struct, frozen=True):
    """A record that is ready but for its place in the log."""

    kind: Kind
    body: bytes  # msgpack
    personal: bytes = b""  # msgpack of a PersonalRow; empty = none
    evidence: bytes = b""
    evidence_digest: bytes = b""
    decision_id: int = 0  # of a decision, or the one an outcome belongs to
    point: str = ""  # of a decision
    cycle: int = 0  # of a decision


def kind_of(body: Body) -> Kind:
    """Return the kind of a body, which is its tag."""
    tag = body.__struct_config__.tag
    assert isinstance(tag, int), body
    return Kind(tag)


def personal_hash(salt: bytes, text: str) -> bytes:
    """Return SHA-256(salt || UTF-8 text)."""
    return sha256(salt + text.encode()).digest()


def draft(record: NewRecord) -> Draft:
    """Prepare a record: salt and hash its personal texts, check its evidence, encode its body.

    Raises:
        StoreError: the record is larger than a leaf may be.
    """
    personal: PersonalRow = {field: (os.urandom(SALT_BYTES), text) for field, text in record.personal.items() if text}
    _check_size("a personal text", max((len(text.encode()) for _, text in personal.values()), default=0))
    body = record.body
    if personal:
        hashes = {field: personal_hash(salt, text) for field, (salt, text) in personal.items()}
        body = msgspec.structs.replace(body, **hashes)
    evidence_digest = sha256(record.evidence).digest() if record.evidence else b""
    assert getattr(body, "evidence", b"") == evidence_digest, "the body cites other evidence than it came with"
    encoded = _encoder.encode(body)
    _check_size("a record", len(encoded), LEAF_BYTES_MAX - STAMP_BYTES_MAX)
    _check_size("an evidence slice", len(record.evidence), EVIDENCE_BYTES_MAX)
    decision = body if isinstance(body, Decision) else None
    return Draft(
        kind=kind_of(body),
        body=encoded,
        personal=_encoder.encode(personal) if personal else b"",
        evidence=record.evidence,
        evidence_digest=evidence_digest,
        decision_id=body.decision_id if isinstance(body, Decision | Outcome) else 0,
        point=decision.point if decision else "",
        cycle=decision.cycle if decision else 0,
    )


def _check_size(what: str, size: int, most: int = PERSONAL_BYTES_MAX) -> None:
    if size > most:
        raise StoreError(
            f"{what} of {size} bytes is too large for the journal (at most {most})",
            remedy="Shorten the texts, or let the rule read fewer samples at once.",
        )


def encode_leaf(seq: int, stamp: Stamp, body: bytes) -> bytes:
    """Return the bytes of a leaf; they equal those of encoding a `Leaf` whole."""
    fields = (seq, stamp.wall_ns, stamp.boot_ns, stamp.boot_id, stamp.clock_quality, msgspec.Raw(body))
    leaf = bytes((SCHEMA, 0)) + _encoder.encode(fields)
    assert len(leaf) <= LEAF_BYTES_MAX, len(leaf)
    return leaf


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
    except msgspec.MsgspecError as error:
        raise ValueError(str(error)) from error


def decode_personal(row: bytes) -> PersonalRow:
    """Return a row of the personal table.

    Raises:
        ValueError: malformed.
    """
    try:
        return _personal_decoder.decode(row)
    except msgspec.MsgspecError as error:
        raise ValueError(str(error)) from error


def wrong_personal_field(body: Body, row: PersonalRow) -> str | None:
    """Return the first field whose text does not fit the hash in the body; None if all do."""
    for field, (salt, text) in row.items():
        if getattr(body, field, None) != personal_hash(salt, text):
            return field
    return None
