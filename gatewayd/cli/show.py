"""Plain text for people: aligned tables, numbers, times. Whatever comes from outside loses its control characters."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from datetime import UTC, datetime

import click

_NS = 1_000_000_000
_WIDTH_MIN = 60
_TEXT_MAX = 40  # characters
_COLOURS = {
    "good": "green",
    "connected": "green",
    "verified": "green",
    "trusted": "green",
    "rejected": "yellow",
    "pass": "green",
    "auto": "green",
    "healthy": "green",
    "uncertain": "yellow",
    "connecting": "yellow",
    "clamp": "yellow",
    "hold": "yellow",
    "offline": "yellow",
    "monitor": "yellow",
    "unknown": "yellow",
    "bad": "red",
    "lost": "red",
    "demoted": "red",
    "mismatch": "red",
    "refused": "red",
    "block": "red",
    "damaged": "red",
}


def clean(text: str) -> str:
    """Return text without control characters: a device's name for itself must not drive the terminal."""
    return "".join(char if char.isprintable() else " " for char in text)


def state(word: str) -> str:
    """Return a word in the colour of its meaning; the first part counts, as in `Bad_Timeout`."""
    shown = clean(word)
    colour = _COLOURS.get(shown.partition("_")[0].partition(" ")[0].lower())
    return click.style(shown, fg=colour) if colour else shown


def heading(text: str) -> str:
    """Return a heading."""
    return click.style(text, bold=True) if text else ""


def faint(text: str) -> str:
    """Return text that may be skipped."""
    return click.style(text, dim=True)


def number(value: float | None, units: str = "") -> str:
    """Return a value with its units; `-` where there is none."""
    if value is None:
        return "-"
    shown = f"{value:.6g}"
    return f"{shown} {clean(units)}" if units else shown


def text(value: str) -> str:
    """Return a text that a device holds, in quotes and no longer than a table bears."""
    shown = clean(value)
    return f'"{shown}"' if len(shown) <= _TEXT_MAX else f'"{shown[: _TEXT_MAX - 1]}…"'


def span(seconds: float) -> str:
    """Return a duration in its two largest units, e.g. `1 d 2 h`."""
    if seconds < 0:
        return f"-{span(-seconds)}"
    if seconds < 10:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    for size, unit, smaller, smaller_unit in ((86_400, "d", 3_600, "h"), (3_600, "h", 60, "min"), (60, "min", 1, "s")):
        if whole >= size:
            rest = whole % size // smaller
            return f"{whole // size} {unit} {rest} {smaller_unit}" if rest else f"{whole // size} {unit}"
    return f"{whole} s"


def ago(time_ns: int, now_ns: int) -> str:
    """Return how long ago, `never` for 0, `in ...` for the future."""
    if time_ns == 0:
        return "never"
    seconds = (now_ns - time_ns) / _NS
    return f"{span(seconds)} ago" if seconds >= 0 else f"in {span(-seconds)}"


def at(time_ns: int) -> str:
    """Return local time with milliseconds and offset; `never` for 0."""
    if time_ns == 0:
        return "never"
    moment = datetime.fromtimestamp(time_ns // 1_000_000 / 1e3, tz=UTC).astimezone()
    return moment.isoformat(sep=" ", timespec="milliseconds")


def table(head: Sequence[str], rows: Sequence[Sequence[str]], *, right: Sequence[int] = ()) -> str:
    """Return aligned columns, headings first; the last column is cut to the terminal's width.

    Args:
        head: the headings.
        rows: cells, which may be coloured.
        right: columns to align right, for numbers.
    """
    cells = [[heading(text) for text in head], *[list(row) for row in rows]]
    widths = [max(len(click.unstyle(row[column])) for row in cells) for column in range(len(head))]
    total = max(_WIDTH_MIN, shutil.get_terminal_size((100, 24)).columns)
    room = total - sum(width + 2 for width in widths[:-1])
    return "\n".join(_line(row, widths, set(right), max(8, room)) for row in cells)


def _line(row: Sequence[str], widths: Sequence[int], right: set[int], room: int) -> str:
    padded = [
        _padded(cell, width, to_right=column in right)
        for column, (cell, width) in enumerate(zip(row[:-1], widths[:-1], strict=True))
    ]
    last = _padded(row[-1], widths[-1], to_right=True) if len(row) - 1 in right else _cut(row[-1], room)
    return "  ".join([*padded, last]).rstrip()


def _padded(cell: str, width: int, *, to_right: bool) -> str:
    fill = " " * (width - len(click.unstyle(cell)))
    return fill + cell if to_right else cell + fill


def _cut(cell: str, room: int) -> str:
    plain = click.unstyle(cell)
    return cell if len(plain) <= room else plain[: room - 1] + "…"


def pairs(rows: Sequence[tuple[str, str]], *, indent: int = 2) -> str:
    """Return `name  value` lines, the values aligned."""
    width = max(len(name) for name, _ in rows)
    return "\n".join(f"{' ' * indent}{name:<{width}}  {text}".rstrip() for name, text in rows)
