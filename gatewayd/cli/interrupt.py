"""Runs what a command waits for, and lets Ctrl-C end it with what there is so far."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any

import click

from gatewayd.cli import show
from gatewayd.errors import GatewayError

INTERRUPTED = 130


class Ending:
    """How a piece of work ended.

    Attributes:
        is_interrupted: by Ctrl-C.
        error: what ended it, if it failed.
    """

    def __init__(self, *, is_interrupted: bool = False, error: GatewayError | None = None) -> None:
        self.is_interrupted = is_interrupted
        self.error = error

    @property
    def exit_code(self) -> int:
        """Return 0, the error's code, or 130."""
        if self.is_interrupted:
            return INTERRUPTED
        return self.error.exit_code if self.error else 0

    def tell(self) -> None:
        """Say on the error stream why what was printed is not all."""
        if self.is_interrupted:
            click.echo("Interrupted: this is what was found so far.", err=True)
        elif self.error is not None:
            click.echo(click.style("Error: ", fg="red", bold=True) + show.clean(self.error.message), err=True)
            click.echo(click.style("Remedy: ", bold=True) + show.clean(self.error.remedy), err=True)

    def fields(self) -> dict[str, object]:
        """Return the same for JSON."""
        return {
            "interrupted": self.is_interrupted,
            "error": self.error.message if self.error else "",
            "remedy": self.error.remedy if self.error else "",
        }


def run_to_end(work: Coroutine[Any, Any, None]) -> Ending:
    """Run until done, failed or Ctrl-C; what was found stands in what the work filled."""
    try:
        asyncio.run(work)
    except KeyboardInterrupt:
        return Ending(is_interrupted=True)
    except GatewayError as error:
        return Ending(error=error)
    return Ending()
