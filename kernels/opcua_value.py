"""One OPC UA DataValue to its row (Part 6, 5.2.2.16 and 5.2.2.17). Inlined into `decode_opcua`.

Every function takes a place in the inbox and returns the place after what it read, or -1 when the bytes end too early or
cannot be skipped.
"""

from __future__ import annotations

from kernels.columns import F8, I8, U1
from kernels.status import BAD_TYPE_MISMATCH
from kernels.wire import DCBA, put_float32, put_float64, put_integer, put_unsigned, read_integer, time_of_ticks

# Built-in types (Part 6, table 1).
_BOOLEAN = 1
_SBYTE = 2
_BYTE = 3
_INT16 = 4
_UINT16 = 5
_INT32 = 6
_UINT32 = 7
_INT64 = 8
_UINT64 = 9
_FLOAT = 10
_DOUBLE = 11
_STRING = 12
_DATE_TIME = 13
_GUID = 14
_BYTE_STRING = 15
_XML_ELEMENT = 16
_STATUS_CODE = 19
_QUALIFIED_NAME = 20
_LOCALIZED_TEXT = 21
_DIAGNOSTIC_INFO = 25

# DataValue encoding mask; the two top bits are reserved.
_HAS_VALUE = 0x01
_HAS_STATUS = 0x02
_HAS_SOURCE_TIME = 0x04
_HAS_SERVER_TIME = 0x08
_HAS_SOURCE_PICOSECONDS = 0x10
_HAS_SERVER_PICOSECONDS = 0x20
_RESERVED = 0xC0

_TYPE = 0x3F
_DIMENSIONS = 0x40
_ARRAY = 0x80


def width_of(kind: int) -> int:
    """Return the bytes of a built-in type of fixed size, else 0."""
    if kind in (_BOOLEAN, _SBYTE, _BYTE):
        return 1
    if kind in (_INT16, _UINT16):
        return 2
    if kind in (_INT32, _UINT32, _FLOAT, _STATUS_CODE):
        return 4
    if kind in (_INT64, _UINT64, _DOUBLE, _DATE_TIME):
        return 8
    if kind == _GUID:
        return 16
    return 0


def skip_string(inbox: U1, place: int, end: int) -> int:
    """Skip an Int32 length, -1 for null, and as many bytes."""
    if place > end - 4:
        return -1
    length = read_integer(inbox, place, 4, DCBA)
    place = place + 4
    if length < -1 or length > end - place:
        return -1
    if length == -1:
        return place
    return place + length


def skip_values(inbox: U1, place: int, end: int, kind: int, count: int) -> int:
    """Skip `count` values. Unassigned types 26 to 31 are read as ByteStrings, as Part 6 asks.

    Each turn of the loop takes a byte at least, so the payload bounds it.
    """
    width = width_of(kind)
    if width > 0:
        if count * width > end - place:
            return -1
        return place + count * width
    for _ in range(count):
        strings = 1
        if kind == _QUALIFIED_NAME:
            place = place + 2
        elif kind == _LOCALIZED_TEXT:
            if place >= end or inbox[place] > 3:
                return -1
            strings = (inbox[place] & 1) + (inbox[place] >> 1)
            place = place + 1
        elif kind not in (_STRING, _BYTE_STRING, _XML_ELEMENT) and kind <= _DIAGNOSTIC_INFO:
            return -1
        for _ in range(strings):
            place = skip_string(inbox, place, end)
            if place < 0:
                return -1
    return place


def put_scalar(inbox: U1, place: int, width: int, kind: int, row: int, value: F8, bits: I8, value_bits: I8) -> None:
    """Store a number of a fixed-size type. DateTime is its ticks, StatusCode its 32 bits, Boolean 0 or 1."""
    number = read_integer(inbox, place, width, DCBA)
    if kind == _DOUBLE:
        put_float64(number, row, value, value_bits)
    elif kind == _FLOAT:
        put_float32(number, row, value, value_bits)
    elif kind == _UINT64:
        put_unsigned(number, row, value, bits)
    else:
        if kind == _BOOLEAN:
            if number != 0:
                number = 1
        elif kind == _BYTE:
            number = number & 0xFF
        elif kind == _UINT16:
            number = number & 0xFFFF
        elif kind in (_UINT32, _STATUS_CODE):
            number = number & 0xFFFFFFFF
        put_integer(number, row, value, bits)


def read_data_value(
    inbox: U1,
    place: int,
    end: int,
    row: int,
    value: F8,
    bits: I8,
    status: I8,
    source_time: I8,
    value_bits: I8,
) -> int:
    """Read one DataValue; an array of one is its element. What it does not carry keeps what the caller preset (NaN, 0, Good, absent)."""
    if place >= end:
        return -1
    mask = inbox[place]
    place = place + 1
    if mask & _RESERVED != 0:
        return -1
    mismatch = 0
    if mask & _HAS_VALUE != 0:
        if place >= end:
            return -1
        encoding = inbox[place]
        place = place + 1
        kind = encoding & _TYPE
        width = width_of(kind)
        values = 1
        if encoding & _ARRAY != 0:
            if place > end - 4:
                return -1
            values = read_integer(inbox, place, 4, DCBA)
            place = place + 4
            if values < -1 or kind == 0:
                return -1
            if values == -1:
                values = 0
        elif encoding & _DIMENSIONS != 0:
            return -1
        if (encoding & _ARRAY == 0 or values == 1) and width > 0 and kind != _GUID:  # one: what an index range gives
            if width > end - place:
                return -1
            put_scalar(inbox, place, width, kind, row, value, bits, value_bits)
            place = place + width
        elif encoding != 0:  # 0 is a null value
            mismatch = 1
            place = skip_values(inbox, place, end, kind, values)
            if place < 0:
                return -1
        if encoding & _DIMENSIONS != 0:
            if place > end - 4:
                return -1
            values = read_integer(inbox, place, 4, DCBA)
            place = place + 4
            if values < -1 or values * 4 > end - place:
                return -1
            if values > 0:
                place = place + values * 4
    if mask & _HAS_STATUS != 0:
        if place > end - 4:
            return -1
        status[row] = read_integer(inbox, place, 4, DCBA) & 0xFFFFFFFF
        place = place + 4
    if mask & _HAS_SOURCE_TIME != 0:
        if place > end - 8:
            return -1
        source_time[row] = time_of_ticks(read_integer(inbox, place, 8, DCBA))
        place = place + 8
    if mask & _HAS_SOURCE_PICOSECONDS != 0:
        place = place + 2
    if mask & _HAS_SERVER_TIME != 0:
        place = place + 8
    if mask & _HAS_SERVER_PICOSECONDS != 0:
        place = place + 2
    if place > end:
        return -1
    if mismatch != 0:
        status[row] = BAD_TYPE_MISMATCH
    return place
