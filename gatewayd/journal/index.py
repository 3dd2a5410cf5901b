"""Keys of the index table. An index only finds a record; the record itself is checked when it is read."""

from __future__ import annotations

from gatewayd.journal.leaf import Draft
from gatewayd.model.record import Kind
from gatewayd.store.tables import u64

DECISIONS = b"d"


def decision_key(decision_id: int) -> bytes:
    """Return the key under which a decision's seq stands."""
    return DECISIONS + u64(decision_id)


def outcomes_prefix(decision_id: int) -> bytes:
    """Return the prefix of a decision's outcome keys, each of which ends with a seq."""
    return b"o" + u64(decision_id)


def kind_prefix(kind: Kind) -> bytes:
    """Return the prefix of the keys of a kind's records, each of which ends with a seq."""
    return b"k" + bytes([kind])


def point_prefix(point: str) -> bytes:
    """Return the prefix of a point's decision keys, each of which ends with a decision id; the value is a seq."""
    return b"p" + point.encode() + b"\x00"


def rows_of(draft: Draft, seq: int) -> list[tuple[bytes, bytes]]:
    """Return the index rows of one record."""
    rows = [(kind_prefix(draft.kind) + u64(seq), b"")]
    if draft.kind == Kind.DECISION:
        rows.append((decision_key(draft.decision_id), u64(seq)))
        rows.append((point_prefix(draft.point) + u64(draft.decision_id), u64(seq)))
    elif draft.kind == Kind.OUTCOME:
        rows.append((outcomes_prefix(draft.decision_id) + u64(seq), b""))
    return rows
