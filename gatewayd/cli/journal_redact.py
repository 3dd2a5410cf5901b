"""`gatewayd journal redact`: a person's name and words leave the journal, its proofs stay."""

from __future__ import annotations

import click

from gatewayd.cli.client import Client, path_of
from gatewayd.cli.session import Session, json_option, pass_session, reason_option
from gatewayd.model.view import NAME_CHARS_MAX, RedactAnswer, RedactRequest


@click.command("redact")
@click.argument("name")
@reason_option
@click.option("--yes", is_flag=True, help="Do not ask; there is no way back.")
@json_option
@pass_session
def redact_(session: Session, name: str, *, reason: str, yes: bool, as_json: bool) -> None:
    """Delete NAME and all that was written under that name from the running daemon's journal.

    Of each text a hash stays in its record, so every proof holds; its salt goes, so nobody can find the text by trying.
    Uid, role, values and times stay. What was exported or sent before is out of reach.

    \b
    Examples:
      gatewayd journal redact ana --reason "left the company, asked for it"
      gatewayd journal redact ana --reason "GDPR request 17" --yes --json
    """
    if not 1 <= len(name) <= NAME_CHARS_MAX:
        raise click.BadParameter(f"a name has 1 to {NAME_CHARS_MAX} characters", param_hint="NAME")
    if not yes:
        click.confirm(f"Delete {name!r} and its texts from the journal for good?", abort=True, err=True)
    request = RedactRequest(name=name, reason=reason)
    raw, found = Client(session.socket_path).ask(RedactAnswer, "POST", path_of("journal", "redactions"), request)
    click.echo(raw if as_json else _told(found, name))


def _told(found: RedactAnswer, name: str) -> str:
    if not found.records:
        return f"No record carries the name {name!r}."
    return f"{found.texts} texts of {found.records} records are gone; their hashes stay, and so does every proof."
