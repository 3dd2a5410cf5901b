"""Trends as one inline SVG: a panel per tag over a common time axis, with the limits and the moments of the decision."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, tzinfo
from html import escape
from typing import Final, NamedTuple

from gatewayd.explain.words import number, plain
from gatewayd.model.account import Trend

WIDTH: Final = 760
LEFT: Final = 70
RIGHT: Final = 20
PANEL: Final = 130
GAP: Final = 34
AXIS: Final = 54
TICKS_X: Final = 5
DOTS_MAX: Final = 60  # more samples are a line without dots
SPAN_MIN_NS: Final = 1_000_000_000


class Mark(NamedTuple):
    """A moment: drawn through all panels."""

    name: str  # "decision", "write", "read-back"
    time_ns: int


class Limit(NamedTuple):
    """A level in the panel of one tag."""

    tag: str
    name: str
    value: float


class _Scale(NamedTuple):
    """Maps a range of numbers to pixels."""

    low: float
    high: float
    first: float
    last: float

    def at(self, value: float) -> float:
        return self.first + (value - self.low) / (self.high - self.low) * (self.last - self.first)


def chart(trends: Sequence[Trend], marks: Sequence[Mark], limits: Sequence[Limit], zone: tzinfo | None = None) -> str:
    """Return the drawing, or an empty string if there is nothing to draw.

    Args:
        trends: a panel each.
        marks: moments; those at 0 are left out.
        limits: levels of the panels whose tag they name.
        zone: of local time; None = this machine's.
    """
    drawn = [trend for trend in trends if trend.times_ns]
    if not drawn:
        return ""
    moments = [mark for mark in marks if mark.time_ns]
    x = _time_scale([time_ns for trend in drawn for time_ns in trend.times_ns] + [mark.time_ns for mark in moments])
    bottom = 20 + len(drawn) * (PANEL + GAP)
    parts = [_panel(trend, 20 + place * (PANEL + GAP), x, limits) for place, trend in enumerate(drawn)]
    parts += [_mark(mark, x, bottom - GAP, place) for place, mark in enumerate(moments)]
    parts += _time_axis(x, bottom - GAP, zone)
    names = ", ".join(plain(trend.tag) for trend in drawn)
    height = bottom - GAP + AXIS
    return (
        f'<svg viewBox="0 0 {WIDTH} {height}" role="img" aria-labelledby="trend-title trend-desc">'
        f'<title id="trend-title">Trend around the decision: {escape(names)}</title>'
        f'<desc id="trend-desc">{escape(_description(drawn))}</desc>{"".join(parts)}</svg>'
    )


def _description(trends: Iterable[Trend]) -> str:
    told = []
    for trend in trends:
        good = [value for value in trend.values if value is not None]
        span = f"{number(min(good))} to {number(max(good), trend.units)}" if good else "no Good sample"
        told.append(f"{plain(trend.tag)}: {len(trend.values)} samples, {plain(span)}")
    return "; ".join(told) + ". The numbers are in the tables below."


def _time_scale(times_ns: Sequence[int]) -> _Scale:
    low, high = min(times_ns), max(times_ns)
    margin = max(SPAN_MIN_NS, high - low) // 20
    return _Scale(low - margin, high + margin, LEFT, WIDTH - RIGHT)


def _panel(trend: Trend, top: int, x: _Scale, limits: Sequence[Limit]) -> str:
    own = [limit for limit in limits if limit.tag == trend.tag]
    good = [value for value in trend.values if value is not None] + [limit.value for limit in own]
    low, high = (min(good), max(good)) if good else (0.0, 1.0)
    room = (high - low) * 0.08 or max(abs(high), 1.0) * 0.05
    y = _Scale(low - room, high + room, top + PANEL, top)
    parts = [f'<rect class="frame" x="{LEFT}" y="{top}" width="{WIDTH - LEFT - RIGHT}" height="{PANEL}"/>']
    parts += [_level(value, y) for value in ticks(y.low, y.high)]
    parts += [_limit(limit, y) for limit in own]
    parts.append(f'<path class="line" d="{_path(trend, x, y)}"/>')
    if len(trend.values) <= DOTS_MAX:
        parts += [
            f'<circle class="dot" cx="{x.at(time_ns):.1f}" cy="{y.at(value):.1f}" r="2.5"/>'
            for time_ns, value in zip(trend.times_ns, trend.values, strict=True)
            if value is not None
        ]
    name = plain(f"{trend.tag} [{trend.units or '1'}]")
    parts.append(f'<text class="name" x="{LEFT}" y="{top - 6}">{escape(name)}</text>')
    return "".join(parts)


def _path(trend: Trend, x: _Scale, y: _Scale) -> str:
    """Return steps: a value holds until the next sample; where a sample is not Good the line ends."""
    told, is_open = [], False
    for time_ns, value in zip(trend.times_ns, trend.values, strict=True):
        at = f"{x.at(time_ns):.1f}"
        if value is None:
            told += [f"H{at}"] if is_open else []
            is_open = False
            continue
        level = f"{y.at(value):.1f}"
        told.append(f"H{at}V{level}" if is_open else f"M{at} {level}")
        is_open = True
    return "".join(told)


def ticks(low: float, high: float) -> list[float]:
    """Return three to six round numbers within a range."""
    rough = (high - low) / 4
    power = 10.0 ** math.floor(math.log10(rough)) if rough > 0 and math.isfinite(rough) else 0.0
    if not power:
        return [low]
    step = next(factor * power for factor in (1, 2, 5, 10) if factor * power >= rough)
    first = math.ceil(low / step)
    return [place * step for place in range(first, first + 6) if place * step <= high]


def _level(value: float, y: _Scale) -> str:
    at = f"{y.at(value):.1f}"
    return (
        f'<line class="grid" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{at}" y2="{at}"/>'
        f'<text class="tick" text-anchor="end" x="{LEFT - 6}" y="{at}" dy="0.32em">{number(value)}</text>'
    )


def _limit(limit: Limit, y: _Scale) -> str:
    at = f"{y.at(limit.value):.1f}"
    label = escape(plain(f"{limit.name} {number(limit.value)}"))
    return (
        f'<line class="limit" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{at}" y2="{at}"/>'
        f'<text class="limit-name" text-anchor="end" x="{WIDTH - RIGHT - 4}" y="{at}" dy="-0.3em">{label}</text>'
    )


def _mark(mark: Mark, x: _Scale, bottom: int, place: int) -> str:
    at = f"{x.at(mark.time_ns):.1f}"
    return (
        f'<line class="mark mark-{place}" x1="{at}" x2="{at}" y1="20" y2="{bottom}">'
        f"<title>{escape(plain(mark.name))}</title></line>"
        f'<text class="mark-name" x="{at}" y="{32 + 12 * place}" dx="4">{escape(plain(mark.name))}</text>'
    )


def _time_axis(x: _Scale, bottom: int, zone: tzinfo | None) -> list[str]:
    parts = []
    for place in range(TICKS_X):
        time_ns = int(x.low + (x.high - x.low) * place / (TICKS_X - 1))
        at = f"{x.at(time_ns):.1f}"
        anchor = "start" if place == 0 else "end" if place == TICKS_X - 1 else "middle"
        utc = datetime.fromtimestamp(time_ns / 1e9, tz=UTC)
        digits = "%H:%M:%S" if x.high - x.low > 20 * SPAN_MIN_NS else "%H:%M:%S.%f"
        for line, moment in enumerate((utc.astimezone(zone), utc)):
            shown = moment.strftime(digits)[:12] + (" UTC" if line else " local")
            y = bottom + 16 + 14 * line
            parts.append(f'<text class="tick" text-anchor="{anchor}" x="{at}" y="{y}">{shown}</text>')
    return parts
