"""`gatewayd completion`: tab completion for bash, zsh and fish."""

from __future__ import annotations

import json

import click

from gatewayd.cli.session import json_option


@click.command()
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
@json_option
@click.pass_context
def completion(ctx: click.Context, shell: str, *, as_json: bool) -> None:
    """Print the script that makes SHELL complete gatewayd's commands and options.

    \b
    Examples:
      eval "$(gatewayd completion bash)"        in ~/.bashrc
      eval "$(gatewayd completion zsh)"         in ~/.zshrc
      gatewayd completion fish | source         in config.fish
    """
    from click.shell_completion import get_completion_class

    made = get_completion_class(shell)
    assert made is not None, "click offers these three"
    script = made(ctx.find_root().command, {}, "gatewayd", "_GATEWAYD_COMPLETE").source()
    click.echo(json.dumps({"shell": shell, "script": script}) if as_json else script)
