import random
import struct
from collections.abc import Iterator

from gatewayd.model.block import WireOrder, WireType
from tests.kernels.decoded import ERROR_BOUNDS, LOST, TIMES, Sample, reference, tag_columns
from tests.kernels.harness import NAN, Columns, agree, canonical, refused

KERNEL = "decode_modbus_registers"
FORMATS = {
    WireType.INT16: ">h",
    WireType.UINT16: ">H",
    WireType.INT32: ">i",
    WireType.UINT32: ">I",
    WireType.INT64: ">q",
    WireType.UINT64: ">Q",
    WireType.FLOAT32: ">f",
    WireType.FLOAT64: ">d",
}


def ordered(wire: bytes, order: int) -> bytes:
    """Bring the bytes of a value into network order, register by register; its own inverse."""
    registers = [wire[i : i + 2] for i in range(0, len(wire), 2)]
    if order in (WireOrder.CDAB, WireOrder.DCBA):
        registers.reverse()
    if order in (WireOrder.BADC, WireOrder.DCBA):
        registers = [register[::-1] for register in registers]
    return b"".join(registers)


def read(payload: bytes, offset: int, kind: int, order: int, bit: int) -> Sample:
    if kind not in list(WireType) or order not in list(WireOrder) or not -1 <= bit <= 15:
        return LOST
    layout = ">H" if kind == WireType.BOOL or bit >= 0 else FORMATS[WireType(kind)]
    width = struct.calcsize(layout)
    if offset < 0 or offset + width > len(payload):
        return LOST
    number = struct.unpack(layout, ordered(payload[offset : offset + width], order))[0]
    if bit >= 0:
        number = number >> bit & 1
    elif kind == WireType.BOOL:
        number = int(number != 0)
    if isinstance(number, float):
        return Sample(canonical(number), 0, 0, 0)
    return Sample(float(number), number - 2**64 if number >= 2**63 else number, 0, 0)


def samples(columns: Columns, payload: bytes, plans: range) -> Iterator[Sample]:
    for i in plans:
        fields = (columns[f"plan.{name}"][i] for name in ("offset", "type", "order", "bit"))
        yield read(payload, *fields)._replace(source=TIMES["response_time"], event=TIMES["response_mono"])


REFERENCE = reference(samples)


def one(wire: bytes, kind: int, order: int = 0, bit: int = -1, offset: int = 0) -> tuple[float, int, int]:
    """Decode one tag at the end of an inbox that begins with another device's bytes."""
    plan = {"plan.row": [0], "plan.offset": [offset], "plan.type": [kind], "plan.order": [order], "plan.bit": [bit]}
    given = plan | tag_columns(random.Random(1), 1) | {"inbox.byte": list(b"\xee\xee\xee" + wire)}
    span = {"at": 3, "size": len(wire), "first": 0, "count": 1, "fresh_count": 0, "pass_number": 9}
    result, after = agree(KERNEL, given, REFERENCE, **span, **TIMES)
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


def test_a_row_that_does_not_fit_is_bad_and_the_next_goes_on() -> None:
    plan = {
        "plan.row": [2, 0, 1, 2],
        "plan.offset": [2, 0, -1, 4],
        "plan.type": [WireType.FLOAT32, WireType.INT16, WireType.INT16, 77],
        "plan.order": [0, 0, 0, 0],
        "plan.bit": [-1, -1, -1, -1],
    }
    given = plan | tag_columns(random.Random(2), 3) | {"inbox.byte": list(b"\x00\x05\x01\x02\x03")}
    span = {"at": 0, "size": 5, "first": 0, "count": 4, "fresh_count": 0, "pass_number": 9}
    result, after = agree(KERNEL, given, REFERENCE, **span, **TIMES)
    assert (result, after["fresh.row"]) == (3, [2, 0, 1])  # row 2 came twice, and is listed once
    assert after["tag.status"] == [0, 0x80070000, 0x80070000]
    assert after["tag.value"][0] == 5.0


def test_random_plans_over_random_payloads() -> None:
    rng = random.Random(11)
    for _ in range(150):
        tags, plans, inbox = rng.randint(1, 9), rng.randint(0, 20), rng.randint(0, 60)
        at = rng.randint(0, inbox)
        given = tag_columns(rng, tags) | {
            "inbox.byte": [rng.choice((0, 0x7F, 0x80, 0xFF, rng.randrange(256))) for _ in range(inbox)],
            "plan.row": [rng.randrange(tags) for _ in range(plans)],
            "plan.offset": [rng.choice((rng.randint(0, 40), -1, 2**63 - 1, -(2**63))) for _ in range(plans)],
            "plan.type": [rng.choice((*WireType, *WireType, 0, 10, -1)) for _ in range(plans)],
            "plan.order": [rng.choice((*WireOrder, *WireOrder, *WireOrder, 4, -1)) for _ in range(plans)],
            "plan.bit": [rng.choice((-1, -1, -1, 0, 7, 15, 16, -2)) for _ in range(plans)],
        }
        first = rng.randint(0, plans)
        span = {"at": at, "size": rng.randint(0, inbox - at), "first": first, "count": rng.randint(0, plans - first)}
        agree(KERNEL, given, REFERENCE, **span, fresh_count=0, pass_number=4, **TIMES)


def test_ranges_and_rows_outside_their_buffers_are_refused() -> None:
    plan = {"plan.row": [0], "plan.offset": [0], "plan.type": [2], "plan.order": [0], "plan.bit": [-1]}
    given = plan | tag_columns(random.Random(3), 1) | {"inbox.byte": [1, 2]}
    good = {"at": 0, "size": 2, "first": 0, "count": 1, "fresh_count": 0, "pass_number": 9} | TIMES
    assert refused(KERNEL, given, **good) == {1}
    wrong = [("at", 1), ("at", -1), ("size", 3), ("size", -1), ("first", 1), ("first", -1), ("count", 2), ("count", -1)]
    wrong += [("fresh_count", 1), ("fresh_count", -1), ("at", 2**63 - 1), ("size", 2**63 - 1), ("first", 2**63 - 1)]
    for name, number in wrong:
        assert refused(KERNEL, given, **(good | {name: number})) == {ERROR_BOUNDS}, (name, number)
    for row in (-1, 1, 2**63 - 1, -(2**63)):
        assert refused(KERNEL, given | {"plan.row": [row]}, **good) == {ERROR_BOUNDS}


def test_a_lost_float_is_nan_not_a_number() -> None:
    value, bits, status = one(b"\x00", WireType.FLOAT32)
    assert (value != value, bits, status) == (NAN != NAN, 0, 0x80070000)
