"""What reaches the decoding kernel: numbers and statuses, whatever else the server put between them."""

from __future__ import annotations

import math
import uuid
from datetime import UTC, datetime

import pytest
from asyncua import ua
from asyncua.ua.ua_binary import struct_to_binary, variant_to_binary
from hypothesis import given
from hypothesis import strategies as st

from gatewayd.device.opcua.data_values import NO_DATA, Screen, only_value, walk
from gatewayd.errors import DeviceProtocolError
from gatewayd.model import quality
from tests.device.opcua.rig import data_values, kernel_reads, statuses, values

TIME = datetime(2026, 1, 1, tzinfo=UTC)
V = ua.VariantType
NUMBERS = {
    V.Boolean: True, V.SByte: -3, V.Byte: 200, V.Int16: -3, V.UInt16: 60_000, V.Int32: -3, V.UInt32: 4_000_000_000,
    V.Int64: -(2**60), V.UInt64: 2**63, V.Float: 0.5, V.Double: 1e300,
}  # fmt: skip
SKIPPED = [
    ua.Variant("text", V.String),
    ua.Variant(None, V.String),
    ua.Variant(uuid.UUID(int=5), V.Guid),
    ua.Variant(b"bytes", V.ByteString),
    ua.Variant(ua.QualifiedName("x", 2), V.QualifiedName),
    ua.Variant(ua.LocalizedText("x", "en"), V.LocalizedText),
    ua.Variant(ua.LocalizedText(None, None), V.LocalizedText),
    ua.Variant([1.0, 2.0], V.Double),
    ua.Variant([True] * 9, V.Boolean),
    ua.Variant([], V.Int32),
    ua.Variant(["a", None, "b" * 300], V.String),
    ua.Variant([[1, 2, 3], [4, 5, 6]], V.Int32),
]
FOREIGN = [
    ua.Variant(ua.NodeId(1, 2), V.NodeId),
    ua.Variant(ua.NodeId("x", 2), V.NodeId),
    ua.Variant(ua.NodeId(uuid.UUID(int=5), 2), V.NodeId),
    ua.Variant(ua.ExpandedNodeId("x", 2, NamespaceUri="urn:y", ServerIndex=3), V.ExpandedNodeId),
    ua.Variant(ua.EUInformation(UnitId=3), V.ExtensionObject),
    ua.Variant([ua.EUInformation(UnitId=3)] * 3, V.ExtensionObject),
    ua.Variant(ua.DataValue(ua.Variant(1.0), SourceTimestamp=TIME), V.DataValue),
    ua.Variant([ua.Variant("x"), ua.Variant(3), ua.Variant([1, 2])], V.Variant),
]


def named(variant: ua.Variant) -> str:
    return f"{variant.VariantType.name}{'[]' if variant.is_array else ''} {str(variant.Value)[:20]}"


def record(variant: ua.Variant, status: int = 0, **settings) -> bytes:
    return struct_to_binary(ua.DataValue(variant, ua.StatusCode(status), TIME, **settings))


def test_a_payload_of_numbers_passes_byte_for_byte():
    payload = b"".join(record(ua.Variant(number, kind)) for kind, number in NUMBERS.items())
    screen = Screen(len(NUMBERS))
    assert screen.passed(payload) is payload
    assert screen.passed(bytes(bytearray(payload))) == payload
    assert walk(payload, len(NUMBERS))[1] == []


@pytest.mark.parametrize(
    "foreign", FOREIGN, ids=lambda variant: f"{variant.VariantType.name}-{str(variant.Value)[:20]}"
)
def test_a_value_the_kernel_cannot_read_becomes_a_bad_status_and_its_neighbours_stay(foreign):
    before, after = record(ua.Variant(1.0, V.Double)), record(ua.Variant(2, V.UInt16))
    screen = Screen(3)
    for _ in range(2):
        passed = screen.passed(before + record(foreign) + after)
        assert statuses(passed, 3) == [0, quality.BAD_TYPE_MISMATCH, 0]
        assert values(passed, 3)[::2] == [1.0, 2]
        assert data_values(passed, 3)[1].SourceTimestamp == TIME


@pytest.mark.parametrize("are_elements", [False, True])
def test_an_array_of_nothing_is_a_bad_status_and_its_neighbours_stay(are_elements):
    """No type at all with the bit of an array: no server should say that, and a hostile one can."""
    nothing = b"\x03\x80" + bytes(4) + bytes(4)  # value and status; no elements; Good
    before, after = record(ua.Variant(1.0, V.Double)), record(ua.Variant(2, V.UInt16))
    passed = Screen(3, are_elements=are_elements).passed(before + nothing + after)
    assert statuses(passed, 3) == [0, quality.BAD_TYPE_MISMATCH, 0]
    assert values(passed, 3)[::2] == [1.0, 2]


def test_a_bad_status_of_a_value_that_is_cut_out_is_kept():
    passed = Screen(1).passed(record(FOREIGN[0], quality.BAD_SENSOR_FAILURE))
    assert statuses(passed, 1) == [quality.BAD_SENSOR_FAILURE]


def test_strings_are_no_known_layout_even_if_one_holds_the_bytes_of_the_next_record():
    screen = Screen(2)
    strings = b"\x01\x0c\x02\x00\x00\x00ab" + b"\x01\x0c\x00\x00\x00\x00"
    disguised = b"\x01\x0c\x04\x00\x00\x00ab\x01\x0c" + b"\x01\x11\x00\x05"
    assert len(strings) == len(disguised)
    for payload in (strings, disguised):
        assert statuses(screen.passed(payload), 2) == [quality.BAD_TYPE_MISMATCH] * 2


def test_picoseconds_that_come_and_go_move_no_value_to_its_neighbour():
    screen = Screen(2)
    numbers = ua.Variant(1.0, V.Double), ua.Variant(2.0, V.Double)
    for pico in (None, 5, None, 7):
        payload = record(numbers[0], SourcePicoseconds=pico) + record(numbers[1])
        assert values(screen.passed(payload), 2) == [1.0, 2.0]


def test_a_number_that_turns_into_a_node_id_of_the_same_size_is_noticed():
    screen = Screen(1)
    number, node = record(ua.Variant(1.0, V.Double)), record(ua.Variant(ua.NodeId("x", 2), V.NodeId))
    assert len(number) == len(node)
    for payload, status in ((number, 0), (node, quality.BAD_TYPE_MISMATCH), (number, 0)):
        assert statuses(screen.passed(payload), 1) == [status]


@pytest.mark.parametrize("cut", [1, 5, 9, 20])
def test_a_payload_cut_short_is_a_protocol_error(cut):
    payload = record(ua.Variant(1.0, V.Double)) * 2
    with pytest.raises(DeviceProtocolError):
        Screen(2).passed(payload[:-cut])


def test_bytes_after_the_last_value_are_a_protocol_error():
    with pytest.raises(DeviceProtocolError, match="3 bytes after"):
        Screen(1).passed(record(ua.Variant(1.0, V.Double)) + bytes(3))


def test_values_nested_without_end_are_a_protocol_error():
    with pytest.raises(DeviceProtocolError, match="deeper"):
        walk(b"\x01" + b"\x18" * 10_000 + b"\x00", 1)


def test_a_single_value_is_read_without_the_kernel():
    assert [only_value(record(ua.Variant(number, kind))) for kind, number in NUMBERS.items()] == [
        (0, number) for number in NUMBERS.values()
    ]
    status, raw = only_value(record(ua.Variant(math.nan, V.Double), 0x40900000))
    assert (status, math.isnan(raw)) == (0x40900000, True)
    assert only_value(record(ua.Variant("x", V.String))) == (quality.BAD_TYPE_MISMATCH, None)
    assert only_value(record(FOREIGN[4])) == (quality.BAD_TYPE_MISMATCH, None)
    assert only_value(record(ua.Variant("x", V.String), quality.BAD_SENSOR_FAILURE)) == (
        quality.BAD_SENSOR_FAILURE,
        None,
    )
    assert only_value(record(ua.Variant(None, V.Null))) == only_value(b"\x00") == (NO_DATA, None)


@given(st.binary(max_size=60), st.integers(0, 4))
def test_garbage_reaches_the_kernel_decodable_or_is_a_protocol_error(garbage, count):
    try:
        passed = Screen(count).passed(garbage)
    except DeviceProtocolError:
        return
    kernel_reads(passed, count)


@given(st.sampled_from(FOREIGN + SKIPPED), st.data())
def test_a_damaged_value_is_passed_on_decodable_or_a_protocol_error(variant, data):
    body = bytearray(b"\x01" + variant_to_binary(variant))
    body[data.draw(st.integers(0, len(body) - 1))] = data.draw(st.integers(0, 255))
    try:
        passed = Screen(1).passed(bytes(body))
    except DeviceProtocolError:
        return
    kernel_reads(passed, 1)


@pytest.mark.parametrize("nested", [lambda number: [number], lambda number: [[number]]])
def test_arrays_of_one_pass_as_elements_and_are_known_the_next_time(nested):
    payload = b"".join(record(ua.Variant(nested(number), kind)) for kind, number in NUMBERS.items())
    screen = Screen(len(NUMBERS), are_elements=True)
    assert not screen.knows(payload)
    assert screen.passed(payload) is payload
    assert screen.knows(payload)
    assert values(payload, len(NUMBERS)) == [float(number) for number in NUMBERS.values()]


@pytest.mark.parametrize("other", [[1.0, 2.0], [], 1.0])
def test_an_array_that_is_no_longer_one_is_not_known(other):
    screen = Screen(1, are_elements=True)
    screen.passed(record(ua.Variant([1.0], V.Double)))
    assert not screen.knows(record(ua.Variant(other, V.Double)))


def test_an_array_of_one_that_nobody_asked_for_is_no_number():
    payload = record(ua.Variant(2.5, V.Double)) + record(ua.Variant([[7]], V.Int32)) + record(ua.Variant(3.5, V.Double))
    passed = Screen(3).passed(payload)
    assert statuses(passed, 3) == [0, quality.BAD_TYPE_MISMATCH, 0]
    assert values(passed, 3)[::2] == [2.5, 3.5]
