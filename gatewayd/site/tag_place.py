"""Where a tag of another tool's list is: register addresses and node ids in the spellings of those tools."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import NamedTuple

from gatewayd.site.tag_synonyms import REGISTER_TYPES, folded, type_of

SIEMENS_NAMESPACE = "http://www.siemens.com/simatic-s7-opcua"  # of the OPC UA server in an S7-1200 or S7-1500
_NOTATION = {"0": "coil", "1": "discrete", "3": "input", "4": "holding"}
_NUMBER = re.compile(r"([0-9]{1,6}|0[xX][0-9a-fA-F]{1,4})(?:\.([0-9]{1,2}))?")
_X_NOTATION = re.compile(r"([134])[xX]0*([0-9]{1,5})(?:\.([0-9]{1,2}))?")
# 0x is left out: it begins a hexadecimal number.
_PREFIXED = re.compile(r"(?:HR|IR|DI|CO|C)[ :]?0*([0-9]{1,6})", re.IGNORECASE)
_PREFIXES = {"hr": "holding", "ir": "input", "di": "discrete", "co": "coil", "c": "coil"}
_TIA_BIT = re.compile(r"%?([IQEA])([0-9]{1,4})\.([0-7])", re.IGNORECASE)
_TIA_WORD = re.compile(r"%?[IE][WD]([0-9]{1,4})", re.IGNORECASE)
_UAEXPERT = re.compile(r"NS([0-9]{1,5})\|(String|Numeric|Guid|Opaque|ByteString)\|(.+)", re.IGNORECASE)
_UAEXPERT_KINDS = {"string": "s", "numeric": "i", "guid": "g", "opaque": "b", "bytestring": "b"}
_NODE = re.compile(r"(ns=|nsu=|[isgb]=)")
_REMEDY = "Write 40001, 400001, 4x0001, a plain number with a register_type, or 40001.3 for a bit."


class Place(NamedTuple):
    """Cells of our tag list."""

    register_type: str
    address: str
    bit: str


class PlaceError(Exception):
    """Why nobody can tell where a tag is."""

    def __init__(self, message: str, remedy: str) -> None:
        super().__init__(message)
        self.message = message
        self.remedy = remedy


def modbus_place(texts: Mapping[str, str], address_base: int, default: str) -> Place:
    """Return where a row's tag is.

    Args:
        texts: cells by our columns; `+logical_address` is TIA Portal's.
        address_base: of the device; addresses computed here are counted from it.
        default: register type of plain numbers, or empty.

    Raises:
        PlaceError.
    """
    told = folded(texts.get("register_type", "") or texts.get("type", ""))
    if "register_type" not in texts and type_of(told) is not None:
        told = ""  # the type column tells types, as it should; in some lists it tells `Holding Register`
    register_type = REGISTER_TYPES.get(told, told if "register_type" in texts else "")
    if "address" not in texts:
        if "+logical_address" in texts:
            return _plc_memory(texts["+logical_address"], address_base)
        raise PlaceError("there is no address", _REMEDY)
    written = texts["address"]
    if found := _X_NOTATION.fullmatch(written):
        digit, number, bit = found.groups()
        return _with_bit(_NOTATION[digit], f"{digit}{number:0>4}", bit, texts)
    if found := _PREFIXED.fullmatch(written):
        kind = _PREFIXES[re.sub(r"[^a-z]", "", written.lower())]
        return Place(kind, found[1], texts.get("bit", ""))
    found = _NUMBER.fullmatch(written)
    if found is None:
        raise PlaceError(f"address {written[:40]!r} is no register", _REMEDY)
    number, bit = found.groups()
    kind = register_type or (
        _NOTATION.get(number[0], "") if len(number) in (5, 6) and "x" not in number.lower() else ""
    )
    if not (kind or default):
        raise PlaceError(
            f"address {written} does not say which kind of register",
            "Add a column register_type, or use --register-type.",
        )
    return _with_bit(kind or default, number, bit, texts)


def _with_bit(register_type: str, address: str, bit: str | None, texts: Mapping[str, str]) -> Place:
    return Place(register_type, address, bit or texts.get("bit", ""))


def _plc_memory(written: str, address_base: int) -> Place:
    """Return where MB_SERVER of an S7 shows its process image: outputs as coils, inputs as discrete and input registers."""
    if found := _TIA_BIT.fullmatch(written):
        area, byte, bit = found.groups()
        kind = "discrete" if area.upper() in "IE" else "coil"
        return Place(kind, _plain(8 * int(byte) + int(bit), address_base), "")
    if (found := _TIA_WORD.fullmatch(written)) and int(found[1]) % 2 == 0:
        return Place("input", _plain(int(found[1]) // 2, address_base), "")
    raise PlaceError(
        f"{written[:40]} is memory of the PLC, which no Modbus address follows from",
        "Add a column `modbus address` with the place in the MB_HOLD_REG block, or read the PLC by OPC UA.",
    )


def _plain(address: int, address_base: int) -> str:
    number = address + address_base
    return str(number) if number < 10_000 else f"0x{number:04X}"  # five digits could be read as the 4xxxx notation


def opcua_node(texts: Mapping[str, str]) -> str:
    """Return a row's node id as our tag list writes it.

    Raises:
        PlaceError.
    """
    written = texts.get("node_id") or texts.get("address", "")
    if found := _UAEXPERT.fullmatch(written):
        index, kind, identifier = found.groups()
        node = f"{_UAEXPERT_KINDS[kind.lower()]}={identifier}"
        return node if int(index) == 0 else f"ns={index};{node}"
    if _NODE.match(written):
        return written
    if not written and "+logical_address" in texts:
        return f'nsu={SIEMENS_NAMESPACE};s="{texts["name"]}"'
    raise PlaceError(
        f"{written[:40]!r} is no node id" if written else "there is no node id",
        "Write nsu=URI;s=NAME or ns=2;s=NAME; `gatewayd device browse` lists them.",
    )
