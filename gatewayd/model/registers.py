"""Types of values in Modbus registers: how many registers each takes, what it can hold, and where a tag lies. Pure."""

from __future__ import annotations

import re
import struct
from typing import Final

from gatewayd.model.device import ModbusTag

REGISTERS: Final = {  # but for a string, whose tag says it
    "bool": 1,
    "int8": 1,
    "uint8": 1,
    "int16": 1,
    "uint16": 1,
    "float16": 1,
    "bcd16": 1,
    "int32": 2,
    "uint32": 2,
    "float32": 2,
    "bcd32": 2,
    "int64": 4,
    "uint64": 4,
    "float64": 4,
    "bcd64": 4,
}
INTEGER_RANGE: Final = {
    "bool": (0, 1),
    "int8": (-(2**7), 2**7 - 1),
    "uint8": (0, 2**8 - 1),
    "int16": (-(2**15), 2**15 - 1),
    "uint16": (0, 2**16 - 1),
    "int32": (-(2**31), 2**31 - 1),
    "uint32": (0, 2**32 - 1),
    "int64": (-(2**63), 2**63 - 1),
    "uint64": (0, 2**64 - 1),
    "bcd16": (0, 10**4 - 1),
    "bcd32": (0, 10**8 - 1),
    "bcd64": (0, 10**16 - 1),
}
FLOATS: Final = {"float16": struct.Struct(">e"), "float32": struct.Struct(">f"), "float64": struct.Struct(">d")}
BYTES: Final = ("int8", "uint8")
SINGLE_BITS: Final = ("coil", "discrete")

# What a SunSpec device sends for a point it does not have (SunSpec Information Model Specification, table of data types).
SUNSPEC_NOT_IMPLEMENTED: Final = {
    "int16": 0x8000,
    "uint16": 0xFFFF,
    "int32": 0x8000_0000,
    "uint32": 0xFFFF_FFFF,
    "int64": 0x8000_0000_0000_0000,
    "uint64": 0xFFFF_FFFF_FFFF_FFFF,
    "float32": 0x7FC0_0000,
}
POWER_MAX: Final = 10  # a SunSpec scale factor is -10 to 10
POWER_MISSING: Final = -(2**15)  # and 0x8000 when the device does not have it


def is_single_bit(tag: ModbusTag) -> bool:
    """Say whether a tag is one bit: a coil, a discrete input, or a bit of a register."""
    return tag.register_type in SINGLE_BITS or tag.bit is not None


def words(tag: ModbusTag) -> int:
    """Return how many addresses a tag's value takes: bits of a coil or discrete input, else registers."""
    if is_single_bit(tag):
        return 1
    return tag.length or 1 if tag.type == "string" else REGISTERS[tag.type]


def span(tag: ModbusTag) -> tuple[int, int]:
    """Return [start, end), the addresses that one request must cover: the value and its scale register."""
    start, end = tag.address, tag.address + words(tag)
    if tag.scale_register is None:
        return start, end
    return min(start, tag.scale_register), max(end, tag.scale_register + 1)


def parse_not_a_value(text: str, type_: str) -> int | None:
    """Return what a tag list names as "no value", as the signed number of the same raw bits; None = cannot be.

    Args:
        text: `sunspec`, raw bits in hexadecimal, or a raw value in decimal digits.
        type_: of the tag.
    """
    bits = 8 if type_ in BYTES else 16 * REGISTERS.get(type_, 0)
    if text.lower() == "sunspec":
        raw = SUNSPEC_NOT_IMPLEMENTED.get(type_)
    elif re.fullmatch(r"0[xX][0-9a-fA-F]{1,16}", text):
        raw = int(text, 16)
    else:
        raw = _bits_of_number(text, type_, bits)
    if raw is None or raw >= 1 << bits or type_ in ("bool", "string"):
        return None
    return raw - (1 << bits) if raw >> (bits - 1) else raw


def _bits_of_number(text: str, type_: str, bits: int) -> int | None:
    try:
        if type_ in FLOATS:
            return int.from_bytes(FLOATS[type_].pack(float(text)), "big")
        number = int(text) if re.fullmatch(r"[-+]?[0-9]{1,20}", text) else None
    except (ValueError, OverflowError):
        return None
    low, high = INTEGER_RANGE.get(type_, (1, 0))
    if number is None or not low <= number <= high:
        return None
    return int(f"{number}", 16) if type_.startswith("bcd") else number % (1 << bits)
