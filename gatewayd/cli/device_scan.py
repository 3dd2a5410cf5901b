"""`gatewayd device scan`: which units answer on a bus, or which endpoints an OPC UA server has. Reads only."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from gatewayd.cli.session import json_option

if TYPE_CHECKING:
    from gatewayd.device.modbus.scan import FoundUnit

_HEAD = ("UNIT", "LATENCY", "ANSWER", "IDENTIFICATION")


def _units(ctx: click.Context, param: click.Parameter, value: str) -> tuple[int, ...]:
    from gatewayd.device.modbus.scan import parse_units

    try:
        return parse_units(value)
    except ValueError as error:
        raise click.BadParameter(str(error), ctx, param) from error


@click.command()
@click.argument("where", metavar="HOST[:PORT]|opc.tcp://HOST:PORT")
@click.option(
    "--units", default="1-247", show_default=True, callback=_units, metavar="LIST", help="Unit ids, e.g. 1-20,33."
)
@click.option(
    "--timeout-ms",
    type=click.IntRange(10, 60_000),
    default=500,
    show_default=True,
    help="How long to wait for each unit; behind a serial gateway longer than the gateway's own timeout.",
)
@click.option(
    "--save-certificate",
    "save",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Write the OPC UA server's certificate to FILE, to be compared and then pinned.",
)
@click.option("--no-identify", is_flag=True, help="Do not ask the units who they are (function 43/14).")
@json_option
def scan(
    where: str, *, units: tuple[int, ...], timeout_ms: int, save: Path | None, no_identify: bool, as_json: bool
) -> int:
    """Ask each unit id for one holding register and list those that answer; an exception is an answer too.

    Of an OPC UA server list the endpoints, security policies and the certificate it shows.

    Nothing is written. Ctrl-C prints what was found so far. Exit code 1 if nothing answers.

    \b
    Examples:
      gatewayd device scan 192.0.2.7
      gatewayd device scan 192.0.2.7:502 --units 1-32 --timeout-ms 1500
      gatewayd device scan opc.tcp://192.0.2.8:4840 --save-certificate server.der
    """
    if where.startswith("opc.tcp://"):
        from gatewayd.cli.device_endpoints import scan_endpoints

        return scan_endpoints(where, timeout_ms, save=save, as_json=as_json)
    return _scan_tcp(where, units, timeout_ms, no_identify=no_identify, as_json=as_json)


def host_and_port(where: str, default: int = 502) -> tuple[str, int]:
    """Split HOST[:PORT]; an IPv6 address stands in brackets.

    Raises:
        click.BadParameter: no such place.
    """
    host, bracket, rest = where.removeprefix("[").partition("]") if where.startswith("[") else (where, "", "")
    if not bracket:
        host, colon, port = where.partition(":")
        rest = colon + port
    if not host or not (rest == "" or (rest[0] == ":" and rest[1:].isdecimal() and 0 < int(rest[1:]) < 65_536)):
        raise click.BadParameter(f"{where[:80]!r} is not HOST, HOST:PORT or [IPV6]:PORT")
    return host, int(rest[1:] or default) if rest else default


def _scan_tcp(where: str, units: tuple[int, ...], timeout_ms: int, *, no_identify: bool, as_json: bool) -> int:
    from gatewayd.cli.interrupt import run_to_end
    from gatewayd.cli.progress import Progress
    from gatewayd.clock import SystemClock
    from gatewayd.device.modbus.asking import TcpAsker
    from gatewayd.device.modbus.scan import Scan

    host, port = host_and_port(where)
    clock = SystemClock()
    scanning = Scan(TcpAsker(host, port, timeout_ms), clock, identify=not no_identify)
    progress = Progress(clock, is_on=not as_json)
    ending = run_to_end(
        scanning.run(
            units,
            lambda unit_id, found: progress.say(
                f"unit {unit_id} ({scanning.asked + 1} of {len(units)}), {found} found"
            ),
        )
    )
    progress.end()
    notes = _notes(scanning)
    if as_json:
        import msgspec

        answer = {"bus": f"{host}:{port}", "asked": scanning.asked, "found": scanning.found, "notes": notes}
        click.echo(msgspec.json.encode({**answer, **ending.fields()}))
    else:
        click.echo(_page(f"{host}:{port}", scanning.asked, scanning.found, notes))
        ending.tell()
    return ending.exit_code or (0 if scanning.found else 1)


def _notes(scanning: object) -> list[str]:
    from gatewayd.device.modbus.scan import Scan

    assert isinstance(scanning, Scan)
    if scanning.ignores_unit_ids:
        return ["Every unit id was answered: this device does not look at it, so it is one device, not many."]
    return []


def _page(bus: str, asked: int, found: list[FoundUnit], notes: list[str]) -> str:
    from gatewayd.cli import show

    summary = f"{show.heading(show.clean(bus))}   {len(found)} of {asked} unit ids answer"
    if not found:
        return f"{summary}\nNothing answers: check power, wiring and --timeout-ms; unit ids 0 and 255 are not in 1-247."
    rows = [
        (
            str(unit.unit_id),
            f"{unit.latency_ms:.1f} ms",
            show.clean(unit.answer),
            show.clean(str(unit.identification)) if unit.identification else show.faint("does not say"),
        )
        for unit in found
    ]
    return "\n".join([summary, "", show.table(_HEAD, rows, right=(0, 1)), *(show.faint(note) for note in notes)])
