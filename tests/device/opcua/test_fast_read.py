"""The pre-encoded ReadRequest and the check of a raw ReadResponse, each against asyncua's own codec."""

from __future__ import annotations

from contextlib import suppress
from datetime import UTC, datetime

import pytest
from asyncua import ua
from asyncua.ua.ua_binary import nodeid_from_binary, nodeid_to_binary, struct_from_binary, struct_to_binary
from hypothesis import given
from hypothesis import strategies as st

from gatewayd.device.opcua.fast_read import ReadRequest, results_of
from gatewayd.device.opcua.node_id import encode_node_id, parse_node_id
from gatewayd.errors import DeviceProtocolError, DeviceRefused

NODES = ("i=2258", "ns=2;s=Tank.Level", "ns=3;i=70000", "ns=1;b=AAEC")
TOKEN = ua.NodeId(b"\x01" * 32, 0, ua.NodeIdType.ByteString)
WALL_NS = 1_750_000_000_123_456_700


def response(*answers: ua.DataValue, **header) -> bytes:
    message = ua.ReadResponse()
    message.ResponseHeader.RequestHandle = 7
    for name, setting in header.items():
        setattr(message.ResponseHeader, name, setting)
    message.Results = list(answers)
    return struct_to_binary(message)


def double(value: float) -> ua.DataValue:
    return ua.DataValue(ua.Variant(value, ua.VariantType.Double), SourceTimestamp=datetime(2026, 1, 1, tzinfo=UTC))


def test_the_request_decodes_with_asyncua_to_a_read_of_values_with_max_age_0():
    encoded = [encode_node_id(node, int(node.namespace)) for node in map(parse_node_id, NODES)]
    request = ReadRequest(encoded, nodeid_to_binary(TOKEN), timeout_ms=1500)
    for handle in (7, 4_294_967_295):
        buffer = ua.utils.Buffer(request.stamped(handle, WALL_NS))
        assert nodeid_from_binary(buffer) == ua.FourByteNodeId(ua.ObjectIds.ReadRequest_Encoding_DefaultBinary)
        header = struct_from_binary(ua.RequestHeader, buffer)
        parameters = struct_from_binary(ua.ReadParameters, buffer)
        assert len(buffer) == 0
        assert (header.AuthenticationToken, header.RequestHandle, header.TimeoutHint) == (TOKEN, handle, 1500)
        assert header.Timestamp == datetime.fromtimestamp(WALL_NS // 1000 / 1e6, UTC)
        assert (parameters.MaxAge, parameters.TimestampsToReturn) == (0.0, ua.TimestampsToReturn.Source)
        assert [node.NodeId.to_string() for node in parameters.NodesToRead] == [
            "i=2258", "ns=2;s=Tank.Level", "ns=3;i=70000", "ns=1;b=AAEC",
        ]  # fmt: skip
        assert {node.AttributeId for node in parameters.NodesToRead} == {ua.AttributeIds.Value}
        assert {node.IndexRange for node in parameters.NodesToRead} == {None}


def test_an_index_range_is_sent_with_the_node_it_belongs_to():
    encoded = [encode_node_id(node, int(node.namespace)) for node in map(parse_node_id, NODES)]
    ranges = ("0", "17", "2,1", "999999999")
    buffer = ua.utils.Buffer(ReadRequest(encoded, nodeid_to_binary(TOKEN), 1500, ranges).stamped(7, WALL_NS))
    nodeid_from_binary(buffer)
    struct_from_binary(ua.RequestHeader, buffer)
    asked = struct_from_binary(ua.ReadParameters, buffer).NodesToRead
    assert len(buffer) == 0
    assert [(node.NodeId.to_string(), node.IndexRange) for node in asked] == list(zip(NODES, ranges, strict=True))


def test_the_results_are_the_data_values_back_to_back():
    answers = [double(1.5), double(-2.0)]
    assert results_of(response(*answers), handle=7, count=2) == b"".join(map(struct_to_binary, answers))
    assert results_of(response(), handle=7, count=0) == b""


def test_a_type_id_in_its_long_form_is_the_same_type_id():
    body = response(double(1.5))
    assert body[:4] == b"\x01\x00\x7a\x02"
    longer = b"\x02\x00\x00\x7a\x02\x00\x00" + body[4:]
    assert results_of(longer, handle=7, count=1) == results_of(body, handle=7, count=1)


def test_a_service_fault_is_a_refusal_with_the_servers_code():
    fault = ua.ServiceFault()
    fault.ResponseHeader.ServiceResult = ua.StatusCode(ua.StatusCodes.BadTooManyOperations)
    with pytest.raises(DeviceRefused) as refused:
        results_of(struct_to_binary(fault), handle=7, count=2)
    assert refused.value.code == refused.value.status == ua.StatusCodes.BadTooManyOperations


def test_a_bad_service_result_is_a_refusal():
    body = response(ServiceResult=ua.StatusCode(ua.StatusCodes.BadUserAccessDenied))
    with pytest.raises(DeviceRefused) as refused:
        results_of(body, handle=7, count=2)
    assert refused.value.status == ua.StatusCodes.BadUserAccessDenied


@pytest.mark.parametrize(
    ("body", "says"),
    [
        (b"", "nothing"),
        (b"\x01\x00\x7a", "begins with 01007a"),
        (response(double(1.0))[:20], "header cut short"),
        (response(double(1.0))[:30], "no results"),
        (response(double(1.0), double(2.0))[:-5], "cut short"),
        (response(double(1.0)), "1 values for 2 nodes"),
        (response(double(1.0), double(2.0), RequestHandle=8), "answer to request 8"),
        (response(double(1.0), double(2.0), StringTable=["x"]), "not asked for"),
        (struct_to_binary(ua.WriteResponse()), "type i=676"),
    ],
    ids=lambda part: part if isinstance(part, str) else "",
)
def test_what_is_no_answer_to_this_request_is_a_protocol_error(body, says):
    with pytest.raises(DeviceProtocolError, match=says) as refused:
        results_of(body, handle=7, count=2)
    assert refused.value.remedy


def test_a_results_count_of_two_milliards_is_an_error_and_no_allocation():
    body = bytearray(response(double(1.0)))
    at = len(body) - 4 - len(struct_to_binary(double(1.0))) - 4
    body[at : at + 4] = b"\xff\xff\xff\x7f"
    with pytest.raises(DeviceProtocolError, match="2147483647 values"):
        results_of(bytes(body), handle=7, count=1)


@given(st.binary(max_size=80), st.integers(0, 3))
def test_garbage_never_raises_anything_but_a_device_error(garbage, count):
    for body in (garbage, b"\x01\x00\x7a\x02" + garbage, response(double(1.0))[:24] + garbage):
        with suppress(DeviceProtocolError, DeviceRefused):
            results_of(body, handle=7, count=count)


@given(st.data())
def test_a_response_with_any_bytes_changed_is_answered_or_a_device_error(data):
    body = bytearray(response(double(1.0), double(2.0)))
    for _ in range(data.draw(st.integers(1, 4))):
        body[data.draw(st.integers(0, len(body) - 1))] = data.draw(st.integers(0, 255))
    with suppress(DeviceProtocolError, DeviceRefused):
        results_of(bytes(body[: data.draw(st.integers(0, len(body)))]), handle=7, count=2)
