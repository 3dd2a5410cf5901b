"""Progress of what takes longer than a second: one line on the error stream, on a terminal only."""

from __future__ import annotations

import shutil
import sys

import click

from gatewayd.clock import Clock

_AFTER_NS = 1_000_000_000
_EVERY_NS = 100_000_000


class Progress:
    """A line that is written over and over, and gone at the end.

    Args:
        clock: when to show it.
        is_on: False for output that programs read.
    """

    def __init__(self, clock: Clock, *, is_on: bool = True) -> None:
        self._clock = clock
        self._is_on = is_on and sys.stderr.isatty()
        self._due_ns = clock.monotonic_ns() + _AFTER_NS
        self._is_shown = False

    def say(self, text: str) -> None:
        """Show where we are, at most ten times a second."""
        now_ns = self._clock.monotonic_ns()
        if not self._is_on or now_ns < self._due_ns:
            return
        self._due_ns = now_ns + _EVERY_NS
        width = shutil.get_terminal_size((80, 24)).columns - 1
        click.echo(f"\r\x1b[K{text[:width]}", err=True, nl=False)
        self._is_shown = True

    def end(self) -> None:
        """Take the line away."""
        if self._is_shown:
            click.echo("\r\x1b[K", err=True, nl=False)
            self._is_shown = False
