"""`gatewayd run`: the daemon in the foreground, under systemd or in a terminal."""

from __future__ import annotations

from pathlib import Path

import click

from gatewayd.cli.session import json_option


@click.command()
@click.argument("directory", metavar="DIR", type=click.Path(path_type=Path, file_okay=False))
@json_option
def run(directory: Path, *, as_json: bool) -> int:
    """Run the gateway of the site in DIR until SIGTERM or Ctrl-C.

    The log goes to stderr: readable on a terminal, else JSON lines. --json makes an error at the start JSON, too.

    \b
    Examples:
      gatewayd run config/
      systemctl start gatewayd        the same under systemd
    """
    from gatewayd import app

    return app.run(directory)
