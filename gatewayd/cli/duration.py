"""Durations as people type them: 30m, 1h30m, 90s."""

from __future__ import annotations

import re

import click

_SECONDS = {"d": 86_400, "h": 3_600, "m": 60, "s": 1}
_WHOLE = re.compile(r"(?:\d+(?:\.\d+)?[dhms])+", re.ASCII)
_PART = re.compile(r"(\d+(?:\.\d+)?)([dhms])", re.ASCII)


class Duration(click.ParamType[float]):
    """Seconds from a text with units; a bare number is refused, because minutes and seconds look alike."""

    name = "duration"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """Return seconds."""
        text = str(value).replace(" ", "")
        if len(text) > 40 or not _WHOLE.fullmatch(text):
            self.fail(f"{str(value)[:40]!r} is not a duration. Write 90s, 30m, 1h30m or 2h.", param, ctx)
        return sum(float(amount) * _SECONDS[unit] for amount, unit in _PART.findall(text))
