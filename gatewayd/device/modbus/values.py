"""Numbers in contract units to registers and back, for writing a tag and for reading it back. Pure.

Scans are not decoded here: that is a kernel's work, and the tests hold the two to the same meaning.
"""

from __future__ import annotations

import math
import struct
from typing import Final

from gatewayd.device.modbus import pdu
from gatewayd.errors import DeviceRefused
from gatewayd.model import quality
from gatewayd.model.block import WireType
from gatewayd.model.config import ModbusTag

_INTEGER_RANGE: Final = {
    "bool": (0, 1),
    "int16": (-(2**15), 2**15 - 1),
    "uint16": (0, 2**16 - 1),
    "int32": (-(2**31), 2**31 - 1),
    "uint32": (0, 2**32 - 1),
    "int64": (-(2**63), 2**63 - 1),
    "uint64": (0, 2**64 - 1),
}
_FORMAT: Final = {
    "bool": struct.Struct(">H"),
    "int16": struct.Struct(">h"),
    "uint16": struct.Struct(">H"),
    "int32": struct.Struct(">i"),
    "uint32": struct.Struct(">I"),
    "int64": struct.Struct(">q"),
    "uint64": struct.Struct(">Q"),
    "float32": struct.Struct(">f"),
    "float64": struct.Struct(">d"),
}
_FLOAT32_DIGITS: Final = 24  # binary digits of the significand
_FLOAT32_EXPONENT_MIN: Final = -149  # of the smallest subnormal


def _float32_ulp(raw: float) -> float:
    return math.ldexp(1.0, max(math.frexp(raw)[1] - _FLOAT32_DIGITS, _FLOAT32_EXPONENT_MIN))


_FLOAT_STEP: Final = {"float32": _float32_ulp, "float64": math.ulp}
_HALF_STEP: Final = 0.5005  # a thousandth more than half, for the roundings of inverting scale and offset
_SINGLE_BITS: Final = ("coil", "discrete")
_WRITABLE: Final = ("coil", "holding")


def words(tag: ModbusTag) -> int:
    """Return how many addresses a tag takes: bits of a coil or discrete input, else registers."""
    if tag.register_type in _SINGLE_BITS or tag.bit is not None:
        return 1
    return _FORMAT[tag.type].size // 2


def wire_type(tag: ModbusTag) -> WireType:
    """Return the type as kernels number it; a single bit is a BOOL whatever the tag list says."""
    if tag.register_type in _SINGLE_BITS or tag.bit is not None:
        return WireType.BOOL
    return WireType[tag.type.upper()]


def encode(tag: ModbusTag, value: float, *, device: str) -> tuple[int, ...]:
    """Return the registers to write, or one 0 or 1 for a coil.

    Scale and offset are inverted and the result rounded to the nearest raw value.

    Args:
        tag: where it goes.
        value: contract units.
        device: name, for messages.

    Raises:
        DeviceRefused: the tag cannot be written, or reading back would not give this value to half a raw step. The
            device was not asked.
    """
    _check_writable(tag, device)
    raw = _raw(tag, value, device)
    read_back = raw * tag.scale + tag.offset
    if not abs(read_back - value) <= _tolerance(tag, raw, value):
        raise _refusal(tag, value, device, f"the nearest it can hold reads back as {read_back!r}")
    if tag.register_type == "coil":
        return (int(raw),)
    wire = _reorder(_FORMAT[tag.type].pack(raw), tag.byte_order)
    return struct.unpack(f">{len(wire) // 2}H", wire)


def decode(tag: ModbusTag, payload: bytes) -> float:
    """Return what a payload of this tag alone says, in contract units; NaN and infinity are passed on.

    Args:
        tag: where it came from.
        payload: data of a read response of `words(tag)` registers or bits, without its byte count.
    """
    return _decode_raw(tag, payload) * tag.scale + tag.offset


def _decode_raw(tag: ModbusTag, payload: bytes) -> float:
    if tag.register_type in _SINGLE_BITS:
        return float(payload[0] & 1)
    if tag.bit is not None:
        return float(int.from_bytes(_reorder(payload, tag.byte_order), "big") >> tag.bit & 1)
    raw = _FORMAT[tag.type].unpack(_reorder(payload, tag.byte_order))[0]
    return float(raw != 0) if tag.type == "bool" else float(raw)


def _check_writable(tag: ModbusTag, device: str) -> None:
    if tag.register_type not in _WRITABLE:
        remedy = "Give the tag a coil or a holding register, or access = r."
    elif tag.register_type == "holding" and tag.bit is not None:
        remedy = "Give the PLC a coil for it or write the whole register: one bit needs function 22, not offered yet."
    else:
        return
    where = pdu.reference(tag.register_type, tag.address)
    what = where if tag.bit is None else f"bit {tag.bit} of {where}"
    raise DeviceRefused(
        f"{device}: {tag.name}, {what}, cannot be written", remedy=remedy, status=quality.BAD_NOT_SUPPORTED, code=0
    )


def _raw(tag: ModbusTag, value: float, device: str) -> float | int:
    """Return the nearest raw value the type can hold."""
    try:
        wanted = (value - tag.offset) / tag.scale
    except ZeroDivisionError as error:
        raise _refusal(tag, value, device, "its scale is 0") from error
    if not math.isfinite(wanted):
        raise _refusal(tag, value, device, "it is not a finite number of raw units")
    if wire_type(tag) is WireType.BOOL:
        return _boolean(tag, wanted, value, device)
    if tag.type == "float64":
        return wanted
    if tag.type == "float32":
        return _float32(tag, wanted, value, device)
    low, high = _INTEGER_RANGE[tag.type]
    raw = round(wanted)
    if not low <= raw <= high:
        raise _refusal(tag, value, device, f"raw {raw} is outside {low} to {high}")
    return raw


def _boolean(tag: ModbusTag, wanted: float, value: float, device: str) -> int:
    if wanted not in (0.0, 1.0):
        raise _refusal(tag, value, device, f"it is a bool, {tag.offset:g} or {tag.scale + tag.offset:g}")
    return int(wanted)


def _float32(tag: ModbusTag, wanted: float, value: float, device: str) -> float:
    try:
        nearest: float = struct.unpack(">f", struct.pack(">f", wanted))[0]
    except OverflowError as error:
        raise _refusal(tag, value, device, f"raw {wanted!r} is beyond a float32") from error
    return nearest


def _tolerance(tag: ModbusTag, raw: float, value: float) -> float:
    """Return half the distance of neighbouring raw values around `raw`, in contract units."""
    if tag.type not in _FLOAT_STEP:
        return _HALF_STEP * abs(tag.scale)
    # Scaling a float rounds in the same digits as the type itself, so those roundings are allowed for.
    rounding = math.ulp(raw * tag.scale) + math.ulp(value)
    return _HALF_STEP * _FLOAT_STEP[tag.type](raw) * abs(tag.scale) + rounding


def _refusal(tag: ModbusTag, value: float, device: str, why: str) -> DeviceRefused:
    where = pdu.reference(tag.register_type, tag.address)
    return DeviceRefused(
        f"{device}: {value!r} cannot be written to {tag.name}, {where} ({tag.type}): {why}",
        remedy=f"Check type, scale and offset of {tag.name} in the tag list, and write_min and write_max of its point.",
        status=quality.BAD_OUT_OF_RANGE,
        code=0,
    )


def _reorder(wire: bytes, byte_order: str) -> bytes:
    """Put bytes from most significant first into a tag's order, or back: each order is its own inverse."""
    if byte_order == "ABCD":
        return wire
    if byte_order == "DCBA":
        return wire[::-1]
    if byte_order == "CDAB":
        wire = wire[::-1]  # registers in reverse; the next step mends the bytes in them
    swapped = bytearray(wire)
    swapped[0::2], swapped[1::2] = wire[1::2], wire[0::2]
    return bytes(swapped)
