"""One message in one chunk on a channel without security, made and read without the library's objects.

asyncua makes a dozen dataclasses per chunk, about 0.1 ms each way: as much as decoding a thousand values costs. What is
secured, in parts or unusual in any way goes the library's way. Source: OPC UA Part 6, 6.7.2.
"""

from __future__ import annotations

import struct
from collections.abc import Container
from typing import Any

from asyncua.common.connection import SecureConnection
from asyncua.crypto.security_policies import CryptographyNone

_HEADER = struct.Struct("<4sIIIII")  # type and part, size, channel id, token id, sequence number, request id
_SINGLE = b"MSGF"
_SEQUENCE_MAX = 0xFFFF_F000  # the library knows how to wrap around


def sealed(connection: SecureConnection, body: bytes, request_id: int) -> bytes | None:
    """Return the chunk that sends a message body, and count it; None when the library must make it."""
    size = _HEADER.size + len(body)
    sequence = connection._sequence_number + 1
    if not _is_plain(connection) or size > connection._limits.max_send_buffer or sequence > _SEQUENCE_MAX:
        return None
    connection._sequence_number = sequence
    token = connection.security_token
    return _HEADER.pack(_SINGLE, size, token.ChannelId, token.TokenId, sequence, request_id) + body


def opened(connection: SecureConnection, arrived: bytes, awaited: Container[int]) -> tuple[int, bytes] | None:
    """Return request id and body of what arrived, and count it; None when the library must look at it.

    Args:
        connection: the channel.
        arrived: is to be one whole chunk in its turn and nothing else.
        awaited: request ids without an answer.
    """
    if len(arrived) < _HEADER.size or not _is_plain(connection) or connection._incoming_parts:
        return None
    kind, size, channel_id, token_id, sequence, request_id = _HEADER.unpack_from(arrived)
    token = connection.security_token
    if (
        kind != _SINGLE
        or size != len(arrived)
        or size > connection._limits.max_recv_buffer
        or channel_id != token.ChannelId
        or token_id != token.TokenId
        or connection._peer_sequence_number is None
        or sequence != connection._peer_sequence_number + 1
        or request_id not in awaited
    ):
        return None
    connection._peer_sequence_number = sequence
    return request_id, arrived[_HEADER.size :]


def _is_plain(connection: SecureConnection) -> bool:
    cryptography: Any = connection.security_policy.symmetric_cryptography
    return type(cryptography) is CryptographyNone
