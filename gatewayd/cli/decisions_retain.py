"""`gatewayd decisions retain`, `release` and `list --retained`: keep what a decision was made on for as long as it takes."""

from __future__ import annotations

import click

from gatewayd.cli import show
from gatewayd.cli.client import Client, path_of
from gatewayd.cli.session import Session, json_option, pass_session, reason_option
from gatewayd.explain.words import cycle
from gatewayd.model.retention_view import RetainedList, RetainedView, RetainRequest, RetentionAnswer

_HEAD = ("ID", "POINT", "CYCLE", "RETAINED", "INPUTS")
_IDS = click.IntRange(min=1)


@click.command()
@click.argument("decision_id", metavar="ID", type=_IDS)
@reason_option
@json_option
@pass_session
def retain(session: Session, decision_id: int, *, reason: str, as_json: bool) -> None:
    """Keep the recorded inputs of a decision's cycle, whatever their age, until it is released.

    \b
    Example:
      gatewayd decisions retain 41 --reason "inquiry into the trip of 3 May"
    """
    _ask(session, "POST", decision_id, reason, as_json=as_json)


@click.command()
@click.argument("decision_id", metavar="ID", type=_IDS)
@reason_option
@json_option
@pass_session
def release(session: Session, decision_id: int, *, reason: str, as_json: bool) -> None:
    """Let the recorded inputs of a retained decision go when their time comes.

    \b
    Example:
      gatewayd decisions release 41 --reason "inquiry closed"
    """
    _ask(session, "DELETE", decision_id, reason, as_json=as_json)


def list_retained(session: Session, *, as_json: bool) -> None:
    """Print what is retained now."""
    raw, found = Client(session.socket_path).ask(RetainedList, "GET", path_of("retained"))
    if as_json:
        click.echo(raw)
    elif found.retained:
        click.echo(show.table(_HEAD, [_row(one, found.now_ns) for one in found.retained], right=(0, 2)))
    else:
        click.echo("No decision is retained.")


def _ask(session: Session, method: str, decision_id: int, reason: str, *, as_json: bool) -> None:
    target = path_of("decisions", str(decision_id), "retention")
    raw, found = Client(session.socket_path).ask(RetentionAnswer, method, target, RetainRequest(reason=reason))
    click.echo(raw if as_json else show.clean(found.message))


def _row(one: RetainedView, now_ns: int) -> tuple[str, ...]:
    kept = "recorded" if one.recorded else "not recorded"
    return (str(one.id), show.clean(one.point), cycle(one.cycle), show.ago(one.since_ns, now_ns), kept)
