"""`gatewayd tags`: what the twin holds now, and tag lists from and for other tools."""

from __future__ import annotations

import click
import msgspec

from gatewayd.cli import show
from gatewayd.cli.client import Client, path_of
from gatewayd.cli.session import Session, json_option, pass_session
from gatewayd.cli.tags_exchange import export, import_
from gatewayd.model.detectors import names_in
from gatewayd.model.view import TagList, TagView

_HEAD = ("TAG", "VALUE", "QUALITY", "AGE", "ANOMALY", "DEVICE TAG")


@click.group()
def tags() -> None:
    """List or watch tags; import and export tag lists.

    MATCH is a glob over `asset.member` and `device/tag`; quote it from the shell.
    """


@tags.command("list")
@click.argument("match", default="")
@click.option("--limit", type=click.IntRange(1, 10_000), default=1_000, show_default=True, help="At most so many.")
@json_option
@pass_session
def list_(session: Session, match: str, *, limit: int, as_json: bool) -> None:
    """List tags with value, quality and age.

    \b
    Examples:
      gatewayd tags list
      gatewayd tags list 'pump_1.*'
      gatewayd tags list 'plc1/*' --json
    """
    raw, found = Client(session.socket_path).ask(TagList, "GET", path_of("tags", match=match, limit=limit))
    if as_json:
        click.echo(raw)
        return
    if not found.tags:
        click.echo(f"No tag matches {match!r}. A glob must cover the whole name, e.g. '*{match.strip('*')}*'.")
        return
    click.echo(show.table(_HEAD, [_row(tag, found.now_ns) for tag in found.tags], right=(1, 3)))
    if found.truncated:
        click.echo(show.faint(f"Only the first {limit} are shown; raise --limit or give a narrower match."))


@tags.command()
@click.argument("match", default="")
@click.option(
    "--interval-ms", type=click.IntRange(100, 60_000), default=1_000, show_default=True, help="How often to look."
)
@json_option
@pass_session
def watch(session: Session, match: str, *, interval_ms: int, as_json: bool) -> None:
    """Print tags as they change, until Ctrl-C. With --json one object per line.

    \b
    Examples:
      gatewayd tags watch 'pump_1.*'
      gatewayd tags watch '*level*' --interval-ms 200 --json
    """
    target = path_of("tags", "watch", match=match, interval_ms=interval_ms)
    for line in Client(session.socket_path).lines(target):
        click.echo(line if as_json else _watched(msgspec.json.decode(line, type=TagView)))


def _watched(tag: TagView) -> str:
    name = show.clean(tag.alias or tag.name)
    shown = show.number(tag.value, tag.units) if tag.text is None else show.text(tag.text)
    return f"{show.at(tag.processing_time_ns)[11:23]}  {name:<28} {shown:>16}  {show.state(tag.quality)}{_alarm(tag)}"


def _alarm(tag: TagView) -> str:
    return f"  {click.style(anomaly(tag.anomaly, tag.score), fg='yellow')}" if tag.anomaly else ""


def _row(tag: TagView, now_ns: int) -> tuple[str, ...]:
    age = "-" if not tag.ingest_time_ns else show.span((now_ns - tag.ingest_time_ns) / 1e9)
    return (
        show.clean(tag.alias or tag.name),
        show.number(tag.value, tag.units) if tag.text is None else show.text(tag.text),
        show.state(tag.quality),
        age,
        anomaly(tag.anomaly, tag.score),
        show.clean(tag.name) if tag.alias else "",
    )


def anomaly(mask: int | None, score: float | None) -> str:
    """Return which detectors fired and how strongly, e.g. `ewma+cusum 7.2`; `?` while unknown."""
    if mask is None:
        return "?"
    if mask == 0:
        return "-"
    names = "+".join(names_in(mask)) or f"mask {mask}"
    return names if score is None else f"{names} {score:.1f}"


tags.add_command(import_)
tags.add_command(export)
