"""`gatewayd device probe`: read everything of one device once, then ask it about itself. Nothing is written to it."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import click
import msgspec

from gatewayd.cli import show
from gatewayd.cli.interrupt import run_to_end
from gatewayd.cli.probe_survey import readable_register, survey
from gatewayd.cli.progress import Progress
from gatewayd.cli.session import json_option
from gatewayd.cli.site_names import require_device, site_and_device
from gatewayd.clock import Clock, SystemClock
from gatewayd.compiled import load_kernels
from gatewayd.core.site import Digests, Site, compile_site
from gatewayd.core.state import State
from gatewayd.core.step import bind, step
from gatewayd.device.build import build_link, plan_reads
from gatewayd.device.link import Link
from gatewayd.errors import DeviceError, GatewayError, UnitsLost
from gatewayd.model import quality
from gatewayd.model.block import WIRE_BYTES, Block, Codec, PlanRow, ReadPlan
from gatewayd.model.config import SiteConfig
from gatewayd.model.decision import Inputs
from gatewayd.model.device import Device, ModbusSerialDevice, OpcuaDevice
from gatewayd.model.probe_view import ProbeRequest, ProbeSurvey, ProbeTag, ProbeView
from gatewayd.model.view import number


@click.command()
@site_and_device
@click.option("--quick", is_flag=True, help="Only read every request once; do not look for identity and limits.")
@json_option
def probe(directory: Path, name: str, *, quick: bool, as_json: bool) -> int:
    """Connect to DEVICE of the site in DIR, read every request once, show latency, raw bytes, values and quality.

    Then find out who it says it is, how fast it answers and what it takes: registers in one request, requests at once,
    the limits of an OPC UA server and the offset of its clock; and suggest configuration keys.

    Nothing is written. Values are decoded by the same kernels as in the daemon. Some devices allow one connection only:
    stop the daemon first if this one refuses.

    \b
    Examples:
      gatewayd device probe config/ plc1
      gatewayd device probe config/ plc1 --quick
      gatewayd device probe /etc/gatewayd pump_plc --json
    """
    config, _ = require_device(directory, name)
    progress = Progress(SystemClock(), is_on=not as_json)
    found: list[ProbeView] = []
    ending = run_to_end(_probe(config, name, found, progress, is_quick=quick))
    progress.end()
    if not found:  # Ctrl-C before anything was read
        ending.tell()
        return ending.exit_code
    click.echo(msgspec.json.encode(found[-1]) if as_json else _page(found[-1]))
    if ending.exit_code:
        ending.tell()
        return ending.exit_code
    return 1 if found[-1].error else 0


@dataclass
class _Heard:
    """What a device said, until it stopped answering."""

    connect_ms: float | None = None
    requests: list[ProbeRequest] = field(default_factory=list)
    blocks: dict[int, Block] = field(default_factory=dict)  # plan -> its answer
    failure: GatewayError | None = None


async def _probe(config: SiteConfig, name: str, found: list[ProbeView], progress: Progress, *, is_quick: bool) -> None:
    """Append what a quick look gives, then the same with the survey."""
    clock = SystemClock()
    progress.say("reading every request once")
    kernels = load_kernels()
    site = compile_site(config, plan_reads=plan_reads, digests=Digests(b"", b"", b""))
    plans = [plan for plan in site.plans if plan.device == name]
    folder, identity_folder = Path(config.folder), Path(config.gateway.storage.path) / "identity"
    link = build_link(
        config.devices[name],
        [(tag.row, tag.config) for tag in site.tags if tag.device == name],
        plans,
        clock=clock,
        folder=folder,
        identity_folder=identity_folder,
    )
    heard = await _listen(link, plans, clock)
    state = State(site, kernels, now_mono_ns=clock.monotonic_ns())
    inputs = Inputs(1, clock.wall_ns(), clock.monotonic_ns(), blocks=tuple(heard.blocks.values()))
    step(state, site, bind(kernels, state), inputs)  # its effects go nowhere: a probe writes nothing
    look = ProbeView(
        device=name,
        protocol=_protocol(config.devices[name]),
        address=_address(config.devices[name], plans),
        connect_ms=heard.connect_ms,
        error=heard.failure.message if heard.failure else "",
        remedy=heard.failure.remedy if heard.failure else "",
        requests=tuple(heard.requests),
        tags=_tags(site, state, name, heard.blocks),
    )
    found.append(look)
    if heard.connect_ms is not None and not is_quick:
        surveyed = await survey(
            config.devices[name],
            readable_register(config.devices[name], plans, heard.blocks),
            clock=clock,
            folder=folder,
            identity_folder=identity_folder,
            progress=progress.say,
        )
        found.append(msgspec.structs.replace(look, survey=surveyed))


async def _listen(link: Link, plans: Sequence[ReadPlan], clock: Clock) -> _Heard:
    heard = _Heard()
    has_units = len({plan.unit for plan in plans}) > 1
    began_ns = clock.monotonic_ns()
    try:
        await link.connect()
        heard.connect_ms = (clock.monotonic_ns() - began_ns) / 1e6
        for plan in plans:
            await _ask(link, plan, heard, clock, has_units=has_units)
    except DeviceError as error:
        heard.failure = error
    finally:
        await link.close()
    return heard


async def _ask(link: Link, plan: ReadPlan, heard: _Heard, clock: Clock, *, has_units: bool) -> None:
    began_ns = clock.monotonic_ns()
    with contextlib.suppress(UnitsLost):  # the request's quality says it, and the next unit may answer
        await link.scan([plan], lambda blocks: heard.blocks.update({block.plan: block for block in blocks}))
    block = heard.blocks.get(plan.index)
    heard.requests.append(
        ProbeRequest(
            scan_class=plan.scan_class,
            request=_request(plan, has_units=has_units),
            tags=len(plan.rows),
            latency_ms=(clock.monotonic_ns() - began_ns) / 1e6,
            quality=quality.name(quality.BAD_NO_COMMUNICATION if block is None else block.status),
        )
    )


def _request(plan: ReadPlan, *, has_units: bool) -> str:
    """Return a request as people know it, e.g. `FC 3, 40 from 100, unit 7`, or the number of nodes."""
    if plan.codec in (Codec.MODBUS_REGISTERS, Codec.MODBUS_BITS):
        function, start, count = plan.request
        return f"FC {function}, {count} from {start}" + (f", unit {plan.unit}" if has_units else "")
    return f"Read {len(plan.request)} nodes"


def _protocol(configured: Device) -> str:
    return str(type(configured).__struct_config__.tag)


def _address(configured: Device, plans: Sequence[ReadPlan]) -> str:
    if isinstance(configured, OpcuaDevice):
        return configured.endpoint
    units = sorted({plan.unit for plan in plans})
    asked = f"unit{'s' if len(units) > 1 else ''} {', '.join(map(str, units))}"
    if isinstance(configured, ModbusSerialDevice):
        parity = configured.parity[0].upper()
        mode = f"{configured.baud_rate} {configured.data_bits}{parity}{configured.stop_bits}"
        return f"{configured.serial_port}, {mode}, {asked}"
    return f"{configured.host}:{configured.port}, {asked}"


def _tags(site: Site, state: State, name: str, blocks: Mapping[int, Block]) -> tuple[ProbeTag, ...]:
    raw = {
        row.row: _raw(row, block)
        for plan in site.plans
        if (block := blocks.get(plan.index)) is not None
        for row in plan.rows
    }
    value, status = state.column("tag.value"), state.column("tag.status")
    return tuple(
        ProbeTag(
            name=tag.name,
            raw=raw.get(tag.row, ""),
            value=None if tag.config.type == "string" else number(value[tag.row]),
            quality=quality.name(status[tag.row]),
            units=tag.units,
        )
        for tag in site.tags
        if tag.device == name
    )


def _raw(row: PlanRow, block: Block) -> str:
    if block.codec is Codec.MODBUS_BITS:
        return f"bit {block.payload[row.offset] >> row.bit & 1}" if row.offset < len(block.payload) else ""
    if block.codec is Codec.MODBUS_REGISTERS:
        return block.payload[row.offset : row.offset + WIRE_BYTES.get(row.type, row.length)].hex(" ", 2)
    return ""  # an OPC UA value has no place of its own in the answer


def _page(found: ProbeView) -> str:
    link = show.state("lost") if found.connect_ms is None else f"{show.state('connected')} in {found.connect_ms:.1f} ms"
    parts = [f"{show.heading(found.device)}   {found.protocol}   {show.clean(found.address)}   {link}"]
    if found.error:
        parts += [click.style("Error: ", fg="red", bold=True) + show.clean(found.error), f"Remedy: {found.remedy}"]
    if found.requests:
        asked = [
            (one.scan_class, one.request, str(one.tags), f"{one.latency_ms:.1f} ms", show.state(one.quality))
            for one in found.requests
        ]
        parts += ["", show.table(("SCAN CLASS", "REQUEST", "TAGS", "LATENCY", "QUALITY"), asked, right=(2, 3))]
    rows = [
        (show.clean(tag.name), tag.raw, show.number(tag.value, tag.units), show.state(tag.quality))
        for tag in found.tags
    ]
    parts += ["", show.table(("TAG", "RAW", "VALUE", "QUALITY"), rows, right=(2,))]
    return "\n".join(parts + (_survey_page(found.survey) if found.survey else []))


def _survey_page(found: ProbeSurvey) -> list[str]:
    facts = [(key, show.clean(text)) for key, text in found.identity.items()]
    if found.latency_median_ms is not None:
        spread = f"{found.latency_min_ms:.1f} / {found.latency_median_ms:.1f} / {found.latency_max_ms:.1f} ms"
        facts.append(("latency", f"{spread} (min / median / max)"))
    if found.clock_offset_ms is not None:
        facts.append(
            ("clock", f"{found.clock_offset_ms:+.1f} ms from ours, give or take {found.clock_uncertainty_ms:.1f}")
        )
    facts += [(key, show.clean(str(limit))) for key, limit in found.limits.items()]
    parts = ["", show.heading("What it says and takes"), show.pairs(facts)] if facts else []
    if found.suggested:
        keys = [f"  {key} = {value}" for key, value in found.suggested.items()]
        parts += ["", show.heading("Suggested for its file in devices/"), *keys]
    if found.problem:
        parts += ["", f"Not found out: {show.clean(found.problem)}"]
    return parts
