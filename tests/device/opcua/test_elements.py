"""One element of a value by its path, against asyncua's own decoder; and what hostile bytes cannot do."""

from __future__ import annotations

import math
from contextlib import suppress
from datetime import UTC, datetime

import pytest
from asyncua import ua
from asyncua.ua.ua_binary import nodeid_to_binary, struct_to_binary
from hypothesis import given
from hypothesis import strategies as st

from gatewayd.device.opcua.data_values import NO_DATA
from gatewayd.device.opcua.elements import (
    Field,
    Structure,
    UnknownStructure,
    index_range,
    is_single,
    parse_element,
    records,
    status_of,
    value_at,
)
from gatewayd.errors import ConfigError, DeviceProtocolError
from gatewayd.model import quality

TIME = datetime(2026, 1, 1, tzinfo=UTC)
TIME_NS = 1_767_225_600_000_000_000
V = ua.VariantType


def plain(name: str, kind: ua.VariantType, rank: int = 0) -> Field:
    return Field(name, kind.value, None, rank, is_optional=False)


RANGE = Structure((plain("Low", V.Double), plain("High", V.Double)))
UNITS = Structure(
    (plain("NamespaceUri", V.String), plain("UnitId", V.Int32), plain("DisplayName", V.LocalizedText),
     plain("Description", V.LocalizedText))
)  # fmt: skip
ARGUMENT = Structure(
    (plain("Name", V.String), plain("DataType", V.NodeId), plain("ValueRank", V.Int32),
     plain("ArrayDimensions", V.UInt32, rank=1), plain("Description", V.LocalizedText))
)  # fmt: skip
AXIS = Structure(
    (
        Field("EngineeringUnits", 0, UNITS, 0, is_optional=False),
        Field("EURange", 0, RANGE, 0, is_optional=False),
        plain("Title", V.LocalizedText),
        plain("AxisScaleType", V.Int32),
        plain("AxisSteps", V.Double, rank=1),
    )
)


def type_id(number: int) -> bytes:
    return nodeid_to_binary(ua.FourByteNodeId(number))


TYPES = {
    type_id(ua.ObjectIds.Range_Encoding_DefaultBinary): RANGE,
    type_id(ua.ObjectIds.EUInformation_Encoding_DefaultBinary): UNITS,
    type_id(ua.ObjectIds.Argument_Encoding_DefaultBinary): ARGUMENT,
    type_id(ua.ObjectIds.AxisInformation_Encoding_DefaultBinary): AXIS,
}
AXIS_VALUE = ua.AxisInformation(
    ua.EUInformation("urn:x", 17, ua.LocalizedText("rpm", "en")), ua.Range(-1.0, 9.0), ua.LocalizedText("Speed"),
    ua.AxisScaleEnumeration.Log, [0.5, 1.5, 2.5],
)  # fmt: skip


def record(value: object, kind: ua.VariantType = V.ExtensionObject, status: int = 0) -> bytes:
    return struct_to_binary(ua.DataValue(ua.Variant(value, kind), ua.StatusCode(status), TIME))


def found(content: bytes, path: str) -> float | str:
    """The number at a path, or the name of the status there."""
    there = value_at(content, parse_element(path), TYPES)
    assert there.source_time_ns == TIME_NS
    return quality.name(there.status) if math.isnan(there.value) else there.value


@pytest.mark.parametrize(
    ("text", "path", "asked"),
    [
        ("3", ((3,),), "3"),
        ("2,1", ((2, 1),), "2,1"),
        ("[3]", ((3,),), "3"),
        (".Speed", ("Speed",), None),
        ("Speed", ("Speed",), None),
        ("Motor[2].Speed", ("Motor", (2,), "Speed"), None),
        ("[2].A.B[1,0]", ((2,), "A", "B", (1, 0)), None),
    ],
)
def test_a_path_is_read_as_technicians_write_it(text, path, asked):
    assert parse_element(text) == path
    assert index_range(path) == asked


@pytest.mark.parametrize(
    "text", ["", "-1", "1:3", "2;1", "a b", "[", "[]", "a[b]", "a..b", "3a", "[1]x", ".", "1.5", "a" * 200]
)
def test_what_is_no_path_is_refused(text):
    with pytest.raises(ConfigError) as refused:
        parse_element(text)
    assert "first element is 0" in refused.value.remedy or "empty" in refused.value.message


@given(st.lists(st.floats(allow_nan=False), min_size=1, max_size=20), st.data())
def test_every_element_of_an_array_is_found(numbers, data):
    index = data.draw(st.integers(0, len(numbers) - 1))
    assert found(record(numbers, V.Double), str(index)) == numbers[index]


@given(st.integers(1, 4), st.integers(1, 4), st.integers(1, 3), st.data())
def test_every_element_of_a_matrix_is_found_in_row_major_order(rows, columns, layers, data):
    at = [data.draw(st.integers(0, size - 1)) for size in (rows, columns, layers)]
    cube = [[[100 * r + 10 * c + z for z in range(layers)] for c in range(columns)] for r in range(rows)]
    assert found(record(cube, V.Int32), ",".join(map(str, at))) == 100 * at[0] + 10 * at[1] + at[2]


@pytest.mark.parametrize(
    ("content", "path", "status"),
    [
        (record([1.0, 2.0], V.Double), "2", "Bad_IndexRangeNoData"),
        (record([], V.Double), "0", "Bad_IndexRangeNoData"),
        (record(1.0, V.Double), "0", "Bad_IndexRangeNoData"),
        (record([1.0, 2.0], V.Double), "1,1", "Bad_IndexRangeInvalid"),
        (record([1.0, 2.0], V.Double), ".Speed", "Bad_TypeMismatch"),
        (record(["a", "b"], V.String), "1", "Bad_TypeMismatch"),
        (record(ua.Range(1.0, 2.0)), ".Middle", "Bad_NoMatch"),
        (record(ua.Range(1.0, 2.0)), "1", "Bad_TypeMismatch"),
        (record(AXIS_VALUE), ".Title", "Bad_TypeMismatch"),
        (record(AXIS_VALUE), ".EURange", "Bad_TypeMismatch"),
        (record(AXIS_VALUE), ".AxisSteps[3]", "Bad_IndexRangeNoData"),
        (record([1.0], V.Double, quality.BAD_SENSOR_FAILURE), "0", "Bad_SensorFailure"),
    ],
)  # fmt: skip
def test_what_is_not_there_is_bad_by_the_standards_name(content, path, status):
    assert found(content, path) == status


@pytest.mark.parametrize(
    ("path", "number"),
    [
        (".EngineeringUnits.UnitId", 17.0),
        (".EURange.High", 9.0),
        ("AxisScaleType", 1.0),
        (".AxisSteps[2]", 2.5),
    ],
)
def test_fields_behind_texts_and_nested_structures_are_found(path, number):
    """The numbers are what asyncua put there: AxisScaleEnumeration.Log is 1."""
    assert found(record(AXIS_VALUE), path) == number


def test_a_field_of_one_of_many_structures_is_found():
    several = [ua.Argument("a" * n, ua.NodeId(n, 2), n, [n, n + 1], ua.LocalizedText("x")) for n in range(5)]
    assert [found(record(several), f"[{n}].ArrayDimensions[1]") for n in range(5)] == [1.0, 2.0, 3.0, 4.0, 5.0]


def test_a_structure_inside_a_variant_inside_an_array_is_found():
    several = [ua.Variant(1.5, V.Double), ua.Variant([1, 2, 3], V.Int32), ua.Variant(ua.Range(5.0, 6.0))]
    content = record(several, V.Variant)
    assert [found(content, path) for path in ("0", "[1][2]", "[2].Low")] == [1.5, 3.0, 5.0]


def test_an_unknown_structure_is_asked_for_by_its_type():
    with pytest.raises(UnknownStructure) as unknown:
        value_at(record(ua.Range(1.0, 2.0)), ("Low",), {})
    assert unknown.value.type_id == type_id(ua.ObjectIds.Range_Encoding_DefaultBinary)
    unexplained = value_at(record(ua.Range(1.0, 2.0)), ("Low",), {unknown.value.type_id: None})
    assert unexplained.status == quality.BAD_TYPE_MISMATCH


def body(structure: Structure, content: bytes) -> bytes:
    """A DataValue of one structure, by hand: asyncua has no optional fields or unions without a server."""
    head = b"\x01\x16" + type_id(9999) + b"\x01" + len(content).to_bytes(4, "little")
    TYPES[type_id(9999)] = structure
    return head + content


def test_optional_fields_are_told_by_a_mask_in_front():
    both = Structure((Field("A", 4, None, 0, True), Field("B", 4, None, 0, False), Field("C", 4, None, 0, True)))
    content = body(both, b"\x02\0\0\0" + b"\x07\0" + b"\x09\0")
    assert [value_at(content, (name,), TYPES).status for name in "ABC"] == [NO_DATA, 0, 0]
    assert [value_at(content, (name,), TYPES).value for name in "BC"] == [7.0, 9.0]


def test_of_a_union_only_the_member_chosen_is_there():
    union = Structure((Field("A", 4, None, 0, False), Field("B", 11, None, 0, False)), is_union=True)
    content = body(union, b"\x02\0\0\0" + b"\0\0\0\0\0\0\xf8\x3f")
    assert value_at(content, ("B",), TYPES).value == 1.5
    assert value_at(content, ("A",), TYPES).status == NO_DATA
    assert value_at(body(union, b"\0\0\0\0"), ("A",), TYPES).status == NO_DATA


def test_a_matrix_in_a_structure_has_its_lengths_in_front():
    field = Structure((plain("M", V.Byte, rank=2), plain("After", V.Byte)))
    content = body(field, b"\x02\0\0\0\x02\0\0\0\x02\0\0\0" + bytes([1, 2, 3, 4, 9]))
    assert value_at(content, parse_element("M[1,0]"), TYPES).value == 3.0
    assert value_at(content, ("After",), TYPES).value == 9.0


def test_a_million_empty_structures_cost_a_bounded_time():
    """They take no bytes, so that the payload's size bounds nothing."""
    empty = Structure(())
    nested = Structure((Field("Many", 0, empty, 1, False), plain("After", V.Byte)))
    content = body(nested, b"\x40\x42\x0f\0" + b"\x07")
    with pytest.raises(DeviceProtocolError, match="too large"):
        value_at(content, ("After",), TYPES)


@given(st.binary(max_size=80), st.sampled_from([RANGE, ARGUMENT, AXIS, UNITS]), st.data())
def test_bytes_that_are_not_what_the_definition_says_never_raise_anything_else(content, structure, data):
    path = data.draw(st.sampled_from(structure.fields)).name
    with suppress(DeviceProtocolError, UnknownStructure):
        value_at(body(structure, content), (path, *data.draw(st.sampled_from([(), ((1,),), ("UnitId",)]))), TYPES)


def test_records_are_told_apart_and_must_fill_the_payload():
    parts = [record([1.0], V.Double), record("x", V.String), record(ua.Range(1.0, 2.0))]
    payload = b"".join(parts)
    assert [payload[start:end] for start, end in records(payload, 3)] == parts
    for broken, count in ((payload, 2), (payload[:-1], 3), (payload, 4)):
        with pytest.raises(DeviceProtocolError):
            list(records(broken, count))


def test_what_an_honoured_index_range_gives_is_told_from_the_rest():
    bad = struct_to_binary(ua.DataValue(StatusCode=ua.StatusCode(quality.BAD_INDEX_RANGE_NO_DATA)))
    singles = [record([1.0], V.Double), record([[1]], V.Int32), bad]
    others = [record([1.0, 2.0], V.Double), record(1.0, V.Double), record([], V.Double)]
    assert [is_single(each) for each in singles + others] == [True] * 3 + [False] * 3
    assert [status_of(each) for each in (bad, singles[0])] == [quality.BAD_INDEX_RANGE_NO_DATA, 0]
