"""Bytes to numbers, in integer arithmetic only: the same bits on every processor. Inlined into the decoding kernels."""

from __future__ import annotations

from kernels.columns import F8, I8, U1
from kernels.status import NAN

# Order of the bytes of a value, as `gatewayd.model.block.WireOrder`; A is the most significant byte.
ABCD = 0
BADC = 1
CDAB = 2
DCBA = 3

_SIGN = -(2**63)
_EXPONENT = 0x7FF0000000000000
_MANTISSA = 0x000FFFFFFFFFFFFF

# Beyond +-2^62 ns (1823 to 2116) a source time counts as absent, so that differences of times never overflow.
_TIME_MAX = 2**62
_TICKS_1970 = 116_444_736_000_000_000  # 100 ns since 1601-01-01, the epoch of OPC UA (Part 6, 5.2.2.5)
_TICKS_SPAN = _TIME_MAX // 100


def read_integer(inbox: U1, place: int, width: int, order: int) -> int:
    """Return the `width` (1 to 8) bytes at `place` as a signed integer. The caller has checked that they are there."""
    number = 0
    for k in range(width):
        index = k
        if order >= CDAB:  # least significant register first
            index = width - 1 - k
        if order in (BADC, CDAB):  # the other byte of the same register
            index = index ^ 1
        byte = inbox[place + index]
        if k == 0 and byte >= 128:
            number = byte - 256
        else:
            number = (number << 8) | byte
    return number


def read_register(inbox: U1, place: int, order: int) -> int:
    """Return one register as a signed integer: what `read_integer` does for two bytes, without its loop."""
    high = inbox[place]
    low = inbox[place + 1]
    if order in (BADC, DCBA):
        high, low = low, high
    if high >= 128:
        high = high - 256
    return (high << 8) | low


def put_integer(number: int, row: int, value: F8, bits: I8) -> None:
    """Store a signed integer: exact in `bits`, nearest float64 (ties to even) in `value`."""
    bits[row] = number
    value[row] = float(number)


def put_unsigned(number: int, row: int, value: F8, bits: I8) -> None:
    """Store a uint64 given as the int64 of the same bits. One rounding: both products are exact."""
    bits[row] = number
    value[row] = float((number >> 32) & 0xFFFFFFFF) * 4294967296.0 + float(number & 0xFFFFFFFF)


def put_float64(number: int, row: int, value: F8, value_bits: I8) -> None:
    """Store the float64 whose bits are `number`; any NaN becomes the canonical one."""
    if number & _EXPONENT == _EXPONENT and number & _MANTISSA != 0:
        value[row] = NAN
    else:
        value_bits[row] = number


def put_float32(number: int, row: int, value: F8, value_bits: I8) -> None:
    """Store the float32 whose bits are the low 32 of `number`, widened exactly (IEEE 754, 3.4)."""
    exponent = (number >> 23) & 0xFF
    mantissa = number & 0x7FFFFF
    if exponent == 0xFF:
        exponent = 0x7FF
    elif exponent != 0:
        exponent += 1023 - 127
    elif mantissa != 0:  # subnormal: every one is a normal float64
        exponent = 1 + 1023 - 127
        while mantissa & 0x800000 == 0:
            mantissa <<= 1
            exponent -= 1
        mantissa &= 0x7FFFFF
    wide = (exponent << 52) | (mantissa << 29)
    if number & 0x80000000 != 0:
        wide |= _SIGN
    put_float64(wide, row, value, value_bits)


def put_float16(number: int, row: int, value: F8, value_bits: I8) -> None:
    """Store the float16 whose bits are the low 16 of `number`, widened exactly (IEEE 754, 3.4)."""
    exponent = (number >> 10) & 0x1F
    mantissa = number & 0x3FF
    if exponent == 0x1F:
        exponent = 0x7FF
    elif exponent != 0:
        exponent += 1023 - 15
    elif mantissa != 0:  # subnormal: every one is a normal float64
        exponent = 1 + 1023 - 15
        while mantissa & 0x400 == 0:
            mantissa <<= 1
            exponent -= 1
        mantissa &= 0x3FF
    wide = (exponent << 52) | (mantissa << 42)
    if number & 0x8000 != 0:
        wide |= _SIGN
    put_float64(wide, row, value, value_bits)


def read_bcd(number: int, width: int) -> int:
    """Return what the `width` (1 to 8) bytes of a number say in decimal digits, four bits each; -1 if one is none."""
    total = 0
    for k in range(2 * width):
        digit = (number >> (8 * width - 4 - 4 * k)) & 0xF
        if digit > 9:
            return -1
        total = 10 * total + digit
    return total


def times_power_of_ten(number: float, power: int) -> float:
    """Return a number times ten to a power of -22 to 22, rounded once: these powers are exact, their inverses are not."""
    ten = 1.0
    for _ in range(abs(power)):
        ten *= 10.0
    if power < 0:
        return number / ten
    return number * ten


def checked_time(time_ns: int) -> int:
    """Return a source time in ns since 1970, or 0 (absent) when it is outside 1823 to 2116."""
    if time_ns < -_TIME_MAX or time_ns > _TIME_MAX:
        return 0
    return time_ns


def time_of_ticks(ticks: int) -> int:
    """Convert an OPC UA DateTime to ns since 1970; 0 when it is absent or outside 1823 to 2116."""
    if ticks < _TICKS_1970 - _TICKS_SPAN or ticks > _TICKS_1970 + _TICKS_SPAN:
        return 0
    return (ticks - _TICKS_1970) * 100
