"""`gatewayd device scan`: which units answer on a bus, or which endpoints an OPC UA server has. Reads only."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, TypedDict, Unpack

import click

from gatewayd.cli.session import json_option

if TYPE_CHECKING:
    from gatewayd.cli.progress import Progress
    from gatewayd.device.modbus.asking import Asker
    from gatewayd.device.modbus.scan import FoundUnit, Scan

_HEAD = ("UNIT", "LATENCY", "ANSWER", "IDENTIFICATION")


def _units(ctx: click.Context, param: click.Parameter, value: str) -> tuple[int, ...]:
    from gatewayd.device.modbus.scan import parse_units

    try:
        return parse_units(value)
    except ValueError as error:
        raise click.BadParameter(str(error), ctx, param) from error


def _numbers(ctx: click.Context, param: click.Parameter, value: str) -> tuple[int, ...]:
    from typing import get_args, get_type_hints

    from gatewayd.model.device import ModbusSerialDevice

    rates = get_args(get_type_hints(ModbusSerialDevice)["baud_rate"])
    parts = value.split(",")
    if any(not part.strip().isdecimal() or int(part) not in rates for part in parts):
        raise click.BadParameter(f"{value!r}: the rates are {', '.join(map(str, rates))}", ctx, param)
    return tuple(int(part) for part in parts)


def _parities(ctx: click.Context, param: click.Parameter, value: str) -> tuple[str, ...]:
    parts = tuple(part.strip() for part in value.split(","))
    if not set(parts) <= {"none", "even", "odd"}:
        raise click.BadParameter(f"{value!r}: write none, even, odd, or several with commas", ctx, param)
    return parts


class Options(TypedDict):
    """What the command line says beside the place."""

    serial: str | None
    baud: tuple[int, ...]
    parity: tuple[str, ...]
    units: tuple[int, ...]
    timeout_ms: int
    save: Path | None
    no_identify: bool
    as_json: bool


@click.command()
@click.argument("where", metavar="[HOST[:PORT]|opc.tcp://HOST:PORT]", required=False)
@click.option(
    "--serial",
    metavar="PORT",
    type=click.Path(exists=True, dir_okay=False, resolve_path=True),
    help="A serial bus instead, e.g. /dev/ttyUSB0; RTU, 8 data bits.",
)
@click.option(
    "--baud", default="19200,9600", show_default=True, callback=_numbers, metavar="LIST", help="Rates to try in turn."
)
@click.option(
    "--parity", default="even,none", show_default=True, callback=_parities, metavar="LIST", help="Parities to try."
)
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
def scan(where: str | None, **options: Unpack[Options]) -> int:
    """Ask each unit id for one holding register and list those that answer; an exception is an answer too.

    On a serial bus the settings are tried in turn; the first at which anybody answers ends the search. Of an OPC UA
    server list the endpoints, security policies and the certificate it shows.

    Nothing is written. Ctrl-C prints what was found so far. Exit code 1 if nothing answers.

    \b
    Examples:
      gatewayd device scan 192.0.2.7
      gatewayd device scan 192.0.2.7:502 --units 1-32 --timeout-ms 1500
      gatewayd device scan --serial /dev/ttyUSB0 --baud 9600,19200 --parity none,even --timeout-ms 150
      gatewayd device scan opc.tcp://192.0.2.8:4840 --save-certificate server.der
    """
    if (where is None) == (options["serial"] is None):
        raise click.UsageError("name HOST, opc.tcp://HOST:PORT, or --serial PORT")
    if where is not None and where.startswith("opc.tcp://"):
        from gatewayd.cli.device_endpoints import scan_endpoints

        return scan_endpoints(where, options["timeout_ms"], save=options["save"], as_json=options["as_json"])
    return _scan(_askers(where, options), options)


def _askers(where: str | None, options: Options) -> list[Asker]:
    """Return the one place to ask at, or the serial port with each of its settings."""
    from gatewayd.clock import SystemClock
    from gatewayd.device.modbus.asking import LineAsker, TcpAsker

    if where is not None:
        return [TcpAsker(*host_and_port(where), options["timeout_ms"])]
    import msgspec

    from gatewayd.model.device import ModbusSerialDevice

    settings = [(baud, parity) for baud in options["baud"] for parity in options["parity"]]
    table = {"protocol": "modbus-rtu", "name": "scan", "serial_port": options["serial"], "retries": 0}
    return [
        LineAsker(
            msgspec.convert(
                {**table, "timeout_ms": options["timeout_ms"], "baud_rate": baud, "parity": parity}, ModbusSerialDevice
            ),
            SystemClock(),
            Path(),
        )
        for baud, parity in settings
    ]


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


def _scan(askers: list[Asker], options: Options) -> int:
    from gatewayd.cli.interrupt import run_to_end
    from gatewayd.cli.progress import Progress
    from gatewayd.clock import SystemClock

    progress = Progress(SystemClock(), is_on=not options["as_json"])
    scans: list[Scan] = []
    ending = run_to_end(_run(askers, options, scans, progress))
    progress.end()
    found = [unit for each in scans for unit in each.found]
    asked = sum(each.asked for each in scans)
    note = "Every unit id gave the same answer: this device does not look at it, so it is one device, not many."
    notes = [note] if any(each.ignores_unit_ids for each in scans) else []
    where = found[0].bus if found else ", ".join(asker.name for asker in askers[: len(scans)])
    if options["as_json"]:
        import msgspec

        answer = {"bus": where, "asked": asked, "found": found, "notes": notes}
        click.echo(msgspec.json.encode({**answer, **ending.fields()}))
    else:
        click.echo(_page(where, asked, found, notes))
        ending.tell()
    return ending.exit_code or (0 if found else 1)


async def _run(askers: list[Asker], options: Options, scans: list[Scan], progress: Progress) -> None:
    """Scan with one setting after the other, until somebody answers."""
    from gatewayd.clock import SystemClock
    from gatewayd.device.modbus.scan import Scan

    units = options["units"]
    for asker in askers:
        scanning = Scan(asker, SystemClock(), identify=not options["no_identify"])
        scans.append(scanning)

        def tell(unit_id: int, found: int, at: Scan = scanning, name: str = asker.name) -> None:
            progress.say(f"{name}: unit {unit_id} ({at.asked + 1} of {len(units)}), {found} found")

        await scanning.run(units, tell)
        if scanning.found:
            return


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
