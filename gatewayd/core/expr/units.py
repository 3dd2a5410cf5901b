"""Compares units while an expression is compiled. What runs knows none.

The library that knows the units is imported when two spellings differ, and only then: a gateway whose site was checked
before, or whose tags agree, never loads it.
"""

from __future__ import annotations

import functools
import re
from fractions import Fraction
from tokenize import TokenError
from typing import Any, Final, NamedTuple

UNITS_MAX: Final = 200  # characters, products included

# As people write them on drawings: m3/h, Nm3, kg/m2. A digit behind any other letter is part of a name (mH2O).
_POWER = re.compile(r"(?<![A-Za-z])((?:[kcdm]?m|ft|in|s))([234])(?![0-9A-Za-z])")
# A number of many digits, or to the power of something: no unit, and the library would compute it.
_NO_UNIT = re.compile(
    r"(?<![A-Za-z_0-9])[0-9]{4,}|[0-9.)\]]\s*(?:\*\*|\^)|(?:\*\*|\^)\s*[-+(]*[0-9]{2,}|[0-9][eE][-+]?[0-9]"
)
_UNKNOWN = (ArithmeticError, AssertionError, AttributeError, LookupError, RecursionError, SyntaxError, TypeError)
_OFFSET = re.compile(r"°C|°F|degC|degF|celsius|fahrenheit")


class Conversion(NamedTuple):
    """`wanted = scale * value + offset`, exactly."""

    scale: Fraction
    offset: Fraction


def are_equal(left: str, right: str) -> bool:
    """Say whether two units mean the same, however they are spelled: `m/s*s` and `m`, `kWh` and `(kW)*(h)`."""
    return left == right or conversion(left, right) == Conversion(Fraction(1), Fraction(0))


def conversion(of: str, wanted: str) -> Conversion | None:
    """Return how a value in one unit becomes one in another; None if it cannot, or if a unit is not known."""
    if any(len(text) > UNITS_MAX or _NO_UNIT.search(text) for text in (of, wanted)):
        return None
    try:
        source, target = _parsed(of, wanted), _parsed(wanted, of)
        if _is_angular(source) != _is_angular(target):  # rpm in 1/s: by 60, or by 60 / 2 pi? Let people say.
            return None
        zero, one = (Fraction(_registry().Quantity(Fraction(value), source).to(target).magnitude) for value in (0, 1))
    except (*_UNKNOWN, ValueError, TokenError):  # what the library raises for the texts of people
        return None
    return Conversion(one - zero, zero)


def remedy(shown: str, is_compound: bool, *, of: str, wanted: str) -> str:
    """Return what to write instead of an operand that is in another unit.

    Args:
        shown: the operand between backticks.
        is_compound: it needs parentheses.
        of: its unit.
        wanted: the unit of the other side.
    """
    found = conversion(of, wanted)
    if found is None:
        return f"{of} does not become {wanted} by a factor; compare like with like, or correct a tag's unit."
    text = shown[1:-1]
    text = f"({text})" if is_compound else text
    sign = "+" if found.offset > 0 else "-"
    shift = f" {sign} {_number(abs(found.offset))}" if found.offset else ""
    return f"Write `{text} * {_number(found.scale)}{shift}`, which is in {wanted}, or give both tags the same unit."


def _is_angular(unit: Any) -> bool:
    _, root = _registry().get_root_units(unit)
    return "radian" in dict(root._units)


def _number(value: Fraction) -> str:
    return str(value) if value.denominator == 1 else repr(float(value))


def _parsed(units: str, other: str) -> Any:
    """Return a unit; a temperature within a product or a rate, or beside one, is a difference."""
    text = _POWER.sub(r"\1**\2", units)
    is_difference = any(not _OFFSET.fullmatch(side.strip()) for side in (units, other) if _OFFSET.search(side))
    if is_difference:
        text = _OFFSET.sub(lambda match: f"delta_{'degC' if 'C' in match[0] or 'c' in match[0] else 'degF'}", text)
    return _registry().Unit(text)


@functools.cache
def _registry() -> Any:
    import pint

    return pint.UnitRegistry(non_int_type=Fraction, cache_folder=None)
