"""The messages between gateway and collector: bytes that must never change meaning, and limits before decoding."""

from __future__ import annotations

import contextlib
import hashlib

import msgspec
import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from gatewayd.sync import wire
from gatewayd.sync.wire import Ack, Hello, MalformedMessage, batch_of, decode_ack, decode_batch, decode_hello

GATEWAY = "acme.example/gw/station-1"
BATCH = batch_of(GATEWAY, "journal", 1, 41, [b"first leaf", b"second leaf"])
GOLDEN_BODY = bytes.fromhex(
    "96b961636d652e6578616d706c652f67772f73746174696f6e2d31a76a6f75726e616c012992c40a6669727374206c656166c40b7365636f6e"
    "64206c656166c420f3b5626941fb670d4efa7dbc545fb532ae8f4e92ada6a12a93a1f3fb51a971e8"
)
GOLDEN_BATCH = bytes.fromhex("0128b52ffd2061") + bytes.fromhex("090300") + GOLDEN_BODY
GOLDEN_ACK = bytes.fromhex("0195b961636d652e6578616d706c652f67772f73746174696f6e2d31a76a6f75726e616c012b90")
GOLDEN_GAP = bytes.fromhex("0195b961636d652e6578616d706c652f67772f73746174696f6e2d31a76a6f75726e616c012b91922b32")
GOLDEN_HELLO = bytes.fromhex("0191b467617465776179642d636f6c6c6563746f722d31")


def packed(body: object, **options: object) -> bytes:
    return b"\x01" + zstandard.ZstdCompressor(**options).compress(msgspec.msgpack.encode(body))


def test_the_golden_batch_decodes_for_ever():
    assert decode_batch(GOLDEN_BATCH) == BATCH


def test_a_batch_is_a_schema_byte_and_the_golden_body_in_one_zstd_frame():
    message = wire.encode_batch(BATCH)
    assert message[0] == 1
    assert zstandard.ZstdDecompressor().decompress(message[1:]) == GOLDEN_BODY


def test_the_digest_covers_each_records_length_and_bytes():
    expected = hashlib.sha256(b"\0\0\0\x0afirst leaf\0\0\0\x0bsecond leaf").digest()
    assert BATCH.digest == expected
    assert wire.digest([b"ab", b"c"]) != wire.digest([b"a", b"bc"])


@pytest.mark.parametrize(
    ("message", "golden", "decode"),
    [
        (Ack(GATEWAY, "journal", 1, 43), GOLDEN_ACK, decode_ack),
        (Ack(GATEWAY, "journal", 1, 43, ((43, 50),)), GOLDEN_GAP, decode_ack),
        (Hello("gatewayd-collector-1"), GOLDEN_HELLO, decode_hello),
    ],
)
def test_acks_and_hellos_have_golden_bytes(message, golden, decode):
    assert wire.encode(message) == golden
    assert decode(golden) == message


@given(st.lists(st.binary(max_size=300), min_size=1, max_size=20), st.integers(0, 2**62))
def test_what_is_encoded_is_decoded(records, first):
    batch = batch_of("gw-1", "journal", 3, first, records)
    assert decode_batch(wire.encode_batch(batch)) == batch


@given(st.binary(max_size=400))
def test_random_bytes_are_malformed_and_nothing_worse(payload):
    for decode in (decode_batch, decode_ack, decode_hello):
        with pytest.raises(MalformedMessage):
            decode(b"\x01" + payload + b"\xc1")


@given(st.integers(0, len(GOLDEN_BATCH) - 1), st.integers(1, 255))
def test_one_changed_byte_never_gives_other_records(place, flip):
    """A record lands for ever: a garbled one must not take its sequence number."""
    garbled = bytearray(GOLDEN_BATCH)
    garbled[place] ^= flip
    with contextlib.suppress(MalformedMessage):
        assert decode_batch(bytes(garbled)).records == BATCH.records


def test_a_decompression_bomb_is_refused_by_its_announced_size():
    with pytest.raises(MalformedMessage, match="announces"):
        decode_batch(packed(b"\0" * (wire.BODY_BYTES_MAX + 1)))


def test_a_frame_that_hides_its_size_is_refused():
    with pytest.raises(MalformedMessage, match="announces"):
        decode_batch(packed([b"x"], write_content_size=False))


def test_bytes_after_the_frame_are_refused():
    with pytest.raises(MalformedMessage):
        decode_batch(GOLDEN_BATCH + b"x")


@pytest.mark.parametrize(
    "body",
    [
        ["UPPER", "journal", 1, 0, [b"x"], wire.digest([b"x"])],
        ["gw", "no spaces", 1, 0, [b"x"], wire.digest([b"x"])],
        ["gw", "journal", -1, 0, [b"x"], wire.digest([b"x"])],
        ["gw", "journal", 1, 2**63, [b"x"], wire.digest([b"x"])],
        ["gw", "journal", 1, 2**63 - 1, [b"x"], wire.digest([b"x"])],
        ["gw", "journal", 1, 0, [], wire.digest([])],
        ["gw", "journal", 1, 0, [b"x"] * (wire.RECORDS_MAX + 1), wire.digest([b"x"] * (wire.RECORDS_MAX + 1))],
        ["gw", "journal", 1, 0, [b"x" * (wire.RECORD_BYTES_MAX + 1)], wire.digest([b"x"])],
        ["gw", "journal", 1, 0, [b"x"], b"short"],
        ["gw", "journal", 1, 0, [b"x"], wire.digest([b"x"]), "more"],
        {"gateway": "gw"},
    ],
)
def test_a_batch_outside_its_limits_is_refused(body):
    with pytest.raises(MalformedMessage):
        decode_batch(packed(body))


@pytest.mark.parametrize("payload", [b"", b"\x01", b"\x02" + GOLDEN_ACK[1:], b"\x01" + b"\0" * wire.ACK_BYTES_MAX])
def test_an_ack_of_the_wrong_length_or_schema_is_refused(payload):
    with pytest.raises(MalformedMessage) as refusal:
        decode_ack(payload)
    assert refusal.value.remedy


def test_a_message_of_the_largest_record_fits_what_both_ends_announce():
    import random

    record = random.Random(1).randbytes(wire.RECORD_BYTES_MAX)
    message = wire.encode_batch(batch_of("g" * 128, "journal", 1, 0, [record]))
    assert len(message) <= wire.MESSAGE_BYTES_MAX
    assert decode_batch(message).records == (record,)


def test_a_gateways_name_is_one_topic_level():
    assert wire.up_topic(GATEWAY, "journal") == "gw/acme.example_gw_station-1/up/journal"
    assert wire.ack_topic(GATEWAY) == "gw/acme.example_gw_station-1/ack"
