"""`gatewayd device write --dry-run`: what a write would be. No tool writes around the journal (P-JOURNAL, P-LIMIT)."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from gatewayd.cli.session import json_option
from gatewayd.cli.site_names import site_and_device

if TYPE_CHECKING:
    from gatewayd.device.dry_run import DryRun
    from gatewayd.model.config import Point, SiteConfig
    from gatewayd.model.device import Device, Tag


@click.command(context_settings={"ignore_unknown_options": True})
@site_and_device
@click.argument("tag_name", metavar="TAG")
@click.argument("value", type=float)
@click.option("--dry-run", is_flag=True, help="Show what would be sent; needed, because nothing else is done here.")
@json_option
def write(directory: Path, name: str, tag_name: str, value: float, *, dry_run: bool, as_json: bool) -> int:
    """Show what writing VALUE to TAG of DEVICE would send, what would be read back, and the limits of the point.

    Nothing is sent to the device, with or without --dry-run: writes go through the daemon, which journals each before it
    acts and keeps the point's limits. Exit code 1 if the value does not fit or is outside the limits.

    \b
    Examples:
      gatewayd device write config/ plc_1 pump_1_speed_sp 42.5 --dry-run
      gatewayd device write config/ scada_1 inlet_valve_position_sp 60 --dry-run --json
    """
    import asyncio

    from gatewayd.cli.site_names import require_device
    from gatewayd.errors import ConfigError, RequestRefused
    from gatewayd.site.problem import nearest

    config, device = require_device(directory, name)
    tags = {tag.name: tag for tag in config.tags[name]}
    if tag_name not in tags:
        near = nearest(tag_name, tags)
        raise ConfigError(
            f"{name} has no tag {tag_name!r}", remedy=f"Did you mean {near}?" if near else "See its tag list."
        )
    points = _points(config, name, tag_name)
    if not dry_run:
        point = points[0].tag if points else "ASSET.MEMBER"
        raise RequestRefused(
            f"{name}/{tag_name} was not written: no tool writes around the journal and the limits of a point",
            remedy=f'Use `gatewayd override set {point} {value:g} --for 10m --reason "..."`; --dry-run shows the request.',
        )
    found = asyncio.run(_dry_run(device, tags[tag_name], value))
    verdict = _verdict(points, value, found.reads_back)
    if as_json:
        _print_json(f"{name}/{tag_name}", value, found, points, verdict)
    else:
        click.echo(_page(f"{name}/{tag_name}", tags[tag_name], value, found, points))
        click.echo(verdict)
    return 0 if points and _is_inside(points, value) else 1


async def _dry_run(device: Device, tag: Tag, value: float) -> DryRun:
    from gatewayd.clock import SystemClock
    from gatewayd.device.dry_run import dry_run_modbus, dry_run_opcua
    from gatewayd.errors import DeviceRefused
    from gatewayd.model import quality
    from gatewayd.model.device import ModbusDevice, ModbusTag, OpcuaTag

    if tag.access == "r":
        raise DeviceRefused(
            f"{device.name}/{tag.name} is not writable, its access is r",
            remedy="Set access = rw in the tag list if the gateway may write it.",
            status=quality.BAD_NOT_SUPPORTED,
            code=0,
        )
    if isinstance(tag, OpcuaTag):
        return dry_run_opcua(tag, value)
    assert isinstance(device, ModbusDevice)
    assert isinstance(tag, ModbusTag)
    return await dry_run_modbus(device, tag, value, SystemClock())


def _points(config: SiteConfig, device: str, tag: str) -> list[Point]:
    members = {
        f"{asset_name}.{member}"
        for asset_name, asset in config.assets.items()
        for member, target in asset.tags.items()
        if target == f"{device}/{tag}"
    }
    return [point for point in config.points if point.tag in members]


def _is_inside(points: list[Point], value: float) -> bool:
    from gatewayd.model.config import missing_guards

    return all(
        not missing_guards(point)
        and isinstance(point.write_min, float)
        and isinstance(point.write_max, float)
        and point.write_min <= value <= point.write_max
        for point in points
    )


def _verdict(points: list[Point], value: float, reads_back: float) -> str:
    from gatewayd.model.config import missing_guards

    if not points:
        return "No point is declared over this tag, so the daemon never writes it: add a [[point]] in policies/."
    for point in points:
        if missing := missing_guards(point):
            return f"{point.tag} lacks {', '.join(missing)}: it is read-only."
    if not _is_inside(points, value):
        return f"{value:g} is outside the limits of {points[0].tag}: the daemon would not write it."
    close = "" if reads_back == value else f" It would read back as {reads_back!r}."
    return f"{value:g} is inside the limits of {points[0].tag}; interlocks and rates are judged at the time.{close}"


def _guards(point: Point) -> dict[str, object]:
    import msgspec

    shown = msgspec.structs.asdict(point)
    return {key: value for key, value in shown.items() if key != "tag" and value is not msgspec.UNSET and value != ""}


def _print_json(name: str, value: float, found: DryRun, points: list[Point], verdict: str) -> None:
    import msgspec

    answer = {
        "tag": name,
        "value": value,
        "sent": False,
        "writes": found.writes,
        "reads_back": found.reads_back,
        "points": [{"point": point.tag, **_guards(point)} for point in points],
        "verdict": verdict,
    }
    click.echo(msgspec.json.encode(answer))


def _page(name: str, tag: Tag, value: float, found: DryRun, points: list[Point]) -> str:
    from gatewayd.cli import show
    from gatewayd.model.config import missing_guards

    parts = [f"{show.heading(show.clean(name))} = {show.number(value, tag.units)}   {show.faint('not sent')}"]
    parts += ["", show.table(("REQUEST", "BYTES"), [(show.clean(one.request), one.data) for one in found.writes])]
    parts.append(f"Would read back as {show.number(found.reads_back, tag.units)}.")
    for point in points:
        rows = [(key, show.clean(_said(guard))) for key, guard in _guards(point).items()]
        rows += [(key, click.style("missing", fg="red")) for key in missing_guards(point)]
        parts += ["", show.heading(f"Point {show.clean(point.tag)}"), show.pairs(rows)]
    return "\n".join([*parts, ""])


def _said(guard: object) -> str:
    if isinstance(guard, dict):
        return "; ".join(f"{name}: {expression}" for name, expression in guard.items()) or "none"
    return f"{guard:g}" if isinstance(guard, float) else str(guard)
