"""Our tag lists for other tools, as CSV."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence

import msgspec

from gatewayd.errors import ConfigError
from gatewayd.model.device import Device, ModbusTag, OpcuaDevice, OpcuaTag, Tag
from gatewayd.site.address import notation

FORMATS = ("gatewayd", "kepware", "uaexpert")
_KEPWARE_HEADER = (
    "Tag Name", "Address", "Data Type", "Respect Data Type", "Client Access", "Scan Rate", "Scaling", "Raw Low",
    "Raw High", "Scaled Low", "Scaled High", "Scaled Data Type", "Clamp Low", "Clamp High", "Eng Units", "Description",
    "Negate Value",
)  # fmt: skip
_KEPWARE_TYPES = {
    "bool": "Boolean", "int8": "Char", "uint8": "Byte", "int16": "Short", "uint16": "Word", "int32": "Long",
    "uint32": "DWord", "int64": "LLong", "uint64": "QWord", "float32": "Float", "float64": "Double",
    "bcd16": "BCD", "bcd32": "LBCD",
}  # fmt: skip
_UA_TYPES = {
    "bool": "Boolean", "int8": "SByte", "uint8": "Byte", "int16": "Int16", "uint16": "UInt16", "int32": "Int32",
    "uint32": "UInt32", "int64": "Int64", "uint64": "UInt64", "float32": "Float", "float64": "Double",
}  # fmt: skip
_KEPWARE_ACCESS = {"r": "RO", "rw": "R/W", "w": "WO"}


def export_tags(device: Device, tags: Sequence[Tag], to: str) -> str:
    """Return a tag list as CSV.

    Args:
        device: whose tags.
        tags: in file order.
        to: one of `FORMATS`.

    Raises:
        ConfigError: the format cannot hold these tags.
    """
    if to == "uaexpert" and not isinstance(device, OpcuaDevice):
        raise ConfigError(f"{device.name} is no OPC UA device", remedy="Use --format kepware or gatewayd.")
    rows = {"gatewayd": _own, "kepware": _kepware, "uaexpert": _uaexpert}[to](device, tags)
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(rows)
    return text.getvalue()


def _own(device: Device, tags: Sequence[Tag]) -> list[list[str]]:
    fields = msgspec.structs.fields(OpcuaTag if isinstance(device, OpcuaDevice) else ModbusTag)
    used = [
        field for field in fields if field.required or any(getattr(tag, field.name) != field.default for tag in tags)
    ]
    rows = [
        [
            "" if not field.required and value == field.default else _cell(tag, field.name, value)
            for field, value in each
        ]
        for tag in tags
        for each in [[(field, getattr(tag, field.name)) for field in used]]
    ]
    return [[field.name for field in used], *rows]


def _cell(tag: Tag, column: str, value: object) -> str:
    if isinstance(tag, ModbusTag):
        if column == "address":
            return notation(tag.register_type, tag.address)
        if column == "type" and tag.register_type in ("coil", "discrete"):
            return ""
    return "" if value is None else str(value)


def _kepware(device: Device, tags: Sequence[Tag]) -> list[list[str]]:
    return [list(_KEPWARE_HEADER), *(_kepware_row(device, tag) for tag in tags)]


def _kepware_row(device: Device, tag: Tag) -> list[str]:
    is_scaled = (tag.scale, tag.offset) != (1.0, 0.0)
    # A raw range of 0 to 1 keeps scale and offset as they are; only the slope counts, nothing is clamped.
    scaling = ["Linear", "0", "1", repr(tag.offset), repr(tag.offset + tag.scale), "Double", "0", "0"]
    scan_ms = device.scan_classes[tag.scan_class].scan_rate_ms
    return [
        tag.name,
        _kepware_address(tag),
        _known(_KEPWARE_TYPES, tag, device),
        "1",
        _KEPWARE_ACCESS[tag.access],
        str(scan_ms),
        *(scaling if is_scaled else ["None", "", "", "", "", "", "", ""]),
        tag.units,
        tag.description,
        "0" if is_scaled else "",
    ]


def _kepware_address(tag: Tag) -> str:
    if isinstance(tag, OpcuaTag):
        return tag.node_id
    address = notation(tag.register_type, tag.address, digits=6)
    return address if tag.bit is None else f"{address}.{tag.bit}"


def _uaexpert(device: Device, tags: Sequence[Tag]) -> list[list[str]]:
    rows = [
        [str(number), device.name, tag.node_id, tag.name, _known(_UA_TYPES, tag, device)]
        for number, tag in enumerate(tags, start=1)
        if isinstance(tag, OpcuaTag)
    ]
    return [["#", "Server", "Node Id", "Display Name", "Datatype"], *rows]


def _known(types: dict[str, str], tag: Tag, device: Device) -> str:
    if tag.type not in types:
        raise ConfigError(
            f"{device.name}/{tag.name}: this format has no type for {tag.type}", remedy="Use --format gatewayd."
        )
    return types[tag.type]
