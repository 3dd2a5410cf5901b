"""`gatewayd decisions`: what was decided and why."""

from __future__ import annotations

from pathlib import Path

import click
import msgspec

from gatewayd.cli import explanation, show
from gatewayd.cli.client import Client, path_of
from gatewayd.cli.session import Session, json_option, pass_session
from gatewayd.errors import ConfigError
from gatewayd.model.view import DecisionDetail, DecisionList, DecisionView, Explanation

_HEAD = ("ID", "WHEN", "POINT", "FROM", "TO", "OUTCOME", "BY", "REASONS")
_IDS = click.IntRange(min=1)


@click.group()
def decisions() -> None:
    """List, show and explain decisions."""


@decisions.command("list")
@click.option("--limit", type=click.IntRange(1, 1_000), default=20, show_default=True, help="At most so many.")
@click.option("--point", default="", metavar="POINT", help="Only decisions on this point, e.g. pump_1.speed_sp.")
@click.option("--before", type=_IDS, default=None, metavar="ID", help="Only decisions older than this one.")
@json_option
@pass_session
def list_(session: Session, *, limit: int, point: str, before: int | None, as_json: bool) -> None:
    """List decisions, newest first.

    \b
    Examples:
      gatewayd decisions list
      gatewayd decisions list --point pump_1.speed_sp --limit 50
      gatewayd decisions list --before 1200
    """
    target = path_of("decisions", limit=limit, point=point, before=before)
    raw, found = Client(session.socket_path).ask(DecisionList, "GET", target)
    if as_json:
        click.echo(raw)
    elif found.decisions:
        click.echo(show.table(_HEAD, [_row(one, found.now_ns) for one in found.decisions], right=(0, 3, 4)))
    else:
        click.echo("No decisions match.")


@decisions.command("show")
@click.argument("decision_id", metavar="ID", type=_IDS)
@json_option
@pass_session
def show_(session: Session, decision_id: int, *, as_json: bool) -> None:
    """Show one decision's record: guards, priority array, write and read-back, place in the journal.

    \b
    Example:
      gatewayd decisions show 41
    """
    raw, found = Client(session.socket_path).ask(DecisionDetail, "GET", path_of("decisions", str(decision_id)))
    click.echo(raw if as_json else explanation.detail_page(found))


@decisions.command()
@click.argument("decision_id", metavar="ID", type=_IDS)
@click.option(
    "--storage",
    type=click.Path(path_type=Path, file_okay=False),
    metavar="DIR",
    help="Read this storage folder rather than ask the daemon, which may be stopped.",
)
@json_option
@pass_session
def explain(session: Session, decision_id: int, *, storage: Path | None, as_json: bool) -> None:
    """Explain one decision from the samples it read to the value read back.

    \b
    Examples:
      gatewayd decisions explain 41
      gatewayd decisions explain 41 --storage /var/lib/gatewayd
    """
    raw, found = _stored(storage, decision_id) if storage else _asked(session, decision_id)
    click.echo(raw if as_json else explanation.page(found))


def _asked(session: Session, decision_id: int) -> tuple[bytes, Explanation]:
    target = path_of("decisions", str(decision_id), "explain")
    return Client(session.socket_path).ask(Explanation, "GET", target)


def _stored(storage: Path, decision_id: int) -> tuple[bytes, Explanation]:
    """Explain as the daemon would, from the store alone."""
    from gatewayd.explain.gather import Explainer
    from gatewayd.explain.stored import open_journal

    with open_journal(storage) as journal:
        found = Explainer(journal, journal.checkpoint).explain(decision_id, {})
    if found is None:
        raise ConfigError(
            f"the journal in {storage} holds no decision {decision_id}",
            remedy="Ids count from 1; `gatewayd journal verify` says how many decisions it holds.",
        )
    return msgspec.json.encode(found), found


def _row(decision: DecisionView, now_ns: int) -> tuple[str, ...]:
    return (
        str(decision.id),
        show.ago(decision.time_ns, now_ns),
        show.clean(decision.point),
        show.number(decision.previous),
        show.number(decision.value, decision.units),
        show.state(decision.outcome) if decision.outcome else ("pending" if decision.write else "not written"),
        _by(decision),
        show.clean(", ".join(decision.reasons)),
    )


def _by(decision: DecisionView) -> str:
    if decision.actor is None:
        return show.clean(decision.rule) or "gateway"
    return show.clean(decision.actor.name) or f"uid {decision.actor.uid}"
