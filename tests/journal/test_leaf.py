"""Leaves: nothing personal in them, nothing too large, nothing believed when they are read."""

from __future__ import annotations

import contextlib
from hashlib import sha256

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gatewayd.errors import StoreError
from gatewayd.journal.leaf import (
    LEAF_BYTES_MAX,
    Stamp,
    decode_leaf,
    decode_personal,
    draft,
    encode_leaf,
    wrong_personal_field,
)
from gatewayd.model.decision import NewRecord
from gatewayd.model.record import AlarmEvent, ClockQuality, Gap
from tests.journal.samples import decision, decision_body, every_body

STAMP = Stamp(1, 2, bytes(16), ClockQuality.RTC)


def test_personal_texts_leave_only_a_salted_hash_in_the_leaf():
    prepared = draft(decision(7))
    assert b"ana" not in prepared.body
    assert b"because" not in prepared.body
    row = decode_personal(prepared.personal)
    salt, text = row["reason_text"]
    assert (len(salt), text) == (32, "because of 7")
    leaf = decode_leaf(encode_leaf(0, STAMP, prepared.body))
    assert leaf.body.reason_text == sha256(salt + text.encode()).digest()
    assert wrong_personal_field(leaf.body, row) is None
    assert wrong_personal_field(leaf.body, {"reason_text": (salt, "another reason")}) == "reason_text"


def test_the_same_text_twice_gives_two_hashes():
    """Without a salt of its own, a name could be found by hashing a list of names."""
    bodies = {draft(decision(7)).body for _ in range(2)}
    assert len(bodies) == 2


def test_an_empty_text_is_no_text():
    prepared = draft(NewRecord(decision_body(1), {"reason_text": ""}))
    assert prepared.personal == b""


def test_evidence_must_be_the_one_that_is_cited():
    with pytest.raises(AssertionError, match="other evidence"):
        draft(NewRecord(decision_body(1, evidence=b"cited"), {}, b"other"))
    with pytest.raises(AssertionError, match="other evidence"):
        draft(NewRecord(decision_body(1), {}, b"never cited"))


@pytest.mark.parametrize(
    "record",
    [
        NewRecord(AlarmEvent("a", "unack", "high", "x" * 70_000)),
        NewRecord(decision_body(1), {"reason_text": "x" * 5000}),
        NewRecord(decision_body(1, evidence=bytes(2 << 20)), {}, bytes(2 << 20)),
    ],
)
def test_what_is_too_large_is_refused_with_a_remedy(record):
    with pytest.raises(StoreError, match="too large") as caught:
        draft(record)
    assert caught.value.remedy


def test_the_largest_record_that_is_accepted_fits_a_leaf():
    text_bytes = (
        LEAF_BYTES_MAX - 96 - len(msgspec.msgpack.encode(AlarmEvent("a", "unack", "high", "x" * 65_000))) + 65_000
    )
    prepared = draft(NewRecord(AlarmEvent("a", "unack", "high", "x" * text_bytes)))
    stamp = Stamp(2**63, 2**63, bytes(16), ClockQuality.UNSYNCED)
    assert len(encode_leaf(2**63, stamp, prepared.body)) <= LEAF_BYTES_MAX


@pytest.mark.parametrize(
    ("data", "what"),
    [
        (b"", "0 bytes"),
        (b"\x01\x00" + bytes(LEAF_BYTES_MAX), "65537 bytes"),
        (b"\x02\x00\x90", "schema 2"),
        (b"\x01\x01\x90", "flags 0x01"),
        (b"\x01\x00\x90", "length"),
        (b"\x01\x00\xff", "."),
    ],
)
def test_what_is_no_leaf_is_refused_by_name(data, what):
    with pytest.raises(ValueError, match=what):
        decode_leaf(data)


@given(st.data())
def test_no_bytes_make_the_decoder_fail_otherwise(data):
    leaf = encode_leaf(5, STAMP, msgspec.msgpack.encode(data.draw(st.sampled_from(list(every_body().values())))))
    at = data.draw(st.integers(0, len(leaf) - 1))
    changed = leaf[:at] + data.draw(st.binary(min_size=1, max_size=4)) + leaf[at + 1 :]
    with contextlib.suppress(ValueError):
        decode_leaf(changed)


def test_a_row_of_texts_that_is_malformed_is_refused():
    with pytest.raises(ValueError, match="malformed"):
        decode_personal(b"\xc1")


def test_an_unknown_personal_field_is_a_wrong_one():
    assert wrong_personal_field(Gap("s", 1, 1, 1, "r"), {"nobody": (bytes(32), "x")}) == "nobody"
