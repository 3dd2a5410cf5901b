import functools
import random
import struct
from collections.abc import Iterator
from typing import NamedTuple

import pytest

from gatewayd.model.block import WireOrder, WireType
from kernels.table import RESPONSE_CELLS
from tests.kernels.decoded import BAD_DECODING, ERROR_BOUNDS, LOST, TIMES, Sample, reference, tag_columns
from tests.kernels.harness import NAN, Columns, agree, canonical, refused

KERNEL = "decode_modbus_registers"
NOW = TIMES["now"]
FORMATS = {
    WireType.INT16: ">h",
    WireType.UINT16: ">H",
    WireType.INT32: ">i",
    WireType.UINT32: ">I",
    WireType.INT64: ">q",
    WireType.UINT64: ">Q",
    WireType.FLOAT32: ">f",
    WireType.FLOAT64: ">d",
    WireType.INT8: ">H",
    WireType.UINT8: ">H",
    WireType.FLOAT16: ">e",
    WireType.BCD16: ">2s",
    WireType.BCD32: ">4s",
    WireType.BCD64: ">8s",
}
BAD_SENSOR_FAILURE = 0x808C0000
NO_VALUE = Sample(NAN, 0, BAD_SENSOR_FAILURE, 0)
CHECKED, SCALED = 1, 2


def ordered(wire: bytes, order: int) -> bytes:
    """Bring the bytes of a value into network order, register by register; its own inverse."""
    registers = [wire[i : i + 2] for i in range(0, len(wire), 2)]
    if order in (WireOrder.CDAB, WireOrder.DCBA):
        registers.reverse()
    if order in (WireOrder.BADC, WireOrder.DCBA):
        registers = [register[::-1] for register in registers]
    return b"".join(registers)


class Cell(NamedTuple):
    """One row of table plan."""

    offset: int = 0
    type: int = WireType.UINT16
    order: int = 0
    bit: int = -1
    special: int = 0
    not_a_value: int = 0
    scale_offset: int = -1


def read(payload: bytes, cell: Cell) -> Sample:
    """Decode one row with struct, text and fractions."""
    if not is_sound(cell):
        return LOST
    layout = ">H" if cell.type == WireType.BOOL or is_single_bit(cell) else FORMATS[WireType(cell.type)]
    width = struct.calcsize(layout)
    if cell.offset < 0 or cell.offset + width > len(payload):
        return LOST
    wire = ordered(payload[cell.offset : cell.offset + width], cell.order)
    if cell.special & CHECKED and raw_bits(wire, cell) == cell.not_a_value:
        return NO_VALUE
    number = meaning(struct.unpack(layout, wire)[0], cell)
    if number is None:
        return LOST
    bits = 0 if isinstance(number, float) else number - 2**64 if number >= 2**63 else number
    if not cell.special & SCALED:
        return Sample(canonical(float(number)), bits, 0, 0)
    if not 0 <= cell.scale_offset <= len(payload) - 2:
        return LOST
    (power,) = struct.unpack(">h", ordered(payload[cell.scale_offset : cell.scale_offset + 2], cell.order))
    if power == -32768:
        return NO_VALUE
    if not -10 <= power <= 10:
        return LOST
    scaled = float(number) * float(10**power) if power >= 0 else float(number) / float(10**-power)
    return Sample(canonical(scaled), bits, 0, 0)


def is_sound(cell: Cell) -> bool:
    if cell.type not in FORMATS and cell.type != WireType.BOOL:
        return False
    if cell.type in (WireType.INT8, WireType.UINT8):
        allowed = [0, 8]
    else:
        allowed = list(range(-1, 16)) if cell.type <= WireType.FLOAT64 else [-1]
    return cell.order in list(WireOrder) and cell.bit in allowed


def is_single_bit(cell: Cell) -> bool:
    return cell.bit >= 0 and cell.type <= WireType.FLOAT64


def raw_bits(wire: bytes, cell: Cell) -> int:
    if cell.type in (WireType.INT8, WireType.UINT8):
        wire = wire[1:] if cell.bit == 0 else wire[:1]
    return int.from_bytes(wire, "big", signed=True)


def meaning(unpacked: int | float | bytes, cell: Cell) -> int | float | None:
    if isinstance(unpacked, bytes):
        return int(unpacked.hex()) if unpacked.hex().isdecimal() else None
    if isinstance(unpacked, float):
        return unpacked
    if is_single_bit(cell):
        return unpacked >> cell.bit & 1
    if cell.type == WireType.BOOL:
        return int(unpacked != 0)
    if cell.type in (WireType.INT8, WireType.UINT8):
        byte = unpacked.to_bytes(2, "big")[0 if cell.bit else 1]
        return byte - 256 if cell.type == WireType.INT8 and byte >= 128 else byte
    return unpacked


def samples(columns: Columns, payload: bytes, plans: range, *, base: int, time: int, mono: int) -> Iterator[Sample]:
    for i in plans:
        cell = Cell(*(columns[f"plan.{name}"][i] for name in Cell._fields))
        cell = cell._replace(offset=cell.offset - base, scale_offset=cell.scale_offset - base)
        yield read(payload, cell)._replace(source=time, event=mono)


def decode(columns: Columns, *, responses: int, **scalars: int) -> int:
    """Decode one response after another."""
    fresh, at = scalars.pop("fresh_count"), 0
    for i in range(responses):
        first, count, size, base, time, mono = columns["response.cell"][RESPONSE_CELLS * i :][:RESPONSE_CELLS]
        one = reference(functools.partial(samples, base=base, time=time, mono=mono))
        span = {"at": at, "size": size, "first": first, "count": count}
        fresh = one(columns, **span, fresh_count=fresh, response_time=time, response_mono=mono, **scalars)
        if fresh < 0:
            return ERROR_BOUNDS
        at += size
    return fresh


def answers(*sizes: int, first: int = 0, count: int = 1) -> Columns:
    """Responses with payloads of so many bytes; all but the last, of other devices, fill no row."""
    *others, last = sizes
    times = (TIMES["response_time"], TIMES["response_mono"])
    cells = [cell for size in others for cell in (0, 0, size, 0, *times)]
    return {"response.cell": [*cells, first, count, last, 0, *times]}


def one(wire: bytes, kind: int, order: int = 0, bit: int = -1, **more: int) -> tuple[float, int, int]:
    """Decode one tag at the end of an inbox that begins with another device's bytes."""
    cell = Cell(type=kind, order=order, bit=bit)._replace(**more)
    plan = {f"plan.{name}": [number] for name, number in zip(Cell._fields, cell, strict=True)} | {"plan.row": [0]}
    given = plan | tag_columns(random.Random(1), 1) | {"inbox.byte": list(b"\xee\xee\xee" + wire)}
    given |= answers(3, len(wire))
    result, after = agree(KERNEL, given, decode, responses=2, fresh_count=0, pass_number=9, now=NOW)
    assert result == 1
    return after["tag.value"][0], after["tag.bits"][0], after["tag.status"][0]


def test_every_type_and_byte_order_is_read_as_struct_packs_it() -> None:
    values = {
        WireType.INT16: (-32768, -2, 32767),
        WireType.UINT16: (0, 65535),
        WireType.INT32: (-(2**31), 2**31 - 1, 305419896),
        WireType.UINT32: (0, 2**32 - 1),
        WireType.INT64: (-(2**63), 2**63 - 1, 2**53 + 1, -(2**53) - 1),
        WireType.UINT64: (0, 2**64 - 1, 2**63, 2**53 + 1, 2**63 + 1025),
        WireType.FLOAT32: (-0.0, 1.5, -1e-40, 1e-45, 3.4e38, float("inf"), float("-inf")),
        WireType.FLOAT64: (-0.0, 0.1, 5e-324, -1.7e308, float("inf")),
    }
    for kind, numbers in values.items():
        for number in numbers:
            for order in WireOrder:
                wire = ordered(struct.pack(FORMATS[kind], number), order)
                value, bits, status = one(wire, kind, order)
                assert status == 0
                if isinstance(number, int):
                    assert (value, bits % 2**64) == (float(number), number % 2**64)
                else:
                    assert struct.pack(">d", value) == struct.pack(
                        ">d", struct.unpack(FORMATS[kind], wire_of(kind, number))[0]
                    )


def wire_of(kind: WireType, number: float) -> bytes:
    return struct.pack(FORMATS[kind], number)


def test_every_nan_on_the_wire_is_stored_as_the_one_nan() -> None:
    for wire in ("7fc00000", "ffc00001", "7f800001", "ffffffff"):
        value, _, status = one(bytes.fromhex(wire), WireType.FLOAT32)
        assert (struct.pack(">d", value).hex(), status) == ("7ff8000000000000", 0)
    for wire in ("fff8000000000000", "7ff0000000000001", "ffffffffffffffff"):
        value, _, status = one(bytes.fromhex(wire), WireType.FLOAT64)
        assert (struct.pack(">d", value).hex(), status) == ("7ff8000000000000", 0)


def test_a_bit_of_a_register_counts_from_the_least_significant() -> None:
    assert one(b"\x80\x01", WireType.BOOL, bit=0)[0] == 1.0
    assert one(b"\x80\x01", WireType.BOOL, bit=15)[0] == 1.0
    assert one(b"\x80\x01", WireType.BOOL, bit=7)[0] == 0.0
    assert one(b"\x80\x01", WireType.BOOL, WireOrder.BADC, bit=7)[0] == 1.0
    assert one(b"\x00\x20", WireType.BOOL)[0] == 1.0


@pytest.mark.parametrize("order", WireOrder)
def test_a_byte_is_the_high_or_the_low_half_of_its_register(order: WireOrder) -> None:
    wire = ordered(b"\x85\x7f", order)
    assert one(wire, WireType.UINT8, order, bit=8) == (133.0, 133, 0)
    assert one(wire, WireType.INT8, order, bit=8) == (-123.0, -123, 0)
    assert one(wire, WireType.UINT8, order, bit=0) == (127.0, 127, 0)
    assert one(wire, WireType.INT8, order, bit=0) == (127.0, 127, 0)
    assert one(wire, WireType.INT8, order, bit=7)[2] == BAD_DECODING


def test_every_float16_is_widened_exactly() -> None:
    for bits in (*range(0, 0x10000, 41), 0x0000, 0x8000, 0x0001, 0x83FF, 0x7BFF, 0x7C00, 0xFC00, 0x7C01, 0xFFFF):
        wire = bits.to_bytes(2, "big")
        value, _, status = one(wire, WireType.FLOAT16)
        assert status == 0
        assert struct.pack(">d", value) == struct.pack(">d", canonical(struct.unpack(">e", wire)[0]))


@pytest.mark.parametrize("order", WireOrder)
def test_bcd_reads_as_its_digits_and_is_bad_where_one_is_none(order: WireOrder) -> None:
    for kind, digits in ((WireType.BCD16, "9804"), (WireType.BCD32, "12345678"), (WireType.BCD64, "9007199254740993")):
        assert one(ordered(bytes.fromhex(digits), order), kind, order) == (float(digits), int(digits), 0)
        for place in range(len(digits)):
            wire = bytes.fromhex(digits[:place] + "a" + digits[place + 1 :])
            value, bits, status = one(ordered(wire, order), kind, order)
            assert (value != value, bits, status) == (True, 0, BAD_DECODING)


NOT_IMPLEMENTED = [
    (WireType.INT16, "8000", "7fff"),
    (WireType.UINT16, "ffff", "8000"),
    (WireType.INT32, "80000000", "00008000"),
    (WireType.UINT32, "ffffffff", "80000000"),
    (WireType.INT64, "8000000000000000", "8000000000000001"),
    (WireType.UINT64, "ffffffffffffffff", "8000000000000000"),
    (WireType.FLOAT32, "ff7fffff", "7f7fffff"),
    (WireType.BCD16, "ffff", "9999"),
]


@pytest.mark.parametrize(("kind", "missing", "there"), NOT_IMPLEMENTED)
@pytest.mark.parametrize("order", WireOrder)
def test_the_code_of_no_value_is_bad_and_its_neighbour_a_number(
    kind: WireType, missing: str, there: str, order: WireOrder
) -> None:
    code = int.from_bytes(bytes.fromhex(missing), "big", signed=True)
    value, bits, status = one(ordered(bytes.fromhex(missing), order), kind, order, special=CHECKED, not_a_value=code)
    assert (value != value, bits, status) == (True, 0, BAD_SENSOR_FAILURE)
    assert one(ordered(bytes.fromhex(there), order), kind, order, special=CHECKED, not_a_value=code)[2] == 0
    assert one(ordered(bytes.fromhex(missing), order), kind, order)[2] == (BAD_DECODING if kind > 12 else 0)


@pytest.mark.parametrize(
    ("power", "value"), [(0, -123.0), (1, -1230.0), (-1, -12.3), (-3, -0.123), (10, -123e10), (-10, -123e-10)]
)
@pytest.mark.parametrize("order", WireOrder)
def test_a_scale_register_is_the_power_of_ten_of_the_same_response(power: int, value: float, order: WireOrder) -> None:
    """Divided by 10, not multiplied by 0.1: -123 and -1 are exactly the -12.3 that a person would write."""
    wire = ordered(struct.pack(">h", -123), order) + ordered(struct.pack(">h", power), order)
    assert one(wire, WireType.INT16, order, special=SCALED, scale_offset=2) == (value, -123, 0)


@pytest.mark.parametrize(
    ("factor", "place", "status"),
    [("8000", 2, BAD_SENSOR_FAILURE), ("000b", 2, BAD_DECODING), ("fff5", 2, BAD_DECODING), ("0001", 3, BAD_DECODING)],
)
def test_a_value_without_a_usable_scale_factor_is_bad(factor: str, place: int, status: int) -> None:
    wire = b"\x00\x07" + bytes.fromhex(factor)
    value, bits, found = one(wire, WireType.INT16, special=SCALED, scale_offset=place)
    assert (value != value, bits, found) == (True, 0, status)


def test_a_text_is_not_read_by_a_kernel() -> None:
    assert one(b"on", WireType.STRING)[2] == BAD_DECODING


def test_a_row_that_does_not_fit_is_bad_and_the_next_goes_on() -> None:
    plan = {
        "plan.row": [2, 0, 1, 2],
        "plan.offset": [2, 0, -1, 4],
        "plan.type": [WireType.FLOAT32, WireType.INT16, WireType.INT16, 77],
        "plan.order": [0, 0, 0, 0],
        "plan.bit": [-1, -1, -1, -1],
    }
    given = plan | tag_columns(random.Random(2), 3) | {"inbox.byte": list(b"\x00\x05\x01\x02\x03")}
    given |= answers(5, count=4)
    result, after = agree(KERNEL, given, decode, responses=1, fresh_count=0, pass_number=9, now=NOW)
    assert (result, after["fresh.row"]) == (3, [2, 0, 1])  # row 2 came twice, and is listed once
    assert after["tag.status"] == [0, 0x80070000, 0x80070000]
    assert after["tag.value"][0] == 5.0


def test_random_plans_over_random_payloads() -> None:
    rng = random.Random(11)
    for _ in range(300):
        tags, plans, inbox = rng.randint(1, 9), rng.randint(0, 20), rng.randint(0, 60)
        given = tag_columns(rng, tags) | {
            "inbox.byte": [rng.choice((0, 0x7F, 0x80, 0xFF, rng.randrange(256))) for _ in range(inbox)],
            "plan.row": [rng.randrange(tags) for _ in range(plans)],
            "plan.offset": [rng.choice((rng.randint(0, 40), -1, 2**63 - 1, -(2**63))) for _ in range(plans)],
            "plan.type": [rng.choice((*WireType, *WireType, 0, 17, -1)) for _ in range(plans)],
            "plan.order": [rng.choice((*WireOrder, *WireOrder, *WireOrder, 4, -1)) for _ in range(plans)],
            "plan.bit": [rng.choice((-1, -1, -1, 0, 7, 8, 15, 16, -2)) for _ in range(plans)],
            "plan.special": [rng.choice((0, 0, 0, CHECKED, SCALED, CHECKED | SCALED)) for _ in range(plans)],
            "plan.not_a_value": [rng.choice((-1, 0, -32768, 127)) for _ in range(plans)],
            "plan.scale_offset": [rng.choice((rng.randint(0, 40), -1, 2**63 - 1)) for _ in range(plans)],
        }
        given["response.cell"], left = [], inbox
        for _ in range(rng.randint(0, 4)):
            first, size = rng.randint(0, plans), rng.randint(0, left)
            left -= size
            times = rng.getrandbits(61), rng.getrandbits(61)
            given["response.cell"] += (first, rng.randint(0, plans - first), size, rng.choice((0, 0, 6)), *times)
        responses = len(given["response.cell"]) // RESPONSE_CELLS
        agree(KERNEL, given, decode, responses=responses, fresh_count=0, pass_number=4, now=NOW)


def test_ranges_and_rows_outside_their_buffers_are_refused() -> None:
    plan = {"plan.row": [0], "plan.offset": [0], "plan.type": [2], "plan.order": [0], "plan.bit": [-1]}
    given = plan | tag_columns(random.Random(3), 1) | {"inbox.byte": [1, 2, 3]} | answers(1, 2)
    good = {"responses": 2, "fresh_count": 0, "pass_number": 9, "now": NOW}
    assert refused(KERNEL, given, **good) == {1}
    huge = (2**63 - 1, -(2**63), -1)
    for name, numbers in {"responses": (3, *huge), "fresh_count": (1, *huge)}.items():
        for number in numbers:
            assert refused(KERNEL, given, **(good | {name: number})) == {ERROR_BOUNDS}, (name, number)
    first, count, size = range(RESPONSE_CELLS, RESPONSE_CELLS + 3)
    for place, numbers in {first: (1, *huge), count: (2, *huge), size: (3, *huge)}.items():
        for number in numbers:
            cells = list(given["response.cell"])
            cells[place] = number
            assert refused(KERNEL, given | {"response.cell": cells}, **good) == {ERROR_BOUNDS}, (place, number)
    for row in (-1, 1, 2**63 - 1, -(2**63)):
        assert refused(KERNEL, given | {"plan.row": [row]}, **good) == {ERROR_BOUNDS}


def test_a_lost_float_is_nan_not_a_number() -> None:
    value, bits, status = one(b"\x00", WireType.FLOAT32)
    assert (value != value, bits, status) == (NAN != NAN, 0, 0x80070000)
