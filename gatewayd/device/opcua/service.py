"""One service call in OPC UA Binary: a request encoded once, a response checked down to its body (Part 6, 5.2; Part 4, 7.32).

Pure: `session` sends and receives the bytes.
"""

from __future__ import annotations

import struct
from typing import Any

from gatewayd.device.opcua.fast_read import FILETIME_EPOCH, SERVICE_FAULT
from gatewayd.errors import DeviceProtocolError, DeviceRefused
from gatewayd.model import quality

ELEMENTS_MAX = 100_000

_TYPE = struct.Struct("<BBH")
# Timestamp, handle, no diagnostics, no audit id, timeout hint, no additional header.
_REQUEST_HEADER = struct.Struct("<qIIiIHB")
_STAMP = struct.Struct("<qI")
# Timestamp, handle, result, diagnostics mask, string table, additional header's null type and encoding.
_RESPONSE_HEADER = struct.Struct("<qIIBiBBB")
_BYTE, _SHORT, _INT, _UINT = struct.Struct("<B"), struct.Struct("<H"), struct.Struct("<i"), struct.Struct("<I")
_FOUR_BYTE = struct.Struct("<BH")
_NUMERIC = struct.Struct("<HI")


class ServiceRequest:
    """A request of any service, valid for one session.

    Args:
        kind: numeric node id of the request's binary encoding.
        token: the session's authentication token, a node id in OPC UA Binary.
        body: what follows the header.
        timeout_ms: how long the server need not bother to answer; 0 = it may take its time.
    """

    __slots__ = ("_body", "_stamp_at")

    def __init__(self, kind: int, token: bytes, body: bytes, timeout_ms: int) -> None:
        head = _TYPE.pack(1, 0, kind) + token
        self._stamp_at = len(head)
        self._body = bytearray(head + _REQUEST_HEADER.pack(0, 0, 0, -1, timeout_ms, 0, 0) + body)

    def stamped(self, handle: int, wall_ns: int) -> bytes:
        """Return the message body for one sending, with its request handle and time."""
        _STAMP.pack_into(self._body, self._stamp_at, wall_ns // 100 + FILETIME_EPOCH, handle)
        return bytes(self._body)


class Reader:
    """Reads a body from left to right; every step is checked against its end."""

    __slots__ = ("at", "body")

    def __init__(self, body: bytes, at: int = 0) -> None:
        self.body = body
        self.at = at

    def take(self, layout: struct.Struct) -> tuple[Any, ...]:
        """Return the next fields.

        Raises:
            DeviceProtocolError: the body ends before.
        """
        if self.at + layout.size > len(self.body):
            raise broken(f"a body cut short after {len(self.body)} bytes")
        fields = layout.unpack_from(self.body, self.at)
        self.at += layout.size
        return fields

    def length(self, highest: int = ELEMENTS_MAX) -> int:
        """Return the length of the array, string or structure that follows; 0 for a null one."""
        (length,) = self.take(_INT)
        if not -1 <= length <= highest:
            raise broken(f"an array of {length} elements")
        return max(int(length), 0)

    def bytes_of(self, length: int) -> bytes:
        """Return the next bytes."""
        if length > len(self.body) - self.at:
            raise broken(f"a body cut short after {len(self.body)} bytes")
        self.at += length
        return self.body[self.at - length : self.at]

    def node_id(self) -> int:
        """Return a numeric node id of namespace 0, or -1 for any other."""
        (encoding,) = self.take(_BYTE)
        if encoding == 0:
            return int(self.take(_BYTE)[0])
        if encoding == 1:
            namespace, number = self.take(_FOUR_BYTE)
            return -1 if namespace else int(number)
        if encoding == 2:
            namespace, number = self.take(_NUMERIC)
            return -1 if namespace else int(number)
        if encoding == 4:
            self.bytes_of(18)
        elif encoding in (3, 5):
            self.take(_SHORT)
            self.bytes_of(self.length(len(self.body)))
        else:
            raise broken(f"a node id of encoding {encoding}")
        return -1

    def structure(self) -> tuple[int, bytes]:
        """Return type id and body of an ExtensionObject (Part 6, 5.2.2.15)."""
        kind = self.node_id()
        (encoding,) = self.take(_BYTE)
        if encoding == 0:
            return kind, b""
        return kind, self.bytes_of(self.length(len(self.body)))


def body_of(response: bytes, *, kind: int, handle: int, doing: str) -> Reader:
    """Check a response and return a reader at its body.

    Args:
        response: the message body, from its type id on.
        kind: node id of the response's binary encoding.
        handle: the request's handle, which the response must carry.
        doing: what was asked, for the message.

    Raises:
        DeviceRefused: service fault or bad service result; `code` says why.
        DeviceProtocolError: this is no answer to that request.
    """
    reader = Reader(response)
    found = reader.node_id()
    if found not in (kind, SERVICE_FAULT):
        raise broken(f"a message of type i={found} instead of i={kind}")
    _, answered, result, diagnostics, strings, *additional = reader.take(_RESPONSE_HEADER)
    if found == SERVICE_FAULT or result >> 31:
        raise refused(result, doing)
    if answered != handle:
        raise broken(f"the answer to request {answered} instead of {handle}")
    if diagnostics or strings > 0 or any(additional):
        raise broken("diagnostics or an additional header that were not asked for")
    return reader


def refused(status: int, doing: str) -> DeviceRefused:
    """Return the error for a service call that the server refused as a whole."""
    bad = status if status >> 31 else quality.BAD
    return DeviceRefused(
        f"the server refused {doing}: {quality.name(bad)}",
        remedy="See the server's limits on sessions, subscriptions and monitored items, and its log.",
        status=bad,
        code=status,
    )


def broken(what: str) -> DeviceProtocolError:
    """Return the error for bytes that the protocol does not allow."""
    return DeviceProtocolError(
        f"the server sent {what}",
        remedy="The server breaks the protocol; subscribe to the same nodes with another client and ask its maker.",
    )
