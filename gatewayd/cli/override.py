"""`gatewayd override`: a person holds a point, for a time and a reason, and hands it back."""

from __future__ import annotations

import math

import click

from gatewayd.cli import show
from gatewayd.cli.client import Client, path_of
from gatewayd.cli.duration import Duration
from gatewayd.cli.session import Session, json_option, pass_session, reason_option
from gatewayd.model.view import (
    OVERRIDE_S_MAX,
    ClearRequest,
    OverrideAnswer,
    OverrideList,
    OverrideRequest,
    OverrideView,
)

_HEAD = ("ID", "POINT", "VALUE", "BY", "SET", "ENDS IN", "REASON")


@click.group()
def override() -> None:
    """Hold a point by hand, for a time and a reason. Limits, interlocks and rates still apply."""


@override.command("set", context_settings={"ignore_unknown_options": True})
@click.argument("point")
@click.argument("value", type=float)
@click.option("--for", "duration_s", required=True, type=Duration(), help="How long: 90s, 30m, 1h30m.")
@reason_option
@json_option
@pass_session
def set_(session: Session, point: str, value: float, *, duration_s: float, reason: str, as_json: bool) -> None:
    """Hold POINT at VALUE, then hand it back by itself.

    \b
    Examples:
      gatewayd override set pump_1.speed_sp 40 --for 30m --reason "bearing check"
      gatewayd override set inlet.valve 0 --for 1h --reason "work order 4711" --json
    """
    if not math.isfinite(value):
        raise click.BadParameter("a point is held at a number", param_hint="VALUE")
    if not 1 <= duration_s <= OVERRIDE_S_MAX:
        raise click.BadParameter(f"an override lasts 1 s to {OVERRIDE_S_MAX // 3600} h", param_hint="--for")
    if not 3 <= len(point) <= 130:
        raise click.BadParameter("a point is written asset.member, e.g. pump_1.speed_sp", param_hint="POINT")
    request = OverrideRequest(point=point, value=value, duration_s=duration_s, reason=reason)
    raw, found = Client(session.socket_path).ask(OverrideAnswer, "POST", path_of("overrides"), request)
    click.echo(raw if as_json else _told(found))


@override.command()
@click.argument("point")
@reason_option
@json_option
@pass_session
def clear(session: Session, point: str, *, reason: str, as_json: bool) -> None:
    """Hand POINT back to policy before its time.

    \b
    Example:
      gatewayd override clear pump_1.speed_sp --reason "bearing is fine"
    """
    target = path_of("overrides", point)
    raw, found = Client(session.socket_path).ask(OverrideAnswer, "DELETE", target, ClearRequest(reason=reason))
    click.echo(raw if as_json else _told(found))


@override.command("list")
@json_option
@pass_session
def list_(session: Session, *, as_json: bool) -> None:
    """List the overrides that hold now, oldest first.

    \b
    Example:
      gatewayd override list
    """
    raw, found = Client(session.socket_path).ask(OverrideList, "GET", path_of("overrides"))
    if as_json:
        click.echo(raw)
    elif found.overrides:
        click.echo(show.table(_HEAD, [_row(held, found.now_ns) for held in found.overrides], right=(0, 2)))
    else:
        click.echo("No override holds a point.")


def _row(held: OverrideView, now_ns: int) -> tuple[str, ...]:
    return (
        str(held.id),
        show.clean(held.point),
        show.number(held.value, held.units),
        show.clean(held.by.name) or f"uid {held.by.uid}",
        show.ago(held.since_ns, now_ns),
        show.span(held.remaining_s),
        show.clean(held.reason),
    )


def _told(found: OverrideAnswer) -> str:
    lines = [show.clean(found.message)]
    if found.override is not None:
        lines.append(f"Ends in {show.span(found.override.remaining_s)}, {show.at(found.override.expires_ns)}.")
    if found.decision_id:
        lines.append(show.faint(f"See `gatewayd decisions explain {found.decision_id}`."))
    return "\n".join(lines)
