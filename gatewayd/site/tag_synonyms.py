"""What the columns and types of a tag list are called elsewhere: one table for every tool whose exports are read.

Headers are compared without case, spaces, points, dashes and brackets, so `Tag Name`, `tag_name` and `TagName` are one.
Tools: KEPServerEX (tag export), Modbus Poll and ModScan (lists of definitions), UaExpert (data access view), TIA Portal
(PLC tags), and lists that people make by hand, in English or German.
"""

from __future__ import annotations

import re
from typing import NamedTuple

# our column, or a helper column marked by a leading "+" -> what it is called
HEADERS: dict[str, tuple[str, ...]] = {
    "name": (
        "name", "tag name", "tag", "tagname", "signal", "signal name", "alias", "variable", "symbol", "display name",
        "point", "point name", "id", "bezeichnung", "bezeichner",
    ),
    "address": (
        "address", "register", "register address", "reg", "modbus address", "address dec", "start", "start address",
        "offset address", "register no", "register number", "adresse", "registeradresse", "+address",
    ),
    "+logical_address": ("logical address", "logische adresse"),
    "register_type": (
        "register type", "registertype", "table", "area", "object type", "modbus type", "point type", "function",
        "function code", "fc", "registerart",
    ),
    "type": ("type", "data type", "datatype", "format", "display", "value type", "datentyp", "variable type"),
    "byte_order": ("byte order", "byteorder", "word order", "endian", "endianness", "swap", "byte swap"),
    "unit_id": ("unit id", "slave id", "slave", "slave address", "station", "modbus id", "device id", "geraeteadresse"),
    "bit": ("bit", "bit position", "bit no", "bit number"),
    "scale": ("scale", "scale factor", "factor", "multiplier", "gain", "resolution", "slope", "faktor", "skalierung"),
    "offset": ("offset", "value offset", "bias", "intercept"),
    "+raw_low": ("raw low", "raw min", "eu raw low"),
    "+raw_high": ("raw high", "raw max"),
    "+scaled_low": ("scaled low", "eng low", "eu low", "scaled min", "low scale"),
    "+scaled_high": ("scaled high", "eng high", "eu high", "scaled max", "high scale"),
    "+scaling": ("scaling", "scaling type"),
    "+negate": ("negate value", "negate"),
    "units": ("units", "unit", "eng units", "engineering units", "eu", "uom", "einheit"),
    "access": ("access", "client access", "access rights", "rw", "r/w", "read/write", "zugriff", "permission"),
    "scan_class": ("scan class", "scanclass"),
    "description": ("description", "comment", "remark", "desc", "text", "kommentar", "beschreibung", "notes"),
    "node_id": ("node id", "nodeid", "opc ua node id", "identifier", "opc item", "item id"),
}  # fmt: skip

TYPES: dict[str, str] = {
    **dict.fromkeys(("bool", "boolean", "bit", "coil", "binary", "digital"), "bool"),
    **dict.fromkeys(("sbyte", "sint", "char", "int8", "signed 8"), "int8"),
    **dict.fromkeys(("byte", "usint", "uint8", "unsigned 8"), "uint8"),
    **dict.fromkeys(("int16", "short", "int", "signed", "integer", "s16", "signed 16", "16 bit signed", "signed int"), "int16"),
    **dict.fromkeys(
        ("uint16", "word", "uint", "unsigned", "hex", "u16", "unsigned 16", "16 bit unsigned", "unsigned int", "ushort",
         "unsigned short"), "uint16",
    ),
    **dict.fromkeys(("int32", "long", "dint", "s32", "signed 32", "32 bit signed", "signed long", "i32"), "int32"),
    **dict.fromkeys(
        ("uint32", "dword", "udint", "u32", "unsigned 32", "32 bit unsigned", "unsigned long", "ulong"), "uint32",
    ),
    **dict.fromkeys(("int64", "llong", "lint", "s64", "signed 64", "64 bit signed", "i64"), "int64"),
    **dict.fromkeys(("uint64", "qword", "ulint", "lword", "u64", "unsigned 64", "64 bit unsigned"), "uint64"),
    **dict.fromkeys(("float32", "float", "real", "single", "f32", "32 bit float", "float 32", "floating point"), "float32"),
    **dict.fromkeys(("float64", "double", "lreal", "f64", "64 bit float", "float 64"), "float64"),
    **dict.fromkeys(("bcd", "bcd16"), "bcd16"),
    **dict.fromkeys(("lbcd", "bcd32"), "bcd32"),
    "string": "string",
}  # fmt: skip

BYTE_ORDERS: dict[str, str] = {
    **dict.fromkeys(("abcd", "ab cd", "ab cd ef gh", "big endian", "big", "no swap", "none", "high word first"), "ABCD"),
    **dict.fromkeys(("badc", "ba dc", "ba dc fe hg", "big endian byte swap", "byte swap", "byte swapped"), "BADC"),
    **dict.fromkeys(
        ("cdab", "cd ab", "gh ef cd ab", "little endian byte swap", "word swap", "word swapped", "low word first",
         "swapped", "inverse", "swap"), "CDAB",
    ),
    **dict.fromkeys(("dcba", "dc ba", "hg fe dc ba", "little endian", "little"), "DCBA"),
}  # fmt: skip

REGISTER_TYPES: dict[str, str] = {
    **dict.fromkeys(
        ("holding", "holding register", "holding registers", "hr", "4x", "4", "03", "3", "03 read holding registers",
         "fc03", "fc3", "output register", "6", "06", "16"), "holding",
    ),
    **dict.fromkeys(
        ("input", "input register", "input registers", "ir", "3x", "04", "04 read input registers", "fc04", "fc4"),
        "input",
    ),
    **dict.fromkeys(
        ("coil", "coils", "coil status", "0x", "01", "1", "01 read coils", "01 coil status", "fc01", "fc1", "5", "05",
         "15"), "coil",
    ),
    **dict.fromkeys(
        ("discrete", "discrete input", "discrete inputs", "input status", "di", "1x", "02", "2",
         "02 read discrete inputs", "02 input status", "fc02", "fc2"), "discrete",
    ),
}  # fmt: skip
REGISTER_TYPES["4"] = "input"  # as a function code; where 4 stands for 4xxxx the address says so itself

ACCESS: dict[str, str] = {
    **dict.fromkeys(("r", "ro", "read", "read only", "currentread", "readonly", "lesen"), "r"),
    **dict.fromkeys(
        ("rw", "r w", "read write", "readwrite", "currentread currentwrite", "read and write", "lesen schreiben"), "rw",
    ),
    **dict.fromkeys(("w", "wo", "write", "write only", "writeonly"), "w"),
}  # fmt: skip

UNITS_SPELLED = {"°C": "degC", "°F": "degF", "m³/h": "m3/h", "m³": "m3", "m²": "m2"}
_NOISE = re.compile(r"[\s._()\[\]/-]+")


class Reading(NamedTuple):
    """A type cell, and the byte order if the same cell tells it, as `Float CD AB` does."""

    type: str
    byte_order: str


def folded(text: str) -> str:
    """Return a header or word as the tables here spell it."""
    return _NOISE.sub(" ", text.strip().lower()).strip()


_COLUMN_OF = {folded(word): column for column, words in HEADERS.items() for word in words}


def column_of(header: str) -> str | None:
    """Return our column for a header of another tool, a helper column (`+...`), or None."""
    return _COLUMN_OF.get(folded(header))


def type_of(cell: str) -> Reading | None:
    """Return the type that a cell such as `DWord`, `Float CD AB` or `32-bit float, little-endian` means."""
    words = folded(cell.replace(",", " "))
    if words in TYPES:
        return Reading(TYPES[words], "")
    for order, known in sorted(BYTE_ORDERS.items(), key=lambda one: -len(one[0])):
        rest = words.removesuffix(f" {order}")
        if rest != words and rest in TYPES:
            return Reading(TYPES[rest], known)
    return None
