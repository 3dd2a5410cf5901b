"""The same registers as every number they could be, so that a person sees which reading is right. Pure."""

from __future__ import annotations

import math
import struct
from collections.abc import Iterator, Sequence
from typing import Final

from msgspec import Struct

BYTE_ORDERS: Final = ("ABCD", "BADC", "CDAB", "DCBA")
FORMATS: Final = {
    1: {"int16": ">h", "uint16": ">H"},
    2: {"int32": ">i", "uint32": ">I", "float32": ">f"},
    4: {"int64": ">q", "uint64": ">Q", "float64": ">d"},
}
TYPES: Final = tuple(name for formats in FORMATS.values() for name in formats)
FLOAT_SMALLEST: Final = 1e-6  # plants have few quantities outside these, and wrong byte orders give many
FLOAT_LARGEST: Final = 1e10
INTEGER_LARGEST: Final = {"int32": 10**9, "uint32": 10**9, "int64": 10**15, "uint64": 10**15}


class Candidate(Struct, frozen=True, kw_only=True):
    """Some registers read as one type, in each byte order.

    Args:
        place: of its first register, counted from the first one read.
        values: in the order of `BYTE_ORDERS`; a float is None where it is NaN or infinite.
        texts: the same for people.
        plausible: False where the value is hardly one of a plant: NaN, infinite, denormal, or of absurd magnitude.
    """

    place: int
    type: str
    values: tuple[int | float | None, ...]
    texts: tuple[str, ...]
    plausible: tuple[bool, ...]


def interpret(registers: Sequence[int], only: str | None = None) -> tuple[Candidate, ...]:
    """Return every reading of registers: each alone, then pairs, then fours, from the first one on.

    Args:
        registers: 0-65535 each.
        only: one type of `TYPES`; None for all.
    """
    return tuple(
        _candidate(place, name, layout, registers[place : place + width])
        for width, formats in FORMATS.items()
        for place in range(0, len(registers) - width + 1, width)
        for name, layout in formats.items()
        if only in (None, name)
    )


def width_of(type_name: str) -> int:
    """Return how many registers a type takes."""
    return next(width for width, formats in FORMATS.items() if type_name in formats)


def _candidate(place: int, name: str, layout: str, registers: Sequence[int]) -> Candidate:
    values = [struct.unpack(layout, wire)[0] for wire in _in_every_order(registers)]
    return Candidate(
        place=place,
        type=name,
        values=tuple(value if math.isfinite(value) else None for value in values),
        texts=tuple(_text(name, value) for value in values),
        plausible=tuple(is_plausible(name, value) for value in values),
    )


def _in_every_order(registers: Sequence[int]) -> Iterator[bytes]:
    wire = struct.pack(f">{len(registers)}H", *registers)
    by_register = [wire[at : at + 2] for at in range(0, len(wire), 2)]
    yield wire
    yield b"".join(register[::-1] for register in by_register)
    yield b"".join(reversed(by_register))
    yield wire[::-1]


def is_plausible(type_name: str, value: float) -> bool:
    """Say whether a number may be one of a plant's."""
    if value == 0:
        return True
    if type_name.startswith("float"):
        return math.isfinite(value) and FLOAT_SMALLEST <= abs(value) <= FLOAT_LARGEST
    return abs(value) <= INTEGER_LARGEST.get(type_name, math.inf)


def _text(type_name: str, value: float) -> str:
    """Return as many digits as the type has."""
    return {"float32": f"{value:.7g}", "float64": f"{value:.15g}"}.get(type_name, str(value))
