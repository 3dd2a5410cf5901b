"""Keep what the decoding kernel cannot get past out of a payload: structures, node ids, values within values.

The kernel reads scalars and skips strings and arrays, but behind a structure it is lost, and one structure in a plan must
not cost a thousand other tags their values. So such a value is cut out here and its record gets Bad_TypeMismatch. Values
of fixed size, nearly all there are, are stepped over by a table, or only compared with the layout of the payloads before.
Pure; bytes in, bytes out.
"""

from __future__ import annotations

import struct

from gatewayd.device.opcua.layout import Layout, fixed_places
from gatewayd.errors import DeviceProtocolError
from gatewayd.model import quality

NO_DATA = 0x809B0000  # Bad_NoData: a single Good record without a value
NESTING_MAX = 8
ELEMENTS_MAX = 1_000_000

_VALUE, _STATUS, _SOURCE_TIME, _SERVER_TIME, _SOURCE_PICO, _SERVER_PICO = 1, 2, 4, 8, 16, 32
_FIELD_SIZES = ((_STATUS, 4), (_SOURCE_TIME, 8), (_SERVER_TIME, 8), (_SOURCE_PICO, 2), (_SERVER_PICO, 2))
_REST = tuple(
    sum(size for bit, size in _FIELD_SIZES if mask & bit) for mask in range(64)
)  # mask -> bytes after the value
NUMBERS = {kind: struct.Struct(f"<{code}") for kind, code in enumerate("?bBhHiIqQfd", 1)}  # Boolean to Double
FIXED = {kind: number.size for kind, number in NUMBERS.items()} | {13: 8, 14: 16, 19: 4}  # DateTime, Guid, StatusCode
_SCALARS = {0: 0, **FIXED}  # encoding byte -> bytes behind it; 0 is a null value
_STRING, _BYTE_STRING, _XML, _NODE_ID, _EXPANDED, _QUALIFIED, _LOCALIZED = 12, 15, 16, 17, 18, 20, 21
EXTENSION, _DATA_VALUE, VARIANT, _DIAGNOSTIC = 22, 23, 24, 25
_FOREIGN = {_NODE_ID, _EXPANDED, EXTENSION, _DATA_VALUE, VARIANT, _DIAGNOSTIC}
_ARRAY, _DIMENSIONS = 0x80, 0x40
_U32 = struct.Struct("<I")
_I32 = struct.Struct("<i")


def _fixed_sizes() -> bytes:
    sizes = bytearray(1 << 16)
    for mask, rest in enumerate(_REST):
        for second in range(256):
            if not mask & _VALUE:
                sizes[mask << 8 | second] = 1 + rest
            elif second in _SCALARS:
                sizes[mask << 8 | second] = 2 + _SCALARS[second] + rest
    return bytes(sizes)


_SIZES = _fixed_sizes()  # of a record, by mask and type, 0 where that is not fixed


class Screen:
    """The layout of the answers to one request.

    Args:
        count: DataValues in each payload.
        are_elements: each is asked for as one element of an array, so that an array of one is that element to the kernel;
            else it is an array like any other, and no number.
    """

    __slots__ = ("_are_elements", "_count", "_layout")

    def __init__(self, count: int, *, are_elements: bool = False) -> None:
        self._count = count
        self._are_elements = are_elements
        self._layout = Layout()

    def passed(self, payload: bytes) -> bytes:
        """Return the payload with every value the kernel cannot get past replaced by a Bad status.

        Raises:
            DeviceProtocolError: these are not `count` DataValues.
        """
        if self.knows(payload):
            return payload
        places = fixed_places(payload, self._count, _SIZES)
        if places is not None:
            self._layout.note(payload, places)
            return payload
        places, foreign, is_fixed = walk(payload, self._count, are_elements=self._are_elements)
        if is_fixed:
            self._layout.learn(payload, places)
            return payload
        self._layout.forget()
        return _without(payload, foreign) if foreign else payload

    def knows(self, payload: bytes) -> bool:
        """Say whether a payload has the layout of those before it, and only values of fixed size."""
        return self._layout.is_of(payload)


def walk(payload: bytes, count: int, *, are_elements: bool = False) -> tuple[list[int], list[tuple[int, int]], bool]:
    """Find the records of a payload.

    Returns:
        The places of every mask and type byte; for each record whose value the kernel cannot get past, its start and the
        end of its value; and whether every value has a fixed size.

    Raises:
        DeviceProtocolError: the payload is not exactly `count` DataValues.
    """
    positions: list[int] = []
    foreign: list[tuple[int, int]] = []
    is_fixed = True
    at = 0
    size = len(payload)
    for _ in range(count):
        start = at
        mask = _mask(payload, at)
        positions.append(at)
        at += 1
        if mask & _VALUE:
            positions.append(at)
            width = _SCALARS.get(_byte(payload, at))
            if width is not None:
                at += 1 + width
            else:
                end = variant_end(payload, at)
                single = _layout_of_single(payload, at)
                if single and are_elements:
                    positions += single
                else:
                    is_fixed = False
                    if (
                        single or payload[at] & 0x3F in _FOREIGN or not payload[at] & 0x3F
                    ):  # the last: an array of nothing
                        foreign.append((start, end))
                at = end
        at += _REST[mask]
        if at > size:
            raise _broken("a DataValue cut short")
    if at != size:
        raise _broken(f"{size - at} bytes after the last value")
    return positions, foreign, is_fixed


def _layout_of_single(payload: bytes, at: int) -> tuple[int, ...]:
    """Return the places of the lengths in an array of one value of fixed size; nothing for another Variant."""
    encoding, kind = payload[at], payload[at] & 0x3F
    if not encoding & _ARRAY or kind not in FIXED or payload[at + 1 : at + 5] != b"\x01\0\0\0":
        return ()
    behind = at + 5 + FIXED[kind]
    return (*range(at + 1, at + 5), *(range(behind, behind + 4) if encoding & _DIMENSIONS else ()))


def only_value(payload: bytes) -> tuple[int, float | None]:
    """Return status and number of a payload of one DataValue; None when there is no number.

    Raises:
        DeviceProtocolError: this is not one DataValue.
    """
    walk(payload, 1)
    mask, at = payload[0], 1
    raw: float | None = None
    absent = NO_DATA
    if mask & _VALUE:
        number = NUMBERS.get(payload[1])
        if number is not None:
            raw = number.unpack_from(payload, 2)[0]
        elif payload[1]:
            absent = quality.BAD_TYPE_MISMATCH
        at = variant_end(payload, 1, 0)
    status: int = _U32.unpack_from(payload, at)[0] if mask & _STATUS else quality.GOOD
    return absent if raw is None and not status >> 31 else status, raw


def _without(payload: bytes, foreign: list[tuple[int, int]]) -> bytes:
    parts: list[bytes] = []
    kept = 0
    for start, value_end in foreign:
        parts.append(payload[kept:start])
        mask = payload[start]
        rest = value_end
        status = _U32.unpack_from(payload, rest)[0] if mask & _STATUS else quality.GOOD
        if mask & _STATUS:
            rest += _U32.size
        if not status >> 31:
            status = quality.BAD_TYPE_MISMATCH
        parts.append(bytes(((mask | _STATUS) & ~_VALUE,)) + _U32.pack(status))
        kept = rest
    parts.append(payload[kept:])
    return b"".join(parts)


def variant_end(payload: bytes, at: int, depth: int = 0) -> int:
    """Return where a Variant ends (Part 6, 5.2.2.16)."""
    if depth > NESTING_MAX:
        raise _broken(f"values nested deeper than {NESTING_MAX}")
    encoding = _byte(payload, at)
    kind = encoding & 0x3F
    at += 1
    if not encoding & _ARRAY:
        if encoding & _DIMENSIONS:
            raise _broken("dimensions of a value that is no array")
        return element_end(payload, at, kind, depth) if kind else at
    at, length = length_at(payload, at)
    if kind in FIXED:
        at += length * FIXED[kind]
    else:
        for _ in range(length):
            at = element_end(payload, at, kind, depth)
    if encoding & _DIMENSIONS:
        at, length = length_at(payload, at)
        at += length * _I32.size
    return at


def element_end(payload: bytes, at: int, kind: int, depth: int = 0) -> int:
    """Return where one value of a built-in type ends; it may lie beyond the payload, which `walk` checks."""
    if kind in FIXED:
        return at + FIXED[kind]
    if kind in (_STRING, _BYTE_STRING, _XML) or kind > _DIAGNOSTIC:  # unassigned types are ByteStrings (5.2.2.16)
        return _string_end(payload, at)
    if kind == _QUALIFIED:
        return _string_end(payload, at + 2)
    if kind == _LOCALIZED:
        return _localized_end(payload, at)
    if kind in (_NODE_ID, _EXPANDED):
        return node_id_end(payload, at)
    if kind == EXTENSION:
        return _extension_end(payload, at)
    if kind == VARIANT:
        return variant_end(payload, at, depth + 1)
    if kind == _DATA_VALUE:
        return data_value_end(payload, at, depth)
    raise _broken(f"a value of built-in type {kind}")


def data_value_end(payload: bytes, at: int, depth: int = 0) -> int:
    """Return where a DataValue ends (Part 6, 5.2.2.17); it may lie beyond the payload."""
    mask = _mask(payload, at)
    at += 1
    if mask & _VALUE:
        at = variant_end(payload, at, depth + 1)
    return at + _REST[mask]


def _localized_end(payload: bytes, at: int) -> int:
    mask = _byte(payload, at)
    if mask > 3:
        raise _broken(f"reserved bits in a LocalizedText's mask 0x{mask:02X}")
    at += 1
    for bit in (1, 2):  # locale, text
        if mask & bit:
            at = _string_end(payload, at)
    return at


def node_id_end(payload: bytes, at: int) -> int:
    """Return where a NodeId or ExpandedNodeId ends."""
    encoding = _byte(payload, at)
    kind = encoding & 0x3F
    fixed = {0: 2, 1: 4, 2: 7, 4: 19}.get(kind)
    if fixed is None and kind not in (3, 5):
        raise _broken(f"a node id of encoding {kind}")
    at = at + fixed if fixed is not None else _string_end(payload, at + 3)
    if encoding & 0x80:  # namespace URI
        at = _string_end(payload, at)
    return at + 4 if encoding & 0x40 else at  # server index


def _extension_end(payload: bytes, at: int) -> int:
    at = node_id_end(payload, at)
    encoding = _byte(payload, at)
    return _string_end(payload, at + 1) if encoding else at + 1


def _string_end(payload: bytes, at: int) -> int:
    at, length = length_at(payload, at, len(payload))
    return at + length


def length_at(payload: bytes, at: int, highest: int = ELEMENTS_MAX) -> tuple[int, int]:
    """Return where the elements begin and how many there are; a null array has none."""
    if at + _I32.size > len(payload):
        raise _broken("a value cut short")
    length: int = _I32.unpack_from(payload, at)[0]
    if not -1 <= length <= highest:
        raise _broken(f"a value of {length} elements")
    return at + _I32.size, max(length, 0)


def _mask(payload: bytes, at: int) -> int:
    mask = _byte(payload, at)
    if mask > 63:
        raise _broken(f"reserved bits in a DataValue's mask 0x{mask:02X}")
    return mask


def _byte(payload: bytes, at: int) -> int:
    if at >= len(payload):
        raise _broken("a value cut short")
    return payload[at]


def _broken(what: str) -> DeviceProtocolError:
    return DeviceProtocolError(
        f"the server sent {what}",
        remedy="The server breaks the protocol; read the same nodes with another client and ask its maker.",
    )
