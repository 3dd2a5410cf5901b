from __future__ import annotations

import math
import struct
from array import array
from typing import get_args

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from gatewayd.device.modbus import values
from gatewayd.device.modbus.plan import plan_reads
from gatewayd.errors import DeviceRefused
from gatewayd.model import quality
from gatewayd.model.block import WireType
from gatewayd.model.config import ByteOrder, ModbusTag, TagType
from kernels.decode_modbus_registers import decode_modbus_registers
from tests.device.modbus.plant import device, tag

INTEGERS = {
    "int16": (-(2**15), 2**15 - 1),
    "uint16": (0, 2**16 - 1),
    "int32": (-(2**31), 2**31 - 1),
    "uint32": (0, 2**32 - 1),
    "int64": (-(2**63), 2**63 - 1),
    "uint64": (0, 2**64 - 1),
}
orders = st.sampled_from(get_args(ByteOrder))
scales = st.sampled_from([1.0, 0.1, 0.01, -1.0, 2.5, 1e-3, 1000.0, -0.05])
offsets = st.sampled_from([0.0, -40.0, 0.5, 273.15, -1000.0])


def payload(registers: tuple[int, ...]) -> bytes:
    return struct.pack(f">{len(registers)}H", *registers)


@given(st.sampled_from(list(INTEGERS)), orders, scales, offsets, st.data())
def test_an_integer_written_reads_back_to_half_a_raw_step(
    type_: str, order: str, scale: float, offset: float, data: st.DataObject
) -> None:
    low, high = INTEGERS[type_]
    raw = data.draw(st.floats(max(low, -(2.0**40)), min(high, 2.0**40)))
    written = tag(type=type_, byte_order=order, scale=scale, offset=offset)
    value = raw * scale + offset
    read_back = values.decode(written, payload(values.encode(written, value, device="plc")))
    assert abs(read_back - value) <= abs(scale) * 0.5005


@given(st.sampled_from(list(INTEGERS)), orders, st.data())
def test_every_integer_that_a_float_can_say_is_written_exactly(type_: str, order: str, data: st.DataObject) -> None:
    low, high = INTEGERS[type_]
    raw = int(float(data.draw(st.integers(low, high))))
    assume(raw <= high)
    written = tag(type=type_, byte_order=order)
    assert values.decode(written, payload(values.encode(written, float(raw), device="plc"))) == float(raw)


@given(st.floats(width=32, allow_nan=False, allow_infinity=False), orders)
def test_every_float32_is_written_exactly(value: float, order: str) -> None:
    written = tag(type="float32", byte_order=order)
    registers = values.encode(written, value, device="plc")
    assert len(registers) == 2
    assert values.decode(written, payload(registers)) == value


@given(
    st.sampled_from(["float32", "float64"]), st.floats(-1e30, 1e30).filter(lambda x: x == 0 or abs(x) > 1e-30), scales
)
def test_a_scaled_float_reads_back_to_the_precision_of_its_type(type_: str, value: float, scale: float) -> None:
    written = tag(type=type_, scale=scale)
    read_back = values.decode(written, payload(values.encode(written, value, device="plc")))
    assert math.isclose(read_back, value, rel_tol=2e-7 if type_ == "float32" else 1e-15)


@pytest.mark.parametrize(
    ("order", "wire"), [("ABCD", "11223344"), ("BADC", "22114433"), ("CDAB", "33441122"), ("DCBA", "44332211")]
)
def test_byte_orders_place_the_most_significant_byte_at_a(order: str, wire: str) -> None:
    written = tag(type="uint32", byte_order=order)
    assert payload(values.encode(written, float(0x11223344), device="plc")).hex() == wire
    assert values.decode(written, bytes.fromhex(wire)) == 0x11223344


@pytest.mark.parametrize(
    ("order", "wire"),
    [
        ("ABCD", "1122334455667700"),
        ("BADC", "2211443366550077"),
        ("CDAB", "7700556633441122"),
        ("DCBA", "0077665544332211"),
    ],
)
def test_in_64_bits_the_orders_say_bytes_in_registers_and_order_of_registers(order: str, wire: str) -> None:
    assert values.decode(tag(type="uint64", byte_order=order), bytes.fromhex(wire)) == 0x1122334455667700


@pytest.mark.parametrize("type_", get_args(TagType))
@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_what_is_not_a_finite_number_is_never_written(type_: str, value: float) -> None:
    with pytest.raises(DeviceRefused, match="not a finite number"):
        values.encode(tag(type=type_), value, device="plc")


@pytest.mark.parametrize(
    ("settings", "value"),
    [
        ({"type": "int16"}, 32768.0),
        ({"type": "int16"}, -32769.0),
        ({"type": "uint16"}, -1.0),
        ({"type": "uint16", "scale": 0.1}, 6553.6),
        ({"type": "int64"}, 2.0**63),
        ({"type": "uint64"}, 2.0**64),
        ({"type": "float32"}, 3.5e38),
        ({"type": "float64", "scale": 1e-200}, 1e200),
        ({"type": "bool"}, 0.5),
        ({"type": "bool"}, 2.0),
        ({"type": "bool", "register_type": "coil"}, -1.0),
        ({"type": "uint16", "register_type": "coil"}, 7.0),
        ({"type": "int16", "scale": 0.0}, 1.0),
        ({"type": "int64", "offset": 1e17}, 1.0),  # one unit is lost against an offset of 1e17
    ],
)
def test_a_value_without_a_place_in_the_type_is_refused_and_nothing_is_sent(
    settings: dict[str, object], value: float
) -> None:
    with pytest.raises(DeviceRefused) as error:
        values.encode(tag("speed", **settings), value, device="plc")  # type: ignore[arg-type]
    assert error.value.message.startswith(f"plc: {value!r} cannot be written to speed, ")
    assert error.value.status == quality.BAD_OUT_OF_RANGE
    assert error.value.remedy


def test_a_value_between_two_raw_steps_takes_the_nearer() -> None:
    written = tag(type="int16", scale=0.1)
    assert values.encode(written, 0.26, device="plc") == (3,)
    assert values.encode(written, 0.24, device="plc") == (2,)


def test_a_coil_and_a_bool_register_are_written_as_one_or_zero() -> None:
    assert values.encode(tag(register_type="coil", type="bool"), 1.0, device="plc") == (1,)
    assert values.encode(tag(register_type="holding", type="bool"), 1.0, device="plc") == (1,)
    assert values.encode(tag(register_type="holding", type="bool", byte_order="DCBA"), 1.0, device="plc") == (256,)
    assert values.encode(tag(register_type="coil", type="bool", scale=100.0), 100.0, device="plc") == (1,)


def test_a_bool_register_reads_as_one_for_any_other_value_than_zero() -> None:
    assert values.decode(tag(type="bool"), b"\x01\x00") == 1.0
    assert values.decode(tag(type="bool"), b"\x00\x00") == 0.0


def test_a_bit_is_counted_from_the_least_significant_after_the_byte_order() -> None:
    assert values.decode(tag(type="bool", bit=9), b"\x02\x00") == 1.0
    assert values.decode(tag(type="bool", bit=9, byte_order="BADC"), b"\x02\x00") == 0.0
    assert values.decode(tag(type="bool", bit=1, byte_order="BADC"), b"\x02\x00") == 1.0


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"bit": 3}, "plc: valve, bit 3 of holding register 40006, cannot be written"),
        ({"register_type": "input"}, "plc: valve, input register 30006, cannot be written"),
        ({"register_type": "discrete"}, "plc: valve, discrete input 10006, cannot be written"),
    ],
)
def test_what_modbus_cannot_write_alone_is_refused_with_a_way_out(settings: dict[str, object], says: str) -> None:
    with pytest.raises(DeviceRefused) as error:
        values.encode(tag("valve", address=5, **settings), 1.0, device="plc")  # type: ignore[arg-type]
    assert error.value.message == says
    assert error.value.status == quality.BAD_NOT_SUPPORTED
    assert error.value.remedy


@pytest.mark.parametrize("type_", get_args(TagType))
def test_a_single_bit_takes_one_address_whatever_its_type(type_: str) -> None:
    for single in (tag(register_type="coil", type=type_), tag(register_type="input", type=type_, bit=0)):
        assert values.words(single) == 1
        assert values.wire_type(single) is WireType.BOOL


@pytest.mark.parametrize("type_", get_args(TagType))
def test_a_value_takes_as_many_registers_as_its_bytes_need(type_: str) -> None:
    digits = "".join(filter(str.isdigit, type_)) or "16"
    assert values.words(tag(type=type_)) == int(digits) // 16
    assert values.wire_type(tag(type=type_)).name == type_.upper()


def scanned(read: ModbusTag, answer: bytes) -> float:
    """Return what a scan makes of an answer to this tag alone: the kernel's raw value, scaled."""
    (plan,) = plan_reads(device(), [(0, read)], 0)
    (row,) = plan.rows
    value = memoryview(array("d", [0.0]))
    columns = [array("q", [cell]) for cell in (row.row, row.offset, row.type, row.order, row.bit)]
    tag_columns = [value, *(array("q", [0]) for _ in range(10)), value.cast("B").cast("q"), array("q", [0])]
    sizes = (len(answer), 1, 1, 1)
    taken = decode_modbus_registers(answer, *columns, *tag_columns, 0, len(answer), 0, 1, 0, 1, 1, 1, 1, *sizes)
    assert taken == 1
    return value[0] * read.scale + read.offset


@given(
    st.sampled_from(get_args(TagType)),
    orders,
    st.none() | st.integers(0, 15),
    st.binary(min_size=8, max_size=8),
    scales,
    offsets,
)
def test_a_read_back_means_what_a_scan_means(
    type_: str, order: str, bit: int | None, answer: bytes, scale: float, offset: float
) -> None:
    """Else a write would be called a mismatch, or worse, verified."""
    read = tag(type=type_, byte_order=order, bit=bit, scale=scale, offset=offset)
    answer = answer[: 2 * values.words(read)]
    read_back, scan = values.decode(read, answer), scanned(read, answer)
    assert read_back == scan or (math.isnan(read_back) and math.isnan(scan))
