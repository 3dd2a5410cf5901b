"""`gatewayd decisions`: what was decided and why."""

from __future__ import annotations

from pathlib import Path

import click
import msgspec

from gatewayd.cli import explanation, show
from gatewayd.cli.client import Client, path_of
from gatewayd.cli.decisions_retain import list_retained, release, retain
from gatewayd.cli.moment import Moment
from gatewayd.cli.session import Session, json_option, pass_session
from gatewayd.errors import ConfigError
from gatewayd.model.view import DecisionDetail, DecisionList, DecisionView, Explanation

_HEAD = ("ID", "WHEN", "POINT", "FROM", "TO", "OUTCOME", "BY", "REASONS")
_IDS = click.IntRange(min=1)


@click.group()
def decisions() -> None:
    """List, show and explain decisions."""


decisions.add_command(retain)
decisions.add_command(release)


@decisions.command("list")
@click.option("--limit", type=click.IntRange(1, 1_000), default=20, show_default=True, help="At most so many.")
@click.option("--since", type=Moment(), metavar="TIME", help="Not earlier: 2h (ago) or 2026-11-28T06:00.")
@click.option("--until", type=Moment(), metavar="TIME", help="Not later.")
@click.option("--point", default="", metavar="POINT", help="Only decisions on this point, e.g. pump_1.speed_sp.")
@click.option("--asset", default="", metavar="ASSET", help="Only decisions on points of this asset, e.g. pump_1.")
@click.option("--tag", default="", metavar="TAG", help="Only decisions that read this tag.")
@click.option("--rule", default="", metavar="RULE", help="Only decisions of this rule, e.g. pump_1/bearing-hot.")
@click.option("--actor", default="", metavar="USER", help="Only decisions that this user asked for: a name or a uid.")
@click.option("--before", type=_IDS, default=None, metavar="ID", help="Only decisions older than this one.")
@click.option("--retained", is_flag=True, help="All whose recorded inputs a person wants kept; with --json alone.")
@json_option
@pass_session
def list_(
    session: Session,
    /,
    *,
    since: int | None,
    until: int | None,
    retained: bool,
    as_json: bool,
    **wanted: str | int | None,
) -> None:
    """List decisions, newest first. All that is asked for must hold.

    \b
    Examples:
      gatewayd decisions list
      gatewayd decisions list --point pump_1.speed_sp --limit 50
      gatewayd decisions list --rule pump_1/bearing-hot --since 7d
      gatewayd decisions list --actor ana --until 2026-11-28T06:00
      gatewayd decisions list --before 1200
      gatewayd decisions list --retained
    """
    if retained:
        if since is not None or until is not None or any(wanted[name] for name in wanted if name != "limit"):
            raise click.UsageError("--retained lists all that is retained; it goes with --json alone")
        list_retained(session, as_json=as_json)
        return
    target = path_of("decisions", since_ns=since, until_ns=until, **wanted)
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
@click.option(
    "--html",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE",
    help="Write one page with a trend of the tags: works offline, and printed.",
)
@json_option
@pass_session
def explain(session: Session, decision_id: int, *, storage: Path | None, html: Path | None, as_json: bool) -> None:
    """Explain one decision from the samples it read to the value read back.

    \b
    Examples:
      gatewayd decisions explain 41
      gatewayd decisions explain 41 --storage /var/lib/gatewayd
      gatewayd decisions explain 41 --html decision-41.html
    """
    with_trend = as_json or html is not None
    if storage is not None:
        raw, found = _stored(storage, decision_id, with_trend=with_trend)
    else:
        raw, found = _asked(session, decision_id, with_trend=with_trend)
    if html is not None:
        _write_page(html, found)
    if as_json or html is None:
        click.echo(raw if as_json else explanation.page(found))


def _write_page(file: Path, found: Explanation) -> None:
    from gatewayd.explain.page import page

    try:
        file.write_text(page(found), encoding="utf-8")
    except OSError as error:
        raise ConfigError(f"{file} cannot be written: {error.strerror}", remedy="Choose another file.") from error
    click.echo(f"Wrote {file}: open it in a browser.", err=True)


def _asked(session: Session, decision_id: int, *, with_trend: bool) -> tuple[bytes, Explanation]:
    target = path_of("decisions", str(decision_id), "explain", trend=1 if with_trend else None)
    return Client(session.socket_path).ask(Explanation, "GET", target)


def _stored(storage: Path, decision_id: int, *, with_trend: bool) -> tuple[bytes, Explanation]:
    """Explain as the daemon would, from the store alone."""
    from gatewayd.compiled import load_kernels
    from gatewayd.explain.gather import Explainer
    from gatewayd.explain.stored import open_journal
    from gatewayd.explain.trend import with_history

    with open_journal(storage) as journal:
        found = Explainer(journal, journal.checkpoint).explain(decision_id, {})
        if found is not None and with_trend:
            found = with_history(journal.store, found, load_kernels())
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
