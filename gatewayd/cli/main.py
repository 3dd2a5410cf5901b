"""The root of the command line. It imports click and nothing heavy: each noun's file is loaded when it is called."""

from __future__ import annotations

import os
import sys

import click

from gatewayd.cli.lazy import LazyGroup
from gatewayd.cli.session import Session
from gatewayd.errors import GatewayError

INTERRUPTED = 130
_COMMANDS = {
    "init": ("gatewayd.cli.init:init", "Make this gateway's identity and keys."),
    "run": ("gatewayd.cli.run:run", "Run the daemon in the foreground."),
    "status": ("gatewayd.cli.status:status", "Show how the gateway is, at a glance."),
    "tags": ("gatewayd.cli.tags:tags", "List or watch tags; import and export tag lists."),
    "decisions": ("gatewayd.cli.decisions:decisions", "List, show and explain decisions."),
    "override": ("gatewayd.cli.override:override", "Hold a point by hand, for a time and a reason."),
    "resume": ("gatewayd.cli.resume:resume", "Let automatic writes come back after a damaged journal."),
    "journal": ("gatewayd.cli.journal:journal", "Verify the journal, export it, have it witnessed."),
    "replay": ("gatewayd.cli.replay:replay", "Compute recorded decisions anew and compare them."),
    "sync": ("gatewayd.cli.sync:sync", "See what the cloud has and what waits."),
    "config": ("gatewayd.cli.config:config", "Check a site's configuration."),
    "rules": ("gatewayd.cli.rules:rules", "Check rules, try them on recorded data, apply them."),
    "device": ("gatewayd.cli.device:device", "Find, try and record devices without the daemon."),
    "trust": ("gatewayd.cli.trust:trust", "Trust OPC UA servers; show our own certificate."),
    "cloud": ("gatewayd.cli.cloud:cloud", "The other side: collect what gateways send."),
    "completion": ("gatewayd.cli.completion:completion", "Print the tab completion script of a shell."),
}
_EPILOG = """\b
Exit codes:
  0  done                           6  the journal does not verify
  1  failed, or errors were found   7  access denied
  2  wrong use of the command       8  the daemon cannot be reached
  3  compiled kernels unusable      9  the request was refused
  4  store unusable                 130  interrupted
  5  another daemon is running

\b
Tab completion:
  bash   eval "$(gatewayd completion bash)"     (in ~/.bashrc)
  zsh    eval "$(gatewayd completion zsh)"      (in ~/.zshrc)
  fish   gatewayd completion fish | source      (in config.fish)

Every command takes --json. Colours appear on a terminal only and never when NO_COLOR is set.
"""


def _print_version(ctx: click.Context, _: click.Parameter, is_asked: bool) -> None:
    if not is_asked or ctx.resilient_parsing:
        return
    from gatewayd.version import __version__

    click.echo(f"gatewayd {__version__}")
    ctx.exit()


@click.group(cls=LazyGroup, lazy=_COMMANDS, epilog=_EPILOG, context_settings={"help_option_names": ["-h", "--help"]})
@click.option(
    "--socket",
    "socket_path",
    envvar="GATEWAYD_SOCKET",
    metavar="PATH",
    default="/run/gatewayd/control.sock",
    show_default=True,
    show_envvar=True,
    help="The daemon's control socket.",
)
@click.option(
    "--version", is_flag=True, is_eager=True, expose_value=False, callback=_print_version, help="Show the version."
)
@click.pass_context
def cli(ctx: click.Context, socket_path: str) -> None:
    """Edge gateway daemon: reads plant devices, decides within limits that people set, proves every decision.

    gatewayd is a supervisory controller, not a safety function: interlocks in the PLC always win.
    """
    if os.environ.get("NO_COLOR"):
        ctx.color = False
    ctx.ensure_object(Session).socket_path = socket_path


def run(arguments: list[str]) -> int:
    """Run one command and return its exit code; errors are told as message and remedy, or as JSON with `--json`."""
    as_json = "--json" in arguments
    try:
        outcome = cli.main(arguments, prog_name="gatewayd", standalone_mode=False)
    except GatewayError as error:
        _tell(error.message, error.remedy, error.exit_code, as_json=as_json)
        return error.exit_code
    except click.ClickException as error:
        _tell_misuse(error, as_json=as_json)
        return error.exit_code
    except (KeyboardInterrupt, click.Abort):
        click.echo("", err=True)
        return INTERRUPTED
    except BrokenPipeError:
        # The reader, e.g. `head`, has enough. Nothing may be written any more, not even at interpreter exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    return outcome if isinstance(outcome, int) else 0


def _tell(message: str, remedy: str, code: int, *, as_json: bool) -> None:
    if as_json:
        _tell_json(message, remedy, code)
        return
    from gatewayd.cli.show import clean

    first, *more = [clean(line) for line in message.splitlines()] or [""]
    lines = [click.style("Error: ", fg="red", bold=True) + first, *(f"       {line}" for line in more)]
    if remedy:
        lines.append(click.style("Remedy: ", bold=True) + clean(remedy))
    # The command's context is gone by now, so NO_COLOR is asked again.
    click.echo("\n".join(lines), err=True, color=False if os.environ.get("NO_COLOR") else None)


def _tell_misuse(error: click.ClickException, *, as_json: bool) -> None:
    if not as_json:
        error.show()
        return
    context = error.ctx if isinstance(error, click.UsageError) else None
    command = context.command_path if context else "gatewayd"
    _tell_json(error.format_message(), f"Run `{command} --help`.", error.exit_code)


def _tell_json(message: str, remedy: str, code: int) -> None:
    import json

    click.echo(json.dumps({"error": message, "remedy": remedy, "code": code}), err=True)
