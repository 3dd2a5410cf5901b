"""`gatewayd rules apply`: the running daemon takes the rules that stand in its folder now."""

from __future__ import annotations

import click

from gatewayd.cli.client import Client, path_of
from gatewayd.cli.session import Session, json_option, pass_session
from gatewayd.model.view import RulesAnswer


@click.command("apply")
@json_option
@pass_session
def apply_(session: Session, *, as_json: bool) -> None:
    """Let the daemon take the rules and guard lists that stand in its own site folder now. No cycle is missed.

    Rules that did not change go on where they stood. One bad rule, or a change of anything else, changes nothing. Try
    them first: `gatewayd rules check` and `gatewayd rules test`.

    \b
    Examples:
      gatewayd rules apply
      gatewayd rules apply --json
    """
    raw, found = Client(session.socket_path).ask(RulesAnswer, "POST", path_of("rules"))
    click.echo(raw if as_json else _told(found))


def _told(found: RulesAnswer) -> str:
    kept = f"{found.kept} went on, {found.rules - found.kept} began, {found.ended} ended"
    return f"{found.rules} rules are in force: {kept}.\nCycles waited {found.waited_ms:.2f} ms. Site {found.site[:16]}."
