"""Between a tag's value in contract units and the number its node holds."""

from __future__ import annotations

import math
import struct

from gatewayd.errors import DeviceRefused
from gatewayd.model import quality
from gatewayd.model.device import OpcuaTag

RANGES = {
    "bool": (0, 1),
    "int16": (-(2**15), 2**15 - 1),
    "uint16": (0, 2**16 - 1),
    "int32": (-(2**31), 2**31 - 1),
    "uint32": (0, 2**32 - 1),
    "int64": (-(2**63), 2**63 - 1),
    "uint64": (0, 2**64 - 1),
}


def to_contract_units(tag: OpcuaTag, raw: float) -> float:
    """Apply a tag's scale and offset to what its node holds."""
    return raw * tag.scale + tag.offset


def to_node_value(tag: OpcuaTag, value: float) -> bool | int | float:
    """Undo scale and offset and bring the result into the tag's type; integers take the nearest step.

    Raises:
        DeviceRefused: not a finite number, or outside what the type holds.
    """
    raw = (value - tag.offset) / tag.scale if tag.scale else math.nan
    if not math.isfinite(raw):
        raise _refused(tag, value, "is not a finite number in the node's units")
    if tag.type == "float64":
        return raw
    if tag.type == "float32":
        return _float32(tag, value, raw)
    low, high = RANGES[tag.type]
    nearest = round(raw)
    if not low <= nearest <= high:
        raise _refused(tag, value, f"needs {nearest}; {tag.type} holds {low} to {high}")
    if tag.type == "bool" and abs(raw - nearest) > 1e-9:
        raise _refused(tag, value, "is neither 0 nor 1")
    return nearest == 1 if tag.type == "bool" else nearest


def _float32(tag: OpcuaTag, value: float, raw: float) -> float:
    try:
        rounded: float = struct.unpack("<f", struct.pack("<f", raw))[0]
    except OverflowError as error:
        raise _refused(tag, value, "is beyond float32") from error
    return rounded


def _refused(tag: OpcuaTag, value: float, why: str) -> DeviceRefused:
    return DeviceRefused(
        f"{tag.name}: {value!r} {tag.units} cannot be written: it {why}".replace("  ", " "),
        remedy="Nothing was sent. Correct type, scale or offset in the tag list, or write_min and write_max of the point.",
        status=quality.BAD_OUT_OF_RANGE,
        code=quality.BAD_OUT_OF_RANGE,
    )
