"""Where a value stands: a file's text, and the line of each key in it."""

from __future__ import annotations

import re
from bisect import bisect_right
from typing import NamedTuple

import msgspec

from gatewayd.site.problem import Problem, Severity, nearest, shown

KEY_TO_VALUE_MAX = 200  # characters between the first of a key and the first of its value

KeyPath = tuple[str | int, ...]

_PART = r"(?:\"(?:[^\"\\]|\\.)*\"|'[^']*'|[A-Za-z0-9_-]+)"
_DOTTED = rf"{_PART}(?:\s*\.\s*{_PART})*"
_TABLE = re.compile(rf"\s*(\[\[?)\s*({_DOTTED})\s*\]\]?\s*(?:#.*)?$")
_KEY = re.compile(rf"\s*({_DOTTED})\s*=")
_QUOTES = re.compile(r"\"\"\"|'''")


class Source:
    """A file of the site.

    Args:
        name: path inside the site's folder, as messages show it.
        text: its content, decoded.
    """

    def __init__(self, name: str, text: str) -> None:
        self.name = name
        self.text = text
        self._lines: dict[KeyPath, int] | None = None
        self._starts: list[int] | None = None  # of the lines, in characters

    def line_of(self, path: KeyPath) -> int:
        """Return the line where a key stands, else that of the innermost table around it, else 0."""
        if self._lines is None:
            self._lines = toml_lines(self.text)
        for length in range(len(path), 0, -1):
            if line := self._lines.get(path[:length]):
                return line
        return 0

    def position_of(self, path: KeyPath, value: str, character: int) -> tuple[int, int]:
        """Return line and column, both 1-based, of a character of the string that is the value of a key.

        The column is 0 where the string is not spelled in the file as it reads, e.g. with escapes.
        """
        line = self.line_of(path)
        if not line:
            return 0, 0
        if self._starts is None:
            self._starts = [0, *(at + 1 for at, char in enumerate(self.text) if char == "\n")]
        key = self.text.find(str(path[-1]), self._starts[line - 1])
        end = key + len(value) + KEY_TO_VALUE_MAX
        found = [at for quote in "\"'" if (at := self.text.find(quote + value, key, end)) >= 0] if key >= 0 else []
        if not found:
            return line, 0
        place = min(found) + 1 + character
        line = bisect_right(self._starts, place)
        return line, place - self._starts[line - 1] + 1


class Origin(NamedTuple):
    """A place in a source: a key path of a TOML file, or a row of a tag list."""

    source: Source
    path: KeyPath = ()
    row: int = 0

    def child(self, *keys: str | int) -> Origin:
        """Return the place of a key below this one."""
        return Origin(self.source, self.path + keys, self.row)

    def problem(
        self,
        message: str,
        *,
        remedy: str,
        found: object = "",
        allowed: str = "",
        near: str = "",
        severity: Severity = "error",
    ) -> Problem:
        """Return a problem at this place. `message` is completed with nothing: it is the whole sentence."""
        return Problem(
            file=self.source.name,
            line=self.row or self.source.line_of(self.path),
            key=spelled(self.path),
            message=message,
            remedy=remedy,
            found=found if isinstance(found, str) else shown(found),
            allowed=allowed,
            nearest=near,
            severity=severity,
        )

    def at_character(self, problem: Problem, character: int) -> Problem:
        """Return a problem of this place with the line and column of a character, from 0, of the string found here."""
        line, column = self.source.position_of(self.path, problem.found, character)
        return msgspec.structs.replace(problem, line=line, column=column)

    def refused(self, value: object, *, allowed: str, remedy: str, near: str = "") -> Problem:
        """Return the problem that the value here is not an allowed one."""
        guess = f"; nearest is {near}" if near else ""
        message = f"{spelled(self.path)} is {shown(value)}; allowed is {allowed}{guess}"
        return self.problem(message, remedy=remedy, found=shown(value), allowed=allowed, near=near)

    def unknown(self, value: str, *, what: str, known: list[str], remedy: str) -> Problem:
        """Return the problem that the value here names something that does not exist."""
        near = nearest(value, known)
        guess = f"; did you mean {near}?" if near else ""
        return self.problem(
            f"{spelled(self.path)}: there is no {what} {shown(value)}{guess}",
            remedy=f"Write {near}, or: {remedy[0].lower()}{remedy[1:]}" if near else remedy,
            found=shown(value),
            near=near,
        )


def spelled(path: KeyPath) -> str:
    """Return a key path as people read it: `rule[0].then.set`."""
    text = ""
    for key in path:
        text += f"[{key}]" if isinstance(key, int) else f".{key}" if text else key
    return text


def toml_lines(text: str) -> dict[KeyPath, int]:
    """Return the line of every table header and `key =` of a TOML text, 1-based.

    A text search, for messages only: keys of inline tables are not found, what stands in multi-line strings is skipped.
    """
    lines: dict[KeyPath, int] = {}
    counts: dict[KeyPath, int] = {}
    table: KeyPath = ()
    open_quotes = ""
    for number, line in enumerate(text.splitlines(), start=1):
        was_open = open_quotes
        open_quotes = _quotes_after(line, open_quotes)
        if was_open:
            continue
        if header := _TABLE.match(line):
            table = _header_path(header, counts)
            lines.setdefault(table, number)
        elif key := _KEY.match(line):
            path = table + _parts(key[1])
            for length in range(len(table) + 1, len(path) + 1):
                lines.setdefault(path[:length], number)
    return lines


def _header_path(header: re.Match[str], counts: dict[KeyPath, int]) -> KeyPath:
    parts = _parts(header[2])
    path: KeyPath = ()
    for place, part in enumerate(parts):
        path += (part,)
        if header[1] == "[[" and place == len(parts) - 1:
            counts[path] = counts.get(path, -1) + 1
        if path in counts:
            path += (counts[path],)
    return path


def _parts(dotted: str) -> tuple[str, ...]:
    return tuple(part.strip("\"'") for part in re.findall(_PART, dotted))


def _quotes_after(line: str, open_quotes: str) -> str:
    for found in _QUOTES.findall(line):
        if not open_quotes:
            open_quotes = found
        elif found == open_quotes:
            open_quotes = ""
    return open_quotes
