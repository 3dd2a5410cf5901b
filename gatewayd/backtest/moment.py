"""Times as recordings write them: ISO 8601, or seconds, milliseconds, microseconds or nanoseconds since 1970."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Final

NS: Final = 1_000_000_000
_NUMBER: Final = re.compile(r"(\d{1,19})(?:\.(\d{1,9})\d*)?", re.ASCII)
_FRACTION: Final = re.compile(r"[.,](\d{1,9})\d*")
_UNITS: Final = ((10**11, NS), (10**14, 1_000_000), (10**17, 1_000), (10**19, 1))  # below: ns per unit


def wall_ns(text: str) -> int:
    """Return a time in ns since 1970, exact to the last digit; one without an offset is UTC.

    A number is seconds below 10^11, milliseconds below 10^14, microseconds below 10^17, else nanoseconds.

    Raises:
        ValueError: it is none, or not between 1970 and 2262.
    """
    text = text.strip()
    number = _NUMBER.fullmatch(text)
    found_ns = _of_number(number) if number else _of_calendar(text)
    if not 0 < found_ns < 1 << 63:
        raise ValueError(f"{text} is not between 1970 and 2262")
    return found_ns


def _of_number(number: re.Match[str]) -> int:
    whole = int(number[1])
    unit_ns = next(unit_ns for below, unit_ns in _UNITS if whole < below)
    return whole * unit_ns + int((number[2] or "0").ljust(9, "0")) * unit_ns // NS


def _of_calendar(text: str) -> int:
    fraction = _FRACTION.search(text)
    digits = fraction[1] if fraction else ""
    moment = datetime.fromisoformat(_FRACTION.sub("", text, count=1))
    moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    since = moment - datetime(1970, 1, 1, tzinfo=UTC)
    return (since.days * 86_400 + since.seconds) * NS + int(digits.ljust(9, "0") or 0)
