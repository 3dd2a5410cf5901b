from __future__ import annotations

import math
import struct
from array import array
from typing import Any, get_args

import msgspec
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from gatewayd.device.modbus import values
from gatewayd.device.modbus.plan import plan_reads
from gatewayd.errors import DeviceRefused
from gatewayd.model import quality
from gatewayd.model.block import WireType
from gatewayd.model.device import ByteOrder, ModbusTag, RegisterValueType
from gatewayd.model.registers import BYTES, FLOATS, INTEGER_RANGE, span, words
from kernels.decode_modbus_registers import decode_modbus_registers
from tests.device.modbus.plant import device, tag

NUMBERS = [type_ for type_ in get_args(RegisterValueType) if type_ != "string"]
orders = st.sampled_from(get_args(ByteOrder))
scales = st.sampled_from([1.0, 0.1, 0.01, -1.0, 2.5, 1e-3, 1000.0, -0.05, 1 / 3])
offsets = st.sampled_from([0.0, -40.0, 0.5, 273.15, -1000.0])


def payload(registers: tuple[int, ...]) -> bytes:
    return struct.pack(f">{len(registers)}H", *registers)


@st.composite
def number_tags(draw: st.DrawFn) -> ModbusTag:
    """A writable number of any type, byte order, place in its register, scale and offset."""
    type_ = draw(st.sampled_from(NUMBERS))
    settings: dict[str, Any] = {"byte": draw(st.sampled_from(["low", "high"]))} if type_ in BYTES else {}
    if type_ == "bool":
        settings["bit"] = draw(st.none() | st.integers(0, 15))
    return tag(type=type_, byte_order=draw(orders), scale=draw(scales), offset=draw(offsets), **settings)


def raw_payloads(written: ModbusTag) -> st.SearchStrategy[bytes]:
    """Registers as a device would hold them for some raw value, zero in the bits that belong to others."""
    size = 2 * words(written)
    if written.type.startswith("bcd"):
        return st.integers(*INTEGER_RANGE[written.type]).map(lambda raw: in_order(f"{raw:0{2 * size}d}", written))
    whole = st.binary(min_size=size, max_size=size)
    if written.type in FLOATS and size > 2:
        layout = FLOATS[written.type]
        whole |= st.floats(-1e9, 1e9, width=8 * size).map(layout.pack)  # type: ignore[arg-type]
    owned = values.owned_bits(written)
    if owned == 0xFFFF:
        return whole
    return whole.map(lambda wire: (int.from_bytes(wire, "big") & owned).to_bytes(2, "big"))


def in_order(digits: str, written: ModbusTag) -> bytes:
    return values._reorder(bytes.fromhex(digits), written.byte_order)


@given(number_tags(), st.data())
def test_what_was_read_is_written_back_as_it_was(written: ModbusTag, drawn: st.DataObject) -> None:
    """Scaling is inverted exactly: a person who writes what the screen shows changes nothing."""
    held = drawn.draw(raw_payloads(written))
    value = values.decode(written, held)
    assume(math.isfinite(value))
    if is_rounded_out(written, held):
        with pytest.raises(DeviceRefused):
            values.encode(written, value, device="plc")
        return
    again = payload(values.encode(written, value, device="plc"))
    assert values.decode(written, again) == value
    if is_the_only_one(written, held, value):
        assert again == held


def is_rounded_out(written: ModbusTag, held: bytes) -> bool:
    """Say whether a float64 has only the number above the type's last for this one, as for 2^63 - 1."""
    if written.type not in INTEGER_RANGE or written.type == "bool":
        return False
    value = values.decode(written, held)
    return round((value - written.offset) / written.scale) > INTEGER_RANGE[written.type][1]


def is_the_only_one(written: ModbusTag, held: bytes, value: float) -> bool:
    """Say whether no other raw value reads as this one: 64 bits through a scale, and -0 and 0, are not one to one."""
    if written.type == "bool":
        return written.bit is not None  # else every word but 0 is true
    raw = values._raw_of(written, values._reorder(held, written.byte_order))
    if raw == 0 and written.type in FLOATS:
        return False
    beside = (raw - 1, raw + 1) if isinstance(raw, int) else ()
    others = (*beside, *values._neighbours(written, raw))
    return all(values._scaled(written, other, 0) != value for other in others)


@given(number_tags(), st.data())
def test_what_is_written_reads_back_to_half_a_raw_step_or_is_refused(written: ModbusTag, drawn: st.DataObject) -> None:
    raw = drawn.draw(st.floats(-1e5, 1e5) | st.sampled_from([0.0, 1.0]))
    value = raw * written.scale + written.offset
    try:
        registers = values.encode(written, value, device="plc")
    except DeviceRefused:
        low, high = INTEGER_RANGE.get(written.type, (-60_000, 60_000))  # a float16 ends at 65504
        assert written.type == "bool" or not low - 0.49 < raw < high + 0.49
        return
    step = 1.0
    if written.type in FLOATS:
        digits, exponent_min = values._DIGITS[written.type]
        step = math.ldexp(1.0, max(math.frexp(raw)[1] - digits, exponent_min)) + 4 * math.ulp(value) / abs(
            written.scale
        )
    assert abs(values.decode(written, payload(registers)) - value) <= abs(written.scale) * step * 0.501


@given(st.sampled_from(["int64", "uint64", "bcd64", "int32"]), orders, st.data())
def test_every_integer_that_a_float_can_say_is_written_exactly(type_: str, order: str, drawn: st.DataObject) -> None:
    low, high = INTEGER_RANGE[type_]
    raw = int(float(drawn.draw(st.integers(low, high))))
    assume(raw <= high)
    written = tag(type=type_, byte_order=order)
    assert values.decode(written, payload(values.encode(written, float(raw), device="plc"))) == float(raw)


@given(
    st.sampled_from(["int16", "uint16", "int32", "uint32", "int64", "uint64", "bcd32", "int8"]),
    orders,
    st.integers(-10, 10),
    st.data(),
)
def test_a_power_of_ten_from_the_device_is_inverted_exactly_too(
    type_: str, order: str, power: int, drawn: st.DataObject
) -> None:
    low, high = INTEGER_RANGE[type_]
    raw = drawn.draw(st.integers(max(low, -(2**40)), min(high, 2**40)))
    written = tag(type=type_, byte_order=order, address=4, scale_register=9)
    factor = values._reorder(power.to_bytes(2, "big", signed=True), order)
    held = bytes(2 * (5 - words(written))) + factor
    registers = values.encode(written, values._scaled(written, raw, power), device="plc", power=power)
    wire = payload(registers)
    assert values._raw_of(written, values._reorder(wire, order)) == raw
    assert values.decode(written, wire + held) == values._scaled(written, raw, power)


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


@pytest.mark.parametrize("type_", NUMBERS)
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
        ({"type": "float16"}, 65520.0),
        ({"type": "int8"}, 128.0),
        ({"type": "uint8"}, -1.0),
        ({"type": "bcd16"}, -1.0),
        ({"type": "bcd16"}, 10000.0),
        ({"type": "bcd64"}, 1e16),
        ({"type": "int16", "not_a_value": -32768}, -32768.0),
        ({"type": "uint16", "not_a_value": -1}, 65535.0),
        ({"type": "uint8", "not_a_value": -1}, 255.0),
        ({"type": "bool", "bit": 3}, 2.0),
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


def test_a_bit_or_a_byte_is_written_in_its_place_and_owns_no_more() -> None:
    bit = tag(type="bool", bit=9)
    assert (values.encode(bit, 1.0, device="plc"), values.owned_bits(bit)) == ((0x0200,), 0x0200)
    swapped = tag(type="bool", bit=9, byte_order="BADC")
    assert (values.encode(swapped, 1.0, device="plc"), values.owned_bits(swapped)) == ((0x0002,), 0x0002)
    high = tag(type="int8", byte="high")
    assert (values.encode(high, -2.0, device="plc"), values.owned_bits(high)) == ((0xFE00,), 0xFF00)
    low = tag(type="uint8", byte_order="DCBA")
    assert (values.encode(low, 7.0, device="plc"), values.owned_bits(low)) == ((0x0700,), 0xFF00)
    assert values.owned_bits(tag(type="uint16")) == 0xFFFF


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"register_type": "input"}, "plc: valve, input register 30006, cannot be written"),
        ({"register_type": "discrete"}, "plc: valve, discrete input 10006, cannot be written"),
        ({"type": "string", "length": 4}, "plc: valve, holding register 40006, cannot be written"),
    ],
)
def test_what_cannot_be_written_is_refused_with_a_way_out(settings: dict[str, object], says: str) -> None:
    with pytest.raises(DeviceRefused) as error:
        values.encode(tag("valve", address=5, **settings), 1.0, device="plc")  # type: ignore[arg-type]
    assert error.value.message == says
    assert error.value.status == quality.BAD_NOT_SUPPORTED
    assert error.value.remedy


@pytest.mark.parametrize("type_", get_args(RegisterValueType))
def test_a_single_bit_is_a_bool_whatever_its_type(type_: str) -> None:
    for single in (tag(register_type="coil", type=type_), tag(register_type="input", type=type_, bit=0)):
        assert words(single) == 1
        assert values.wire_type(single) is WireType.BOOL


@pytest.mark.parametrize("type_", get_args(RegisterValueType))
def test_every_type_has_its_number_in_the_kernels(type_: str) -> None:
    assert values.wire_type(tag(type=type_)).name == type_.upper()


def scanned(read: ModbusTag, answer: bytes) -> float:
    """Return what a scan makes of an answer to this tag alone: the kernel's value, scaled, NaN where it is bad."""
    (plan,) = plan_reads(device(), [(0, read)], 0)
    (row,) = plan.rows
    value, status = memoryview(array("d", [0.0])), array("q", [0])
    special = (row.not_a_value is not None) | (row.scale_offset >= 0) << 1
    cells = (row.row, row.offset, row.type, row.order, row.bit, special, row.not_a_value or 0, row.scale_offset)
    columns = [array("q", [cell]) for cell in cells]
    tag_columns = [value, array("q", [0]), status, *(array("q", [0]) for _ in range(8))]
    out = [value.cast("B").cast("q"), array("q", [0])]
    response = array("q", (0, 1, len(answer), 0, 1, 1))
    sizes = (len(response), len(answer), 1, 1, 1)
    taken = decode_modbus_registers(response, answer, *columns, *tag_columns, *out, 1, 0, 1, 1, *sizes)
    assert taken == 1
    return value[0] * read.scale + read.offset if status[0] == 0 else math.nan


@given(
    number_tags(),
    st.sampled_from([None, 0, -1, -128, -(2**15), 2**15 - 1]),
    st.none() | st.integers(0, 8),
    st.binary(min_size=24, max_size=24),
    st.none() | st.integers(-12, 12),
)
def test_a_read_back_means_what_a_scan_means(
    read: ModbusTag, not_a_value: int | None, scale_register: int | None, answer: bytes, power: int | None
) -> None:
    """Else a write would be called a mismatch, or worse, verified."""
    if read.type == "bool":
        not_a_value = scale_register = None
    read = msgspec.structs.replace(read, address=4, not_a_value=not_a_value, scale_register=scale_register)
    start, end = span(read)
    answer = answer[: 2 * (end - start)]
    if scale_register is not None and power is not None:
        at = 2 * (scale_register - start)
        factor = values._reorder(power.to_bytes(2, "big", signed=True), read.byte_order)
        answer = answer[:at] + factor + answer[at + 2 :]
    read_back, scan = values.decode(read, answer), scanned(read, answer)
    assert read_back == scan or (math.isnan(read_back) and math.isnan(scan))
