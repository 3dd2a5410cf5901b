"""What a command is told by the root, and the options every command shares."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

import click

_Command = TypeVar("_Command", bound=Callable[..., object])


class Session:
    """One call of the command line."""

    def __init__(self, socket_path: str = "") -> None:
        self.socket_path = socket_path


def json_option(command: _Command) -> _Command:
    """Add `--json`, passed to the command as `as_json`."""
    return click.option("--json", "as_json", is_flag=True, help="Print JSON for programs.")(command)


def _reason(ctx: click.Context, param: click.Parameter, value: str) -> str:
    from gatewayd.model.view import REASON_CHARS_MAX  # `--help` does without views

    text = value.strip()
    if not 3 <= len(text) <= REASON_CHARS_MAX or not text.isprintable():
        raise click.BadParameter(f"give 3 to {REASON_CHARS_MAX} printable characters that say why", ctx, param)
    return text


def reason_option(command: _Command) -> _Command:
    """Add `--reason`, which whoever changes something must give."""
    told = click.option("--reason", required=True, callback=_reason, metavar="TEXT", help="Why; it enters the journal.")
    return told(command)


pass_session = click.make_pass_decorator(Session, ensure=True)
