"""Chunks made and read here are those of the library; what is not plain is left to it."""

from __future__ import annotations

import pytest
from asyncua import ua
from asyncua.common.connection import SecureConnection, TransportLimits
from asyncua.crypto.security_policies import SecurityPolicyNone

from gatewayd.device.opcua.plain_chunk import opened, sealed

LIMIT = 8192


def channel() -> SecureConnection:
    made = SecureConnection(SecurityPolicyNone(), TransportLimits(LIMIT, LIMIT, 0, 0))
    made.security_token = ua.ChannelSecurityToken(ChannelId=7, TokenId=9)
    made._open = True
    return made


def received(body: bytes, *, request_id: int = 5, sender: SecureConnection | None = None) -> bytes:
    return (sender or channel()).message_to_binary(body, request_id=request_id)


def ready() -> SecureConnection:
    """A channel that has received its first message the library's way."""
    made = channel()
    made._peer_sequence_number = 0
    return made


def test_a_chunk_is_byte_for_byte_the_librarys_and_counted_alike():
    ours, library = channel(), channel()
    for request_id in (1, 2):
        assert sealed(ours, b"body", request_id) == library.message_to_binary(b"body", request_id=request_id)
    assert ours._sequence_number == library._sequence_number == 2


def test_what_does_not_fit_one_chunk_is_the_librarys_and_not_counted():
    ours = channel()
    assert sealed(ours, bytes(LIMIT - 24), 1) is not None
    assert sealed(ours, bytes(LIMIT - 23), 2) is None
    assert ours._sequence_number == 1


def test_before_the_sequence_number_wraps_around_the_library_takes_over():
    ours = channel()
    ours._sequence_number = 0xFFFF_F000
    assert sealed(ours, b"body", 1) is None


def test_a_whole_answer_is_opened_and_counted():
    ours, sender = ready(), channel()
    assert opened(ours, received(b"first", sender=sender), {5}) == (5, b"first")
    assert opened(ours, received(b"second", sender=sender), {5}) == (5, b"second")
    assert ours._peer_sequence_number == 2


def _changed(at: int) -> bytes:
    chunk = bytearray(received(b"body"))
    chunk[at] ^= 1
    return bytes(chunk)


@pytest.mark.parametrize(
    "arrived",
    [
        b"",
        received(b"body")[:-1],
        received(b"body") + b"\x00",
        received(bytes(2 * LIMIT)),
        received(b"body", request_id=6),
        *(_changed(at) for at in (0, 3, 4, 8, 12, 16, 20)),
    ],
    ids=[
        "nothing",
        "cut",
        "more",
        "parts",
        "not-awaited",
        "type",
        "part",
        "size",
        "channel",
        "token",
        "turn",
        "request",
    ],
)
def test_anything_else_is_left_to_the_library_and_not_counted(arrived):
    ours = ready()
    assert opened(ours, arrived, {5}) is None
    assert ours._peer_sequence_number == 0


def test_the_first_message_and_one_between_the_parts_of_another_are_left_to_the_library():
    assert opened(channel(), received(b"body"), {5}) is None
    ours = ready()
    ours._incoming_parts = ["a part"]
    assert opened(ours, received(b"body"), {5}) is None


def test_a_secured_channel_is_the_librarys():
    ours = ready()
    ours.security_policy.symmetric_cryptography = object()
    assert opened(ours, received(b"body"), {5}) is None
    assert sealed(ours, b"body", 1) is None
