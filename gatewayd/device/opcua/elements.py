"""Part of a node's value by its path: an element of an array, a field of a structure. Pure: bytes in, a number out.

Paths: `3`, `2,1` (of a matrix), `.Speed`, `Motor[2].Speed`, `[2].Speed` (of an array of structures); indices begin at 0. A
structure is read by its definition, as `structures` learned it from the server, never by code made from what a server says:
a name or a type id of one server then means nothing to another.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Iterator, Mapping
from math import nan, prod

from msgspec import Struct

from gatewayd.device.opcua import data_values as wire
from gatewayd.errors import ConfigError, DeviceProtocolError
from gatewayd.model import quality

STEPS_MAX = 16
WORK_MAX = 200_000  # values passed over to reach one element; a structure may be empty, so bytes alone bound nothing
DEPTH_MAX = 16
TICKS_OF_1970 = 116_444_736_000_000_000

Step = str | tuple[int, ...]
Path = tuple[Step, ...]

_STEP = re.compile(r"\.?([A-Za-z_][A-Za-z0-9_]{0,127})|\[([0-9]{1,9}(?:,[0-9]{1,9}){0,7})\]")
_BARE = re.compile(r"[0-9]{1,9}(?:,[0-9]{1,9}){0,7}")
_U32 = struct.Struct("<I")
_I64 = struct.Struct("<q")


class Field(Struct, frozen=True):
    """One field of a structure."""

    name: str
    kind: int  # built-in type of its values; 0 = of `structure`, without a header
    structure: Structure | None
    rank: int  # 0 = one value, 1 = an array, 2 and more = a matrix
    is_optional: bool


class Structure(Struct, frozen=True):
    """How a structure's values follow one another (Part 6, 5.2.6 to 5.2.8)."""

    fields: tuple[Field, ...]
    is_union: bool = False

    @property
    def has_mask(self) -> bool:
        """Say whether the fields present are told in front."""
        return any(field.is_optional for field in self.fields)


class UnknownStructure(Exception):
    """The path leads into a structure whose definition is not known yet."""

    def __init__(self, type_id: bytes) -> None:
        super().__init__(type_id.hex())
        self.type_id = type_id


class Found(Struct, frozen=True):
    """What stands at a path; `value` is NaN when `status` is not Good or the place holds no number."""

    value: float
    status: int
    source_time_ns: int  # 0 = absent
    elements: int = 0  # how many the array has that the path begins with; 0 = it is none


Types = Mapping[bytes, Structure | None]  # by type id on the wire; None = the server did not explain it


def parse_element(text: str) -> Path:
    """Read an element path as written in a tag list.

    Raises:
        ConfigError: the text is no path.
    """
    if _BARE.fullmatch(text):
        return (tuple(map(int, text.split(","))),)
    steps: list[Step] = []
    at = 0
    while at < len(text):
        match = _STEP.match(text, at)
        if match is None or len(steps) == STEPS_MAX or (match[1] and at and text[at] != "."):
            raise ConfigError(
                f"{text[:80]!r} is not the path of an element",
                remedy="Write 3, 2,1 for a matrix, .Speed, or Motor[2].Speed; the first element is 0.",
            )
        steps.append(match[1] or tuple(map(int, match[2].split(","))))
        at = match.end()
    if not steps:
        raise ConfigError("an element path is empty", remedy="Write 3 or .Speed, or leave the cell empty.")
    return tuple(steps)


def index_range(path: Path) -> str | None:
    """Return the NumericRange that names the element in a Read or Write (Part 4, 7.27); None if it takes more than that."""
    if len(path) == 1 and isinstance(path[0], tuple):
        return ",".join(map(str, path[0]))
    return None


def records(payload: bytes, count: int) -> Iterator[tuple[int, int]]:
    """Yield where each DataValue of a payload begins and ends.

    Raises:
        DeviceProtocolError: these are not `count` DataValues.
    """
    at = 0
    for _ in range(count):
        end = wire.data_value_end(payload, at)
        if end > len(payload):
            raise _broken("a DataValue cut short")
        yield at, end
        at = end
    if at != len(payload):
        raise _broken(f"{len(payload) - at} bytes after the last value")


def is_single(record: bytes) -> bool:
    """Say whether a DataValue is what an honoured index range gives: an array of one, or no value."""
    if not record[0] & 1 or not record[1]:
        return True
    return holds_single(record)


def holds_single(record: bytes) -> bool:
    """Say whether a DataValue holds an array of one."""
    return bool(record[0] & 1 and record[1] & 0x80) and record[2:6] == b"\x01\0\0\0"


def status_of(record: bytes) -> int:
    """Return the status of a DataValue."""
    at = wire.variant_end(record, 1) if record[0] & 1 else 1
    return int(_U32.unpack_from(record, at)[0]) if record[0] & 2 else quality.GOOD


def value_at(record: bytes, path: Path, types: Types) -> Found:
    """Return what one DataValue holds at a path.

    Raises:
        UnknownStructure: ask the server for this type, then again.
        DeviceProtocolError: the bytes are not what their definition says.
    """
    at = wire.variant_end(record, 1) if record[0] & 1 else 1
    status, source_time_ns = quality.GOOD, 0
    if record[0] & 2:
        status, at = _U32.unpack_from(record, at)[0], at + _U32.size
    if record[0] & 4:
        source_time_ns = (_I64.unpack_from(record, at)[0] - TICKS_OF_1970) * 100
    if status >> 31 or not record[0] & 1:
        return Found(nan, status if status >> 31 else wire.NO_DATA, source_time_ns)
    search = _Search(record, types)
    try:
        value = search.in_variant(1, path, 0)
    except _NotThere as missing:
        return Found(nan, missing.status, source_time_ns, search.elements)
    except (IndexError, struct.error) as error:
        raise _broken("a structure that is shorter than its definition") from error
    return Found(value, status, source_time_ns, search.elements)


class _NotThere(Exception):
    def __init__(self, status: int) -> None:
        super().__init__(status)
        self.status = status


class _Search:
    """One walk to one place."""

    def __init__(self, content: bytes, types: Types) -> None:
        self.elements = 0
        self._content = content
        self._types = types
        self._work = 0

    def in_variant(self, at: int, path: Path, depth: int) -> float:
        """Return the number in a Variant (Part 6, 5.2.2.16)."""
        encoding = self._content[at]
        kind, at = encoding & 0x3F, at + 1
        if not encoding & 0x80:
            return self._in_value(at, kind, None, path, depth)
        at, length = wire.length_at(self._content, at)
        dimensions: tuple[int, ...] = (length,)
        if encoding & 0x40:
            dimensions = self._dimensions_behind(at, kind, length)
        if not depth:
            self.elements = length
        return self._in_array(at, kind, None, dimensions, path, depth)

    def _dimensions_behind(self, at: int, kind: int, length: int) -> tuple[int, ...]:
        """Read a matrix's dimensions, which stand behind its values."""
        if kind in wire.FIXED:
            at += length * wire.FIXED[kind]
        else:
            for _ in range(length):
                at = wire.element_end(self._content, at, kind)
        _, dimensions = self._dimensions(at, 2)
        return dimensions

    def _in_array(
        self, at: int, kind: int, structure: Structure | None, dimensions: tuple[int, ...], path: Path, depth: int
    ) -> float:
        if not path or isinstance(path[0], str):
            raise _NotThere(quality.BAD_TYPE_MISMATCH)
        place = _place(path[0], dimensions)
        width = wire.FIXED.get(kind) if structure is None else None
        if width is not None:
            at += place * width
        else:
            for _ in range(place):
                at = self._past_value(at, kind, structure, depth)
        return self._in_value(at, kind, structure, path[1:], depth)

    def _in_value(self, at: int, kind: int, structure: Structure | None, path: Path, depth: int) -> float:
        """Return the number at one value of a built-in type or, without a header, of a structure."""
        self._spend(depth)
        if structure is not None:
            return self._in_structure(at, structure, path, depth + 1)
        if kind == wire.EXTENSION:
            return self._in_extension(at, path, depth + 1)
        if kind == wire.VARIANT:
            return self.in_variant(at, path, depth + 1)
        if path:
            raise _NotThere(
                quality.BAD_INDEX_RANGE_NO_DATA if isinstance(path[0], tuple) else quality.BAD_TYPE_MISMATCH
            )
        number = wire.NUMBERS.get(kind)
        if number is None:
            raise _NotThere(quality.BAD_TYPE_MISMATCH)
        return float(number.unpack_from(self._content, at)[0])

    def _in_extension(self, at: int, path: Path, depth: int) -> float:
        end = wire.node_id_end(self._content, at)
        type_id = self._content[at:end]
        if self._content[end] != 1:  # no body, or one of XML
            raise _NotThere(quality.BAD_TYPE_MISMATCH)
        if type_id not in self._types:
            raise UnknownStructure(type_id)
        structure = self._types[type_id]
        if structure is None:
            raise _NotThere(quality.BAD_TYPE_MISMATCH)
        return self._in_structure(end + 5, structure, path, depth)

    def _in_structure(self, at: int, structure: Structure, path: Path, depth: int) -> float:
        if not path or not isinstance(path[0], str):
            raise _NotThere(quality.BAD_TYPE_MISMATCH)
        if all(field.name != path[0] for field in structure.fields):
            raise _NotThere(quality.BAD_NO_MATCH)
        at, present = self._present(at, structure)
        for field in present:
            if field.name == path[0]:
                return self._in_field(at, field, path[1:], depth)
            at = self._past_field(at, field, depth)
        raise _NotThere(wire.NO_DATA)  # an optional field, or the member of a union, that is not there now

    def _present(self, at: int, structure: Structure) -> tuple[int, list[Field]]:
        """Return where the values begin and which fields follow."""
        if not structure.is_union and not structure.has_mask:
            return at, list(structure.fields)
        (mask,) = _U32.unpack_from(self._content, at)
        if structure.is_union:
            return at + 4, [structure.fields[mask - 1]] if 0 < mask <= len(structure.fields) else []
        present, bit = [], 1
        for field in structure.fields:
            if not field.is_optional or mask & bit:
                present.append(field)
            bit <<= field.is_optional
        return at + 4, present

    def _in_field(self, at: int, field: Field, path: Path, depth: int) -> float:
        if not field.rank:
            return self._in_value(at, field.kind, field.structure, path, depth)
        at, dimensions = self._dimensions(at, field.rank)
        return self._in_array(at, field.kind, field.structure, dimensions, path, depth)

    def _dimensions(self, at: int, rank: int) -> tuple[int, tuple[int, ...]]:
        """Read the lengths in front of an array or, as an array of their own, of a matrix (Part 6, 5.2.5)."""
        at, length = wire.length_at(self._content, at)
        if rank == 1:
            return at, (length,)
        dimensions = struct.unpack_from(f"<{min(length, 8)}i", self._content, at)
        if length > 8 or min(dimensions, default=0) < 0 or prod(dimensions) > wire.ELEMENTS_MAX:
            raise _broken(f"a matrix of {length} dimensions")
        return at + 4 * length, dimensions

    def _past_field(self, at: int, field: Field, depth: int) -> int:
        if not field.rank:
            return self._past_value(at, field.kind, field.structure, depth)
        at, dimensions = self._dimensions(at, field.rank)
        count = prod(dimensions)
        if field.structure is None and field.kind in wire.FIXED:
            return at + count * wire.FIXED[field.kind]
        for _ in range(count):
            at = self._past_value(at, field.kind, field.structure, depth)
        return at

    def _past_value(self, at: int, kind: int, structure: Structure | None, depth: int) -> int:
        self._spend(depth)
        if structure is None:
            return wire.element_end(self._content, at, kind)
        at, present = self._present(at, structure)
        for field in present:
            at = self._past_field(at, field, depth + 1)
        return at

    def _spend(self, depth: int) -> None:
        self._work += 1
        if self._work > WORK_MAX or depth > DEPTH_MAX:
            raise _broken("a structure too large or too deep to find one element in")


def _place(indices: tuple[int, ...], dimensions: tuple[int, ...]) -> int:
    """Return the place of an element in row-major order."""
    if len(indices) != len(dimensions):
        raise _NotThere(quality.BAD_INDEX_RANGE_INVALID)
    place = 0
    for index, length in zip(indices, dimensions, strict=True):
        if index >= length:
            raise _NotThere(quality.BAD_INDEX_RANGE_NO_DATA)
        place = place * length + index
    return place


def _broken(what: str) -> DeviceProtocolError:
    return DeviceProtocolError(
        f"the server sent {what}",
        remedy="The server breaks the protocol; read the same nodes with another client and ask its maker.",
    )
