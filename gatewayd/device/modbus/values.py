"""Numbers in contract units to registers and back, for writing a tag and for reading it back. Pure.

Scans are not decoded here: that is a kernel's work, and the tests hold the two to the same meaning.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Iterator
from typing import Final

from gatewayd.device.modbus import pdu
from gatewayd.errors import DeviceRefused
from gatewayd.model import quality
from gatewayd.model.block import WireType
from gatewayd.model.device import ModbusTag
from gatewayd.model.registers import (
    BYTES,
    FLOATS,
    INTEGER_RANGE,
    POWER_MAX,
    POWER_MISSING,
    is_single_bit,
    span,
    words,
)

WHOLE_REGISTER: Final = 0xFFFF
_DIGITS: Final = {"float16": (11, -24), "float32": (24, -149), "float64": (53, -1074)}  # significand, least exponent
_HALF_STEP: Final = 0.5005  # a thousandth more than half, for the roundings of inverting scale and offset
_WIRE_TYPES: Final = {each.name.lower(): each for each in WireType}
_NEIGHBOURS: Final = 4  # raw values to each side of the nearest: inverting rounds twice, each in the last digit
_WRITABLE: Final = ("coil", "holding")


def wire_type(tag: ModbusTag) -> WireType:
    """Return the type as kernels number it; a single bit is a BOOL whatever the tag list says."""
    return WireType.BOOL if is_single_bit(tag) else _WIRE_TYPES[tag.type]


def first_bit(tag: ModbusTag) -> int:
    """Return which bit of its register a tag begins at, as plan rows have it; -1 = the tag takes whole registers."""
    if tag.type in BYTES:
        return 8 if tag.byte == "high" else 0
    return -1 if tag.bit is None else tag.bit


def owned_bits(tag: ModbusTag) -> int:
    """Return the bits of a holding register that belong to the tag; the others are not to be touched by a write."""
    begins = first_bit(tag)
    if begins < 0:
        return WHOLE_REGISTER
    mask = (0xFF if tag.type in BYTES else 1) << begins
    return int.from_bytes(_reorder(mask.to_bytes(2, "big"), tag.byte_order), "big")


def encode(tag: ModbusTag, value: float, *, device: str, power: int = 0) -> tuple[int, ...]:
    """Return the registers to write, or one 0 or 1 for a coil.

    Scale and offset are inverted and the result is the raw value that reads nearest to `value`; what a scan made of a
    raw value is written as that raw value again. A bit or byte stands in its place of the register, see `owned_bits`.

    Args:
        tag: where it goes.
        value: contract units.
        device: name, for messages.
        power: of ten, what the tag's scale register holds.

    Raises:
        DeviceRefused: the tag cannot be written, or reading back would not give this value to half a raw step. The
            device was not asked.
    """
    _check_writable(tag, device)
    raw = _raw(tag, value, device, power)
    read_back = _scaled(tag, raw, power)
    if not abs(read_back - value) <= _tolerance(tag, raw, value, power):
        raise _refusal(tag, value, device, f"the nearest it can hold reads back as {read_back!r}")
    if tag.register_type == "coil":
        return (int(raw),)
    bits = _bits(tag, raw)
    if _is_no_value(tag, bits):
        raise _refusal(tag, value, device, f"raw {raw} is what the device itself uses for no value (not_a_value)")
    wire = _reorder((bits << max(first_bit(tag), 0)).to_bytes(2 * words(tag), "big"), tag.byte_order)
    return struct.unpack(f">{len(wire) // 2}H", wire)


def decode(tag: ModbusTag, payload: bytes) -> float:
    """Return what a payload of this tag alone says, in contract units; infinity is passed on, and NaN for no value.

    Args:
        tag: where it came from; no string.
        payload: data of a read response of the addresses `span(tag)`, without its byte count.
    """
    start, _ = span(tag)
    if tag.register_type in ("coil", "discrete"):
        return _scaled(tag, payload[0] & 1, 0)
    at = 2 * (tag.address - start)
    raw = _raw_of(tag, _reorder(payload[at : at + 2 * words(tag)], tag.byte_order))
    power = 0 if tag.scale_register is None else power_of(tag, payload[2 * (tag.scale_register - start) :])
    return math.nan if power is None else _scaled(tag, raw, power)


def power_of(tag: ModbusTag, payload: bytes) -> int | None:
    """Return the power of ten that a tag's scale register says, None if it has none of -10 to 10.

    Args:
        tag: whose byte order counts.
        payload: begins with the register.
    """
    power = int.from_bytes(_reorder(payload[:2], tag.byte_order), "big", signed=True)
    return power if power != POWER_MISSING and abs(power) <= POWER_MAX else None


# --- reading ------------------------------------------------------------------------------------------------------------


def _raw_of(tag: ModbusTag, wire: bytes) -> float | int:
    """Return the raw value of bytes in network order, NaN when they say that there is none."""
    bits = int.from_bytes(wire, "big") >> max(first_bit(tag), 0) & ((1 << _bit_count(tag)) - 1)
    if _is_no_value(tag, bits):
        return math.nan
    if is_single_bit(tag):
        return bits
    if tag.type == "bool":
        return int(bits != 0)
    if tag.type in FLOATS:
        raw: float = FLOATS[tag.type].unpack(wire)[0]
        return raw
    if tag.type.startswith("bcd"):
        return int(f"{bits:x}") if f"{bits:x}".isdecimal() else math.nan
    return _signed(tag, bits) if tag.type.startswith("int") else bits


def _is_no_value(tag: ModbusTag, bits: int) -> bool:
    return tag.not_a_value is not None and _signed(tag, bits) == tag.not_a_value


def _signed(tag: ModbusTag, bits: int) -> int:
    count = _bit_count(tag)
    return bits - (1 << count) if bits >> (count - 1) else bits


def _scaled(tag: ModbusTag, raw: float, power: int) -> float:
    """Return contract units, by the same roundings as the kernels'."""
    number = float(raw)
    if power:
        number = number * float(10**power) if power > 0 else number / float(10**-power)
    return number * tag.scale + tag.offset


def _bit_count(tag: ModbusTag) -> int:
    if is_single_bit(tag):
        return 1
    return 8 if tag.type in BYTES else 16 * words(tag)


# --- writing ------------------------------------------------------------------------------------------------------------


def _check_writable(tag: ModbusTag, device: str) -> None:
    if tag.register_type not in _WRITABLE:
        remedy = "Give the tag a coil or a holding register, or access = r."
    elif tag.type == "string":
        remedy = "Texts are only read; set access = r."
    else:
        return
    where = pdu.reference(tag.register_type, tag.address)
    raise DeviceRefused(
        f"{device}: {tag.name}, {where}, cannot be written", remedy=remedy, status=quality.BAD_NOT_SUPPORTED, code=0
    )


def _raw(tag: ModbusTag, value: float, device: str, power: int) -> float | int:
    """Return the raw value that reads nearest to a value."""
    try:
        wanted = (value - tag.offset) / tag.scale
        wanted = wanted / float(10**power) if power > 0 else wanted * float(10**-power)
    except ZeroDivisionError as error:
        raise _refusal(tag, value, device, "its scale is 0") from error
    if not math.isfinite(wanted):
        raise _refusal(tag, value, device, "it is not a finite number of raw units")
    if wire_type(tag) is WireType.BOOL:
        return _boolean(tag, wanted, value, device)
    nearest = _nearest(tag, wanted, value, device)
    candidates = (nearest, *_neighbours(tag, nearest))
    return min(candidates, key=lambda raw: abs(_scaled(tag, raw, power) - value))  # the first of equals


def _nearest(tag: ModbusTag, wanted: float, value: float, device: str) -> float | int:
    if tag.type in FLOATS:
        try:
            nearest: float = FLOATS[tag.type].unpack(FLOATS[tag.type].pack(wanted))[0]
        except OverflowError as error:
            raise _refusal(tag, value, device, f"raw {wanted!r} is beyond a {tag.type}") from error
        return nearest
    low, high = INTEGER_RANGE[tag.type]
    raw = round(wanted)
    if not low <= raw <= high:
        raise _refusal(tag, value, device, f"raw {raw} is outside {low} to {high}")
    return raw


def _neighbours(tag: ModbusTag, raw: float | int) -> Iterator[float | int]:
    """Yield the raw values next to one, nearest first; of integers beyond 2^53 only those that a float64 tells apart."""
    size = 1 if tag.type in FLOATS else max(1, int(math.ulp(float(raw))))
    for distance in range(1, _NEIGHBOURS + 1):
        for step in (-distance * size, distance * size):
            if tag.type in FLOATS:
                neighbour = _float_beside(tag.type, raw, step)
                if math.isfinite(neighbour):
                    yield neighbour
            elif INTEGER_RANGE[tag.type][0] <= raw + step <= INTEGER_RANGE[tag.type][1]:
                yield raw + step


def _float_beside(type_: str, raw: float, step: int) -> float:
    """Return the float so many steps of its type above (or below) another; infinity beyond the last one."""
    layout = FLOATS[type_]
    sign = 1 << (8 * layout.size - 1)
    bits = int.from_bytes(layout.pack(raw), "big")
    place = (sign - bits if bits & sign else bits) + step
    beside: float = layout.unpack((place if place >= 0 else sign - place).to_bytes(layout.size, "big"))[0]
    return beside if math.isfinite(beside) else math.inf


def _boolean(tag: ModbusTag, wanted: float, value: float, device: str) -> int:
    for raw in (0, 1):
        if wanted == raw or value == _scaled(tag, raw, 0):
            return raw
    raise _refusal(tag, value, device, f"it is a bool, {tag.offset:g} or {tag.scale + tag.offset:g}")


def _bits(tag: ModbusTag, raw: float | int) -> int:
    if tag.type in FLOATS and not is_single_bit(tag):
        return int.from_bytes(FLOATS[tag.type].pack(raw), "big")
    if tag.type.startswith("bcd"):
        return int(f"{raw}", 16)
    return int(raw) % (1 << _bit_count(tag))


def _tolerance(tag: ModbusTag, raw: float, value: float, power: int) -> float:
    """Return half the distance of neighbouring raw values around `raw`, in contract units."""
    step = abs(tag.scale) * 10.0**power
    if tag.type not in FLOATS:
        return _HALF_STEP * step
    digits, exponent_min = _DIGITS[tag.type]
    ulp = math.ldexp(1.0, max(math.frexp(raw)[1] - digits, exponent_min))
    # Scaling a float rounds in the same digits as the type itself, so those roundings are allowed for.
    return _HALF_STEP * ulp * step + math.ulp(raw * tag.scale) + math.ulp(value)


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
