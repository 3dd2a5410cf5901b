from __future__ import annotations

import struct

import pytest
from asyncua import ua
from asyncua.ua.ua_binary import nodeid_from_binary, nodeid_to_binary, struct_from_binary, struct_to_binary
from hypothesis import given, settings
from hypothesis import strategies as some

from gatewayd.device.opcua.service import Reader, ServiceRequest, body_of
from gatewayd.errors import DeviceProtocolError, DeviceRefused

TOKEN = b"\x04\x01\x00" + bytes(range(16))
PUBLISHED = 829


def response(kind: int = PUBLISHED, *, handle: int = 7, result: int = 0, body: bytes = b"body") -> bytes:
    header = ua.ResponseHeader(RequestHandle=handle, ServiceResult=ua.StatusCode(result))
    return nodeid_to_binary(ua.FourByteNodeId(kind)) + struct_to_binary(header) + body


def read(raw: bytes) -> bytes:
    reader = body_of(raw, kind=PUBLISHED, handle=7, doing="to publish")
    return raw[reader.at :]


def test_a_request_is_read_by_asyncua_with_the_handle_and_time_of_each_sending():
    request = ServiceRequest(826, TOKEN, b"tail", 0)
    for handle in (1, 2):
        buffer = ua.utils.Buffer(request.stamped(handle, 1_750_000_000_000_000_000))
        assert nodeid_from_binary(buffer) == ua.FourByteNodeId(826)
        header = struct_from_binary(ua.RequestHeader, buffer)
        assert (header.RequestHandle, header.TimeoutHint) == (handle, 0)
        assert header.Timestamp.timestamp() == 1_750_000_000
        assert bytes(buffer) == b"tail"


def test_a_response_is_stripped_to_its_body():
    assert read(response()) == b"body"


@pytest.mark.parametrize(
    "raw", [response(397, result=0x800A0000), response(result=0x80280000)], ids=["fault", "bad result"]
)
def test_a_refusal_keeps_the_servers_code(raw):
    with pytest.raises(DeviceRefused, match="to publish") as refused:
        read(raw)
    assert refused.value.code in (0x800A0000, 0x80280000)


@pytest.mark.parametrize(
    "raw",
    [response(830), response(handle=8), b"", response()[:20], b"\x09" + response()],
    ids=["another service", "another handle", "nothing", "cut short", "no type id"],
)
def test_anything_else_is_a_protocol_error(raw):
    with pytest.raises(DeviceProtocolError):
        read(raw)


@pytest.mark.parametrize(
    ("node", "number"),
    [
        (ua.NodeId(5, 0), 5), (ua.NodeId(811, 0), 811), (ua.NodeId(100_000, 0), 100_000), (ua.NodeId(811, 3), -1),
        (ua.NodeId("x", 0), -1), (ua.NodeId(b"xy", 1), -1),
    ],
)  # fmt: skip
def test_node_ids_are_numbers_of_namespace_zero_or_nothing_we_know(node, number):
    reader = Reader(nodeid_to_binary(node) + b"!")
    assert (reader.node_id(), reader.bytes_of(1)) == (number, b"!")


def test_no_length_reaches_beyond_the_body():
    for length in (5, 2**31 - 1, -2):
        with pytest.raises(DeviceProtocolError):
            Reader(b"\x01\x00\x2b\x03\x01" + struct.pack("<i", length) + b"1234").structure()


@settings(max_examples=300, deadline=None)
@given(some.binary(max_size=60))
def test_garbage_raises_nothing_but_a_device_error(garbage):
    for raw in (garbage, response()[:4] + garbage):
        try:
            body_of(raw, kind=PUBLISHED, handle=7, doing="anything").structure()
        except (DeviceProtocolError, DeviceRefused):
            continue
