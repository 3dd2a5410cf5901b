"""The natural logarithm as a fixed polynomial: no libm, so that every form and both processors give one result."""

from __future__ import annotations

_LN2 = 0.6931471805599453
_SQRT2 = 1.4142135623730951


def log_of(x: float) -> float:
    """Return ln(x) for 2^-127 < x < 2^127, true to 1e-11; below and above it is held to that range.

    x is brought to 0.7..1.4 by powers of two, which is exact; then ln(x) = 2 artanh(s), s = (x - 1)/(x + 1), in six terms.
    """
    sign = 1.0
    if x < 1.0:
        if x < 5.9e-39:
            x = 5.9e-39
        sign = -1.0
        x = 1.0 / x
    if x > 1.7e38:
        x = 1.7e38
    power = 0.0
    if x >= 18446744073709551616.0:
        x = x * 5.421010862427522e-20
        power = 64.0
    if x >= 4294967296.0:
        x = x * 2.3283064365386963e-10
        power += 32.0
    if x >= 65536.0:
        x = x * 1.52587890625e-05
        power += 16.0
    if x >= 256.0:
        x = x * 0.00390625
        power += 8.0
    if x >= 16.0:
        x = x * 0.0625
        power += 4.0
    if x >= 4.0:
        x = x * 0.25
        power += 2.0
    if x >= 2.0:
        x = x * 0.5
        power += 1.0
    if x >= _SQRT2:
        x = x * 0.5
        power += 1.0
    s = (x - 1.0) / (x + 1.0)
    q = s * s
    series = 1.0 + q * (1.0 / 3.0 + q * (0.2 + q * (1.0 / 7.0 + q * (1.0 / 9.0 + q * (1.0 / 11.0)))))
    return sign * (power * _LN2 + 2.0 * s * series)
