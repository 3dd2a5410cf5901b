"""`gatewayd resume`: a person has looked after a damaged journal was given up, and lets automatic writes come back."""

from __future__ import annotations

import click

from gatewayd.cli import show
from gatewayd.cli.client import Client, path_of
from gatewayd.cli.session import Session, json_option, pass_session, reason_option
from gatewayd.model.view import ResumeAnswer, ResumeRequest


@click.command()
@reason_option
@json_option
@pass_session
def resume(session: Session, *, reason: str, as_json: bool) -> None:
    """Let automatic writes come back after a new epoch of the journal began.

    When a damaged store is put aside, saved overrides are lost with it, so the gateway only watches until somebody has
    looked. `gatewayd status` names the overrides that may have held: set again what must, then resume.

    \b
    Example:
      gatewayd resume --reason "pump 1 is in service again, nothing is held"
    """
    request = ResumeRequest(reason=reason)
    raw, found = Client(session.socket_path).ask(ResumeAnswer, "POST", path_of("resume"), request)
    click.echo(raw if as_json else show.clean(found.message))
