"""`gatewayd device record` and `play`: a device's traffic in a file, and a simulator made of it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from gatewayd.cli.duration import Duration
from gatewayd.cli.session import json_option
from gatewayd.cli.site_names import site_and_device

if TYPE_CHECKING:
    from gatewayd.cli.progress import Progress
    from gatewayd.device.link import Link
    from gatewayd.device.modbus.player import Player
    from gatewayd.device.recording import Recording, RecordingWriter
    from gatewayd.model.block import ReadPlan
    from gatewayd.model.config import SiteConfig
    from gatewayd.model.device import ModbusTcpDevice

RETRY_NS = 1_000_000_000
_FILE = click.Path(path_type=Path, dir_okay=False)


@click.command()
@site_and_device
@click.option("--to", "path", required=True, type=_FILE, metavar="FILE", help="Where to; it must not exist yet.")
@click.option("--for", "duration_s", type=Duration(), default="60s", show_default=True, help="How long: 90s, 30m.")
@json_option
def record(directory: Path, name: str, *, path: Path, duration_s: float, as_json: bool) -> int:
    """Poll DEVICE of the site in DIR as configured and keep its traffic in FILE: requests, responses and times.

    Modbus TCP only: an OPC UA session is encrypted for one server and one moment, so its bytes cannot be served again.
    Ctrl-C ends it early; what was recorded is kept. Stop the daemon first if the device allows one connection only.

    \b
    Examples:
      gatewayd device record config/ plc_1 --to plc_1.rec
      gatewayd device record config/ plc_1 --to plc_1.rec --for 10m --json
    """
    from gatewayd.cli.interrupt import run_to_end
    from gatewayd.cli.progress import Progress
    from gatewayd.cli.site_names import require_device
    from gatewayd.clock import SystemClock
    from gatewayd.device.recording import Header, RecordingWriter
    from gatewayd.errors import ConfigError
    from gatewayd.model.device import ModbusTcpDevice, OpcuaDevice
    from gatewayd.version import __version__

    config, device = require_device(directory, name)
    if not isinstance(device, ModbusTcpDevice):
        is_opcua = isinstance(device, OpcuaDevice)
        why = (
            "an OPC UA session is encrypted for one server and one moment" if is_opcua else "only Modbus TCP is tapped"
        )
        raise ConfigError(
            f"{name} cannot be recorded: {why}",
            remedy="Record a Modbus TCP device; `gatewayd device browse --json` keeps an OPC UA server's nodes and values.",
        )
    clock = SystemClock()
    header = Header(name, "modbus", clock.wall_ns(), f"gatewayd {__version__}")
    progress = Progress(clock, is_on=not as_json)
    try:
        file = path.open("xb")
    except OSError as error:
        raise ConfigError(f"{path} cannot be written: {error.strerror}", remedy="Choose another FILE.") from error
    with file:
        writer = RecordingWriter(file, header)
        ending = run_to_end(_record(config, device, writer, duration_s, progress))
    progress.end()
    told = {"file": str(path), "exchanges": writer.exchanges, "bytes": writer.size, "full": writer.is_full}
    if as_json:
        import json

        click.echo(json.dumps({**told, **ending.fields()}))
    else:
        full = "; the file is full, the rest was left out" if writer.is_full else ""
        click.echo(f"{path}: {writer.exchanges} exchanges, {writer.size} bytes{full}")
        ending.tell()
    return ending.exit_code or (0 if writer.exchanges else 1)


async def _record(
    config: SiteConfig, device: ModbusTcpDevice, writer: RecordingWriter, duration_s: float, progress: Progress
) -> None:
    """Poll through a tap until the time is over; raise the device's error if it never answered."""
    import asyncio

    import msgspec

    from gatewayd.clock import SystemClock
    from gatewayd.core.site import Digests, compile_site
    from gatewayd.device.build import build_link, plan_reads
    from gatewayd.device.modbus.loopback import HOST
    from gatewayd.device.modbus.tap import Tap

    clock = SystemClock()
    site = compile_site(config, plan_reads=plan_reads, digests=Digests(b"", b"", b""))
    plans = [plan for plan in site.plans if plan.device == device.name]
    tags = [(tag.row, tag.config) for tag in site.tags if tag.device == device.name]
    tap = Tap(device.host, device.port, clock, writer.add)
    aside = msgspec.structs.replace(device, host=HOST, port=await tap.start())
    link = build_link(aside, tags, plans, clock=clock, folder=Path(), identity_folder=Path())
    try:
        async with asyncio.timeout(duration_s):
            await _poll(link, plans, device, writer, progress)
    except TimeoutError:
        pass  # the time is over
    finally:
        await link.close()
        await tap.close()


async def _poll(
    link: Link, plans: list[ReadPlan], device: ModbusTcpDevice, writer: RecordingWriter, progress: Progress
) -> None:
    from gatewayd.clock import SystemClock
    from gatewayd.errors import DeviceError
    from gatewayd.sense.schedule import ScanSchedule

    clock = SystemClock()
    periods_ns = {name: scan.scan_rate_ms * 1_000_000 for name, scan in device.scan_classes.items()}
    schedule = ScanSchedule(periods_ns, plans, start_mono_ns=clock.monotonic_ns())
    while not writer.is_full:
        progress.say(f"{writer.exchanges} exchanges, {writer.size} bytes; Ctrl-C ends it")
        try:
            await link.connect()
            if due := schedule.take_due(clock.monotonic_ns()):
                await link.scan(due, lambda _: None)
            await clock.sleep_until(schedule.next_due_ns)
        except DeviceError:
            if not writer.exchanges:
                raise
            await clock.sleep_until(clock.monotonic_ns() + RETRY_NS)


@click.command()
@click.argument("path", metavar="FILE", type=_FILE)
@click.option("--port", type=click.IntRange(0, 65_535), default=0, help="Where to listen; default any free port.")
@json_option
def play(path: Path, *, port: int, as_json: bool) -> int:
    """Serve a recording as a simulated device on 127.0.0.1, until Ctrl-C.

    Each recorded request gets its recorded responses in their order, over and over; others get exception 2.

    \b
    Examples:
      gatewayd device play plc_1.rec
      gatewayd device play plc_1.rec --port 1502 --json
    """
    from gatewayd.cli.interrupt import run_to_end
    from gatewayd.device.modbus.player import Player
    from gatewayd.device.recording import read_recording
    from gatewayd.errors import ConfigError

    recording = read_recording(path)
    if not recording.exchanges:
        raise ConfigError(f"{path} holds no exchange", remedy="Record again, for longer, with the device on.")
    player = Player(recording.exchanges)
    ending = run_to_end(_serve(path, recording, player, port, as_json=as_json))
    if ending.error is not None:
        raise ending.error
    counts = {"answered": player.answered, "unknown": player.unknown}
    if as_json:
        import json

        click.echo(json.dumps(counts))
    else:
        click.echo(f"{player.answered} requests answered, {player.unknown} not in the recording")
    return ending.exit_code


async def _serve(path: Path, recording: Recording, player: Player, port: int, *, as_json: bool) -> None:
    import asyncio
    import json

    from gatewayd.device.modbus.loopback import HOST, LoopbackServer
    from gatewayd.errors import ConfigError

    server = LoopbackServer(player.answer)
    try:
        bound = await server.start(port)
    except OSError as error:
        raise ConfigError(
            f"port {port} cannot be used: {error.strerror}", remedy="Choose another --port; below 1024 needs root."
        ) from error
    told = {
        "host": HOST,
        "port": bound,
        "device": recording.header.device,
        "units": player.units,
        "requests": player.requests,
        "exchanges": len(recording.exchanges),
        "cut_short": recording.is_cut_short,
    }
    if as_json:
        click.echo(json.dumps(told))
    else:
        cut = "; the file ends inside a frame, the rest is served" if recording.is_cut_short else ""
        units = ", ".join(map(str, player.units))
        click.echo(f"{path}: {recording.header.device}, unit {units}, {player.requests} different requests{cut}")
        click.echo(f"Serving on {HOST}:{bound}; Ctrl-C ends it.")
    try:
        await asyncio.Event().wait()
    finally:
        await server.close()
