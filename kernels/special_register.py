"""A value in Modbus registers that is more than a plain number: a byte, BCD, a scale factor, a "no value" code.

Inlined into `decode_modbus_registers`, beside the few steps that nearly every tag needs, so that those stay few.
"""

from __future__ import annotations

from kernels.columns import F8, I8, U1
from kernels.status import BAD_DECODING, BAD_SENSOR_FAILURE
from kernels.wire import (
    put_float16,
    put_float32,
    put_float64,
    put_integer,
    put_unsigned,
    read_bcd,
    read_integer,
    times_power_of_ten,
)

# As gatewayd.model.block.WireType.
_BOOL = 1
_UINT16 = 3
_INT32 = 4
_UINT32 = 5
_UINT64 = 7
_FLOAT32 = 8
_FLOAT64 = 9
_INT8 = 10
_UINT8 = 11
_FLOAT16 = 12
_BCD16 = 13
_BCD32 = 14
_BCD64 = 15

# Bits of plan.special.
_HAS_NOT_A_VALUE = 1
_HAS_SCALE = 2

_POWER_MAX = 10  # SunSpec: a scale factor is -10 to 10,
_POWER_MISSING = -(2**15)  # or this where the device has none


def special_width(kind: int, bit: int) -> int:
    """Return the bytes a type takes, 0 when it is none, or none with this bit."""
    if kind < _BOOL or kind > _BCD64:
        return 0
    if kind in (_INT8, _UINT8):
        return 2 if bit in (0, 8) else 0
    if bit < -1 or bit > 15 or (bit >= 0 and kind > _FLOAT64):
        return 0
    if bit >= 0 or kind <= _UINT16 or kind in (_FLOAT16, _BCD16):
        return 2
    if kind in (_INT32, _UINT32, _FLOAT32, _BCD32):
        return 4
    return 8


def put_special(
    number: int,
    kind: int,
    bit: int,
    width: int,
    is_checked: bool,
    not_a_value: int,
    row: int,
    value: F8,
    bits: I8,
    value_bits: I8,
) -> int:
    """Store one value given as the signed number of its registers; return its status.

    With `is_checked` the raw bits `not_a_value` are Bad_SensorFailure, as NaN is in a float. BCD with a digit above 9 is
    Bad_DecodingError. The caller stores NaN for a status that is not 0.
    """
    if kind in (_INT8, _UINT8):
        number = (number >> bit) & 0xFF
        if number >= 128:
            number -= 256
    if is_checked and number == not_a_value:
        return BAD_SENSOR_FAILURE
    if kind == _FLOAT16:
        put_float16(number, row, value, value_bits)
    elif kind == _FLOAT32 and bit < 0:
        put_float32(number, row, value, value_bits)
    elif kind == _FLOAT64 and bit < 0:
        put_float64(number, row, value, value_bits)
    elif kind == _UINT64 and bit < 0:
        put_unsigned(number, row, value, bits)
    else:
        if kind in (_INT8, _UINT8):
            if kind == _UINT8:
                number = number & 0xFF
        elif kind >= _BCD16:
            number = read_bcd(number, width)
            if number < 0:
                return BAD_DECODING
        elif bit >= 0:
            number = (number >> bit) & 1
        elif kind == _BOOL:
            number = 1 if number != 0 else 0
        elif kind == _UINT16:
            number = number & 0xFFFF
        elif kind == _UINT32:
            number = number & 0xFFFFFFFF
        put_integer(number, row, value, bits)
    return 0


def apply_power(inbox: U1, at: int, size: int, place: int, order: int, row: int, value: F8) -> int:
    """Multiply a value by ten to the power that the int16 register at `place` of the payload holds; return its status."""
    if place < 0 or place > size - 2:
        return BAD_DECODING
    power = read_integer(inbox, at + place, 2, order)
    if power == _POWER_MISSING:
        return BAD_SENSOR_FAILURE
    if power < -_POWER_MAX or power > _POWER_MAX:
        return BAD_DECODING
    value[row] = times_power_of_ten(value[row], power)
    return 0


def decode_special(
    inbox: U1,
    at: int,
    size: int,
    offset: int,
    kind: int,
    order: int,
    bit: int,
    special: int,
    not_a_value: int,
    scale_offset: int,
    row: int,
    value: F8,
    bits: I8,
    value_bits: I8,
) -> int:
    """Decode one value, its order checked by the caller; return its status. See `decode_modbus_registers`."""
    width = special_width(kind, bit)
    if width == 0 or offset < 0 or offset > size - width:
        return BAD_DECODING
    number = read_integer(inbox, at + offset, width, order)
    is_checked = special & _HAS_NOT_A_VALUE != 0
    status = put_special(number, kind, bit, width, is_checked, not_a_value, row, value, bits, value_bits)
    if status == 0 and special & _HAS_SCALE != 0:
        status = apply_power(inbox, at, size, scale_offset, order, row, value)
    return status
