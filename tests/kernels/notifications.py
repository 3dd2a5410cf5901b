"""A slow, obvious reader of notifications, after OPC UA Part 4, 7.25.2 and Part 6, 5.2.2."""

from __future__ import annotations

import io
import struct

from tests.kernels.decoded import Sample
from tests.kernels.harness import NAN, canonical

MISMATCH = 0x80740000
NUMBERS = {1: "<B", 2: "<b", 3: "<B", 4: "<h", 5: "<H", 6: "<i", 7: "<I", 8: "<q", 9: "<Q", 10: "<f", 11: "<d",
           13: "<q", 19: "<I"}  # fmt: skip
NESTING_MAX = 8


class Malformed(Exception):
    pass


def read_notification(payload: bytes) -> list[tuple[int, Sample]]:
    """Return every (ClientHandle, what its row becomes), in order."""
    stream = io.BytesIO(payload)
    found = []
    while stream.tell() < len(payload):
        handle = take(stream, "<I")
        found.append((handle, read_data_value(stream, 1)[0]))
    return found


def take(stream: io.BytesIO, layout: str):
    piece = stream.read(struct.calcsize(layout))
    if len(piece) < struct.calcsize(layout):
        raise Malformed
    return struct.unpack(layout, piece)[0]


def read_data_value(stream: io.BytesIO, depth: int) -> tuple[Sample, None]:
    mask = take(stream, "B")
    if mask & 0xC0:
        raise Malformed
    number, is_number = read_variant(stream, depth) if mask & 1 else (None, True)
    status = take(stream, "<I") if mask & 2 else 0
    source = 0
    if mask & 4:
        source = (take(stream, "<q") - 116444736000000000) * 100
        if abs(source) > 2**62:
            source = 0
    for bit, layout in ((16, "<H"), (8, "<q"), (32, "<H")):
        if mask & bit:
            take(stream, layout)
    if not is_number:
        return Sample(NAN, 0, status if is_kept(status, number) else MISMATCH, source), None
    if number is None:
        return Sample(NAN, 0, status, source), None
    if isinstance(number, float):
        return Sample(canonical(number), 0, status, source), None
    return Sample(float(number), number - 2**64 if number >= 2**63 else number, status, source), None


def is_kept(status: int, kind: int | None) -> bool:
    """A structure's Bad status says more than the mismatch; strings and plain arrays are told by the type alone."""
    return bool(status >> 31) and kind in (17, 18, 22, 23, 24, 25)


def read_variant(stream: io.BytesIO, depth: int) -> tuple[int | float | None, bool]:
    """Return the number, or the type of what is none, and whether it is a number (or null)."""
    if depth > NESTING_MAX:
        raise Malformed
    encoding = take(stream, "B")
    kind, is_array, has_dimensions = encoding & 63, encoding & 128, encoding & 64
    if (has_dimensions and not is_array) or (is_array and not kind):
        raise Malformed
    if is_array:
        for _ in range(read_length(stream)):
            read_element(stream, kind, depth)
        if has_dimensions:
            for _ in range(read_length(stream)):
                take(stream, "<i")
        return kind, False
    if not kind:
        return None, True
    value = read_element(stream, kind, depth)
    if kind == 1:
        value = int(value != 0)
    return (value, True) if kind in NUMBERS else (kind, False)


def read_length(stream: io.BytesIO) -> int:
    length = take(stream, "<i")
    if length < -1 or length > len(stream.getbuffer()):
        raise Malformed
    return max(length, 0)


def read_string(stream: io.BytesIO) -> None:
    length = read_length(stream)
    if len(stream.read(length)) < length:
        raise Malformed


def read_node_id(stream: io.BytesIO) -> None:
    encoding = take(stream, "B")
    if encoding & 63 not in (0, 1, 2, 3, 4, 5):
        raise Malformed
    take(stream, {0: "B", 1: "3s", 2: "6s", 3: "<H", 4: "18s", 5: "<H"}[encoding & 63])
    if encoding & 63 in (3, 5):
        read_string(stream)
    if encoding & 128:
        read_string(stream)
    if encoding & 64:
        take(stream, "<I")


def read_diagnostic(stream: io.BytesIO) -> None:
    mask = take(stream, "B")
    if mask & 128:
        raise Malformed
    for bit in (1, 2, 4, 8):
        if mask & bit:
            take(stream, "<i")
    if mask & 16:
        read_string(stream)
    if mask & 32:
        take(stream, "<I")
    if mask & 64:
        read_diagnostic(stream)


def read_element(stream: io.BytesIO, kind: int, depth: int):
    if kind in NUMBERS:
        return take(stream, NUMBERS[kind])
    if kind == 14:
        return take(stream, "16s")
    if kind in (17, 18, 22):
        read_node_id(stream)
        if kind == 22 and take(stream, "B"):
            read_string(stream)
    elif kind == 23:
        read_data_value(stream, depth + 1)
    elif kind == 24:
        read_variant(stream, depth + 1)
    elif kind == 25:
        read_diagnostic(stream)
    else:
        if kind == 20:
            take(stream, "<H")
        texts = take(stream, "B") if kind == 21 else 1
        if texts > 3:
            raise Malformed
        for _ in range(bin(texts).count("1")):
            read_string(stream)
    return None
