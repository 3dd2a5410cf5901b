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


pass_session = click.make_pass_decorator(Session, ensure=True)
