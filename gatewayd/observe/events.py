"""The structured log: one line per event, named noun_past_verb, JSON for journald and readable on a terminal.

A fault that repeats must not fill the disk or starve the loop: each name has a budget, and what it loses is counted on
the next line that gets through (P-BOUND).
"""

from __future__ import annotations

import os
import sys
from datetime import UTC, datetime
from typing import TextIO

import msgspec

from gatewayd.clock import Clock, SystemClock

_WINDOW_NS = 10_000_000_000
_NAMES_MAX = 512
_TEXT_CHARS_MAX = 1024
_LINE_CHARS_MAX = 8192
_SYSLOG = {"debug": 7, "info": 6, "warning": 4, "error": 3}
_encode = msgspec.json.Encoder(enc_hook=str).encode

Field = object


class EventLog:
    """Writes events to one stream.

    Args:
        clock: wall time for the lines, monotonic time for the budget.
        stream: where lines go; a stream that fails loses lines, never the daemon.
        readable: for people instead of programs.
        syslog_prefix: put `<priority>` before each line, as journald reads it.
        burst: lines per name in ten seconds.
    """

    def __init__(
        self,
        clock: Clock,
        stream: TextIO,
        *,
        readable: bool = False,
        syslog_prefix: bool = False,
        burst: int = 20,
    ) -> None:
        self._clock = clock
        self._stream = stream
        self._readable = readable
        self._syslog_prefix = syslog_prefix
        self._burst = burst
        self._budgets: dict[str, _Budget] = {}
        self.lost = 0  # lines the stream did not take

    def event(self, name: str, *, level: str = "info", **fields: Field) -> None:
        """Log that something happened.

        Args:
            name: noun and past verb, e.g. `device_lost`.
            level: `debug`, `info`, `warning` or `error`.
            fields: numbers, texts, enums; anything else appears as its `str`.
        """
        budget = self._budget(name)
        if not budget.allows(self._clock.monotonic_ns(), self._burst):
            return
        if budget.suppressed:
            fields["suppressed"] = budget.suppressed
            budget.suppressed = 0
        write = self._readable_line if self._readable else self._json_line
        line = write(name, level, {key: _bounded(value) for key, value in fields.items()})
        self._write(f"<{_SYSLOG.get(level, 6)}>{line}" if self._syslog_prefix else line)

    def _budget(self, name: str) -> _Budget:
        if name not in self._budgets and len(self._budgets) >= _NAMES_MAX:
            name = ""  # names come from code, so this is a bug; it shares one budget and harms nobody
        return self._budgets.setdefault(name, _Budget())

    def _json_line(self, name: str, level: str, fields: dict[str, Field]) -> str:
        head = {"time": _stamp(self._clock.wall_ns()), "event": name, "level": level}
        line = _encode({**fields, **head} if fields.keys() & head.keys() else {**head, **fields}).decode()
        if len(line) <= _LINE_CHARS_MAX:
            return line
        return _encode({**head, "cut": len(line)}).decode()

    def _readable_line(self, name: str, level: str, fields: dict[str, Field]) -> str:
        told = "".join(f" {key}={_printable(value)}" for key, value in fields.items())
        mark = "" if level in ("info", "debug") else f"{level.upper()} "
        return f"{_stamp(self._clock.wall_ns())[11:23]} {mark}{name}{told}"[:_LINE_CHARS_MAX]

    def _write(self, line: str) -> None:
        try:
            self._stream.write(line + "\n")
            self._stream.flush()
        except (OSError, ValueError):  # a closed pipe or stream must not stop the plant's control
            self.lost += 1


class _Budget:
    """How many lines a name has had in the window that began at `since_ns`."""

    __slots__ = ("lines", "since_ns", "suppressed")

    def __init__(self) -> None:
        self.lines = 0
        self.since_ns = -_WINDOW_NS
        self.suppressed = 0

    def allows(self, now_ns: int, burst: int) -> bool:
        if now_ns - self.since_ns >= _WINDOW_NS:
            self.since_ns = now_ns
            self.lines = 0
        if self.lines < burst:
            self.lines += 1
            return True
        self.suppressed += 1
        return False


def for_stderr(clock: Clock | None = None) -> EventLog:
    """Return the log a daemon starts with: readable on a terminal, else JSON; priorities when journald listens."""
    return EventLog(
        clock or SystemClock(),
        sys.stderr,
        readable=sys.stderr.isatty(),
        syslog_prefix="JOURNAL_STREAM" in os.environ and not sys.stderr.isatty(),
    )


_default: list[EventLog] = []


def event(name: str, *, level: str = "info", **fields: Field) -> None:
    """Log to stderr from code that was handed no log of its own; see `EventLog.event`."""
    if not _default:
        _default.append(for_stderr())
    _default[0].event(name, level=level, **fields)


def _bounded(value: Field) -> Field:
    if isinstance(value, str):
        return value[:_TEXT_CHARS_MAX]
    if isinstance(value, bytes):
        return value[: _TEXT_CHARS_MAX // 2].hex()
    if isinstance(value, (int, float, bool)) or value is None:
        return value
    return str(value)[:_TEXT_CHARS_MAX]


def _printable(value: Field) -> str:
    text = "".join(char if char.isprintable() else " " for char in str(value))
    return repr(text) if " " in text or not text else text


def _stamp(wall_ns: int) -> str:
    return datetime.fromtimestamp(wall_ns // 1_000_000 / 1e3, tz=UTC).isoformat(timespec="milliseconds")
