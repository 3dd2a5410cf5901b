import io
import random
import struct
from collections.abc import Callable, Iterator
from datetime import UTC, datetime

import pytest
from asyncua import ua
from asyncua.ua.ua_binary import struct_to_binary

from tests.kernels.decoded import ERROR_BOUNDS, LOST, TIMES, Sample, reference, tag_columns
from tests.kernels.harness import Columns, agree, canonical, refused

KERNEL = "decode_opcua"
MISMATCH = 0x80740000
LAYOUTS = {
    1: "<B",
    2: "<b",
    3: "<B",
    4: "<h",
    5: "<H",
    6: "<i",
    7: "<I",
    8: "<q",
    9: "<Q",
    10: "<f",
    11: "<d",
    13: "<q",
}
LAYOUTS |= {14: "16s", 19: "<I"}


class Unreadable(Exception):
    pass


def take(stream: io.BytesIO, layout: str) -> float:
    piece = stream.read(struct.calcsize(layout))
    if len(piece) < struct.calcsize(layout):
        raise Unreadable
    return struct.unpack(layout, piece)[0]


def take_string(stream: io.BytesIO) -> None:
    length = take(stream, "<i")
    if length < -1 or len(stream.read(max(length, 0))) < length:
        raise Unreadable


def take_value(stream: io.BytesIO, kind: int) -> float | None:
    if kind in LAYOUTS:
        return take(stream, LAYOUTS[kind])
    if kind == 20:
        take(stream, "<H")
    if kind == 21:
        texts = take(stream, "B")
        if texts > 3:
            raise Unreadable
        for _ in range((0, 1, 1, 2)[texts]):
            take_string(stream)
        return None
    if kind not in (12, 15, 16, 20, *range(26, 64)):
        raise Unreadable
    take_string(stream)
    return None


def take_variant(stream: io.BytesIO) -> tuple[float, int, bool]:
    """Return value, raw 64 bits, and whether the type can be a number."""
    encoding = take(stream, "B")
    kind, is_array, has_dimensions = encoding & 63, encoding & 128, encoding & 64
    if (has_dimensions and not is_array) or (is_array and not kind):
        raise Unreadable
    if is_array:
        length = take(stream, "<i")
        if length < -1:
            raise Unreadable
        numbers = [take_value(stream, kind) for _ in range(max(length, 0))]
        if has_dimensions:
            dimensions = take(stream, "<i")
            if dimensions < -1:
                raise Unreadable
            for _ in range(dimensions):
                take(stream, "<i")
        return as_number(kind, numbers[0]) if length == 1 else (float("nan"), 0, False)
    if kind == 0:
        return float("nan"), 0, True
    return as_number(kind, take_value(stream, kind))


def as_number(kind: int, number: object) -> tuple[float, int, bool]:
    if kind not in LAYOUTS or kind == 14:
        return float("nan"), 0, False
    if kind == 1:
        number = int(number != 0)
    if isinstance(number, float):
        return canonical(number), 0, True
    return float(number), number - 2**64 if number >= 2**63 else number, True


def take_data_value(stream: io.BytesIO) -> Sample:
    mask = take(stream, "B")
    if mask & 0xC0:
        raise Unreadable
    value, bits, is_number = take_variant(stream) if mask & 1 else (float("nan"), 0, True)
    status = take(stream, "<I") if mask & 2 else 0
    source = 0
    if mask & 4:
        source = (take(stream, "<q") - 116444736000000000) * 100
        if abs(source) > 2**62:
            source = 0
    for bit, layout in ((16, "<H"), (8, "<q"), (32, "<H")):
        if mask & bit:
            take(stream, layout)
    return Sample(canonical(value), bits, status if is_number else MISMATCH, source)


def samples(columns: Columns, payload: bytes, plans: range) -> Iterator[Sample]:
    stream = io.BytesIO(payload)
    lost = False
    for _ in plans:
        try:
            sample = LOST if lost else take_data_value(stream)
        except Unreadable:
            sample, lost = LOST, True
        yield sample


REFERENCE = reference(samples)


def decode(payload: bytes, rows: int) -> Columns:
    """Decode twice: before a neighbour's bytes, which must not count, and at the inbox's end, where no byte follows."""
    for neighbour in (b"\xbb" * 40, b""):
        given = {"plan.row": list(range(rows))} | tag_columns(random.Random(1), rows)
        given |= {"inbox.byte": list(b"\xaa" * 5 + payload + neighbour)}
        span = {"at": 5, "size": len(payload), "first": 0, "count": rows, "fresh_count": 0, "pass_number": 9}
        result, after = agree(KERNEL, given, REFERENCE, **span, **TIMES)
        assert result == rows
    return after


WHEN = datetime(2025, 6, 15, 12, 30, 0, 250_000, tzinfo=UTC)
WHEN_NS = 1_749_990_600_250_000_000
NUMBERS = [
    (True, ua.VariantType.Boolean, 1.0),
    (-128, ua.VariantType.SByte, -128.0),
    (255, ua.VariantType.Byte, 255.0),
    (-32768, ua.VariantType.Int16, -32768.0),
    (65535, ua.VariantType.UInt16, 65535.0),
    (-(2**31), ua.VariantType.Int32, -(2.0**31)),
    (2**32 - 1, ua.VariantType.UInt32, 2.0**32 - 1),
    (-(2**63), ua.VariantType.Int64, -(2.0**63)),
    (2**64 - 1, ua.VariantType.UInt64, 2.0**64),
    (-1.5, ua.VariantType.Float, -1.5),
    (0.1, ua.VariantType.Double, 0.1),
]


def encoded(value: object, kind: ua.VariantType, **fields: object) -> bytes:
    return struct_to_binary(ua.DataValue(ua.Variant(value, kind), **fields))


def test_scalars_as_asyncua_encodes_them() -> None:
    after = decode(b"".join(encoded(v, kind, SourceTimestamp=WHEN) for v, kind, _ in NUMBERS), len(NUMBERS))
    assert after["tag.value"] == [expected for _, _, expected in NUMBERS]
    assert after["tag.status"] == [0] * len(NUMBERS)
    assert after["tag.source_time"] == [WHEN_NS] * len(NUMBERS) == after["tag.event_time"]


def test_an_integer_beyond_2_to_the_53_keeps_its_raw_bits() -> None:
    payload = encoded(2**53 + 1, ua.VariantType.Int64) + encoded(2**64 - 1, ua.VariantType.UInt64)
    after = decode(payload, 2)
    assert (after["tag.value"][0], after["tag.bits"]) == (2.0**53, [2**53 + 1, -1])


def test_a_status_with_a_value_keeps_both_and_without_a_value_is_nan() -> None:
    uncertain = ua.DataValue(ua.Variant(3.5, ua.VariantType.Double), StatusCode=ua.StatusCode(0x40930000))
    bad = ua.DataValue(StatusCode=ua.StatusCode(0x80310000))
    after = decode(struct_to_binary(uncertain) + struct_to_binary(bad), 2)
    assert after["tag.status"] == [0x40930000, 0x80310000]
    assert after["tag.value"][0] == 3.5
    assert after["tag.value"][1] != after["tag.value"][1]


def test_all_time_stamps_and_picoseconds_are_stepped_over() -> None:
    full = encoded(
        7, ua.VariantType.Int32, SourceTimestamp=WHEN, SourcePicoseconds=42, ServerTimestamp=WHEN, ServerPicoseconds=43
    )
    after = decode(full + encoded(8, ua.VariantType.Int32, ServerTimestamp=WHEN), 2)
    assert (after["tag.value"], after["tag.source_time"]) == ([7.0, 8.0], [WHEN_NS, 0])
    assert after["tag.event_time"] == [WHEN_NS, TIMES["response_mono"]]


@pytest.mark.parametrize("nested", [lambda value: [value], lambda value: [[value]], lambda value: [[[value]]]])
def test_an_array_of_one_is_its_element_as_an_index_range_gives_it(nested: Callable[[object], object]) -> None:
    arrays = [encoded(nested(value), kind, SourceTimestamp=WHEN) for value, kind, _ in NUMBERS]
    after = decode(b"".join(arrays), len(NUMBERS))
    assert after["tag.value"] == [expected for _, _, expected in NUMBERS]
    assert after["tag.status"] == [0] * len(NUMBERS)
    assert after["tag.source_time"] == [WHEN_NS] * len(NUMBERS)


@pytest.mark.parametrize(
    ("value", "kind"),
    [
        (["pump"], ua.VariantType.String),
        ("pump", ua.VariantType.String),
        (None, ua.VariantType.String),
        (b"\x01\x02", ua.VariantType.ByteString),
        (ua.QualifiedName("name", 2), ua.VariantType.QualifiedName),
        (ua.LocalizedText("text", "en"), ua.VariantType.LocalizedText),
        (ua.LocalizedText("text"), ua.VariantType.LocalizedText),
        ([1.0, 2.0, 3.0], ua.VariantType.Double),
        ([], ua.VariantType.Double),
        (["a", "", "c"], ua.VariantType.String),
        ([[1, 2], [3, 4]], ua.VariantType.Int32),
    ],
)
def test_what_is_no_number_is_a_type_mismatch_and_the_next_row_is_read(value: object, kind: ua.VariantType) -> None:
    after = decode(encoded(value, kind) + encoded(9.5, ua.VariantType.Double), 2)
    assert (after["tag.status"], after["tag.value"][1]) == ([MISMATCH, 0], 9.5)
    assert after["tag.value"][0] != after["tag.value"][0]


@pytest.mark.parametrize(
    "payload",
    [
        encoded(ua.NodeId(5, 2), ua.VariantType.NodeId),
        bytes.fromhex("41"),  # reserved bit
        bytes.fromhex("014b"),  # dimensions without an array
        bytes.fromhex("018bffffff7f"),  # 2^31 doubles
        bytes.fromhex("018bfeffffff"),
        bytes.fromhex("0195ffffff7f0000"),
        bytes.fromhex("0180ffffffff"),  # an array of nulls
        bytes.fromhex("010cffffff7f"),
        bytes.fromhex("010cfeffffff"),
    ],
)
def test_from_the_first_byte_that_cannot_be_understood_rows_are_bad(payload: bytes) -> None:
    good = encoded(9.5, ua.VariantType.Double)
    after = decode(good + payload + good * 2, 4)
    assert after["tag.status"] == [0, 0x80070000, 0x80070000, 0x80070000]


def test_a_payload_cut_anywhere_loses_only_the_rows_it_cut() -> None:
    pieces = [encoded(v, kind, SourceTimestamp=WHEN, SourcePicoseconds=1) for v, kind, _ in NUMBERS]
    pieces += [encoded("text", ua.VariantType.String), encoded([1, 2], ua.VariantType.Int16)]
    whole = b"".join(pieces)
    for cut in range(len(whole)):
        statuses = decode(whole[:cut], len(pieces))["tag.status"]
        ends = [len(b"".join(pieces[: i + 1])) for i in range(len(pieces))]
        assert [status == 0x80070000 for status in statuses] == [end > cut for end in ends]


def test_a_source_time_no_clock_can_mean_counts_as_absent() -> None:
    ticks = (0, -1, 2**63 - 1, -(2**63), 116444736000000000, 116444736000000001)
    payload = b"".join(b"\x05\x01\x01" + struct.pack("<q", t) for t in ticks)
    after = decode(payload, len(ticks))
    assert after["tag.source_time"] == [0, 0, 0, 0, 0, 100]


def test_random_bytes_never_lead_outside_the_payload() -> None:
    rng = random.Random(14)
    seeds = [encoded(v, kind, SourceTimestamp=WHEN) for v, kind, _ in NUMBERS] + [
        encoded(["ab", "c"], ua.VariantType.String)
    ]
    for _ in range(400):
        payload = bytearray(b"".join(rng.choice(seeds) for _ in range(rng.randint(0, 6))))
        for _ in range(rng.randint(0, 4)):
            if payload:
                payload[rng.randrange(len(payload))] = rng.choice(
                    (0, 1, 0x0C, 0x15, 0x8B, 0xC6, 0xFF, rng.randrange(256))
                )
        decode(bytes(payload[: rng.randint(0, len(payload))]) if rng.random() < 0.3 else bytes(payload), 6)


def test_ranges_and_rows_outside_their_buffers_are_refused() -> None:
    given = {"plan.row": [0]} | tag_columns(random.Random(3), 1) | {"inbox.byte": [0] * 24}
    good = {"at": 0, "size": 24, "first": 0, "count": 1, "fresh_count": 0, "pass_number": 9} | TIMES
    for name, number in (("at", 1), ("size", 25), ("first", 1), ("count", 2), ("count", -1), ("fresh_count", 1)):
        assert refused(KERNEL, given, **(good | {name: number})) == {ERROR_BOUNDS}, (name, number)
    assert refused(KERNEL, given | {"plan.row": [1]}, **good) == {ERROR_BOUNDS}
