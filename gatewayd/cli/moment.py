"""Moments as people type them: 2h for two hours ago, or a date with or without a time."""

from __future__ import annotations

from datetime import datetime

import click

from gatewayd.cli.duration import Duration
from gatewayd.clock import SystemClock

_NS = 1_000_000_000


class Moment(click.ParamType[int]):
    """Nanoseconds of wall time from a text; without a time zone it is the reader's."""

    name = "moment"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """Return ns since 1970, UTC, at least 1."""
        text = str(value).strip()
        if text[-1:] in "dhms" and text[:1].isdigit():
            ago_ns = int(Duration().convert(text, param, ctx) * _NS)
            return max(1, SystemClock().wall_ns() - ago_ns)
        try:
            return max(1, int(datetime.fromisoformat(text).timestamp() * 1_000_000) * 1_000)
        except (ValueError, OverflowError, OSError):
            self.fail(f"{text[:40]!r} is no time. Write 2h, 7d, 2026-11-28 or 2026-11-28T06:00+01:00.", param, ctx)
