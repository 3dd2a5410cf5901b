"""`gatewayd device read`: some registers as every number they could be, or one OPC UA node."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from gatewayd.cli.session import json_option

if TYPE_CHECKING:
    from gatewayd.cli.places import ModbusPlace
    from gatewayd.device.modbus.interpret import Candidate
    from gatewayd.device.opcua.inspect import NodeReading
    from gatewayd.model.device import OpcuaDevice

_TYPES = ("int16", "uint16", "int32", "uint32", "float32", "int64", "uint64", "float64")
_DEVICE_FORM = 3  # DIR DEVICE PLACE


def _complete(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[str]:
    from gatewayd.cli.site_names import devices_in

    typed = list(ctx.params.get("target") or [])
    return [name for name in devices_in(typed[0]) if name.startswith(incomplete)] if len(typed) == 1 else []


@click.command()
@click.argument("target", metavar="[DIR DEVICE] PLACE", nargs=-1, required=True, shell_complete=_complete)
@click.option("--host", metavar="HOST[:PORT]", help="Read without a site: a Modbus TCP device.")
@click.option("--unit", type=click.IntRange(0, 255), default=1, show_default=True, help="With --host: the unit id.")
@click.option("-n", "--count", type=click.IntRange(1, 2000), help="Registers or bits to read; default 4, or the tag's.")
@click.option("--type", "only", type=click.Choice(_TYPES), help="Show one type only.")
@json_option
def read(
    target: tuple[str, ...],
    *,
    host: str | None,
    unit: int,
    count: int | None,
    only: str | None,
    as_json: bool,
) -> int:
    """Read PLACE of a device and show it so that a person sees what it is.

    Registers are shown raw and as each type in all four byte orders; numbers that a plant hardly has are faint. PLACE
    is `holding:7`, `input:0x10`, `coil:1`, a number in the 4xxxx notation, a tag's name, or an OPC UA node id.
    Plain numbers count from the device's address_base, with --host from 0. Nothing is written.

    \b
    Examples:
      gatewayd device read config/ plc_1 40001 -n 4
      gatewayd device read config/ plc_1 pump_1_speed --json
      gatewayd device read config/ scada_1 "nsu=urn:acme;s=tank.level"
      gatewayd device read --host 192.0.2.7 --unit 3 holding:40001 -n 2 --type float32
    """
    from gatewayd.cli.places import place_on_host, place_on_site
    from gatewayd.cli.site_names import require_device
    from gatewayd.model.device import OpcuaDevice, OpcuaTag

    if host is not None:
        if len(target) != 1:
            raise click.UsageError("with --host name one PLACE, e.g. holding:40001")
        return _read_registers(place_on_host(host, unit, target[0], count), only, as_json=as_json)
    if len(target) != _DEVICE_FORM:
        raise click.UsageError("name DIR DEVICE PLACE, or use --host HOST and PLACE")
    config, device = require_device(Path(target[0]), target[1])
    tags = config.tags[device.name]
    if isinstance(device, OpcuaDevice):
        node = next((tag.node_id for tag in tags if tag.name == target[2] and isinstance(tag, OpcuaTag)), target[2])
        return _read_node(config.folder, config.gateway.storage.path, device, node, as_json=as_json)
    place = place_on_site(device, tags, target[2], count, Path(config.folder))
    return _read_registers(place, only, as_json=as_json)


def _read_registers(place: ModbusPlace, only: str | None, *, as_json: bool) -> int:
    import asyncio

    import msgspec

    from gatewayd.cli.places import read_place
    from gatewayd.device.modbus import pdu
    from gatewayd.device.modbus.interpret import interpret, width_of

    if only and place.is_bits:
        raise click.UsageError(f"a {place.register_type} is one bit; leave --type out")
    if only and width_of(only) > place.count:
        raise click.UsageError(f"a {only} takes {width_of(only)} registers; raise --count")
    found = asyncio.run(read_place(place))
    candidates = () if place.is_bits else interpret(found, only)
    if as_json:
        first = pdu.reference(place.register_type, place.address)
        answer = {"bus": place.bus.name, "unit_id": place.unit_id, "first": first, "address": place.address}
        raw = {"bits" if place.is_bits else "registers": found, "candidates": candidates}
        click.echo(msgspec.json.encode({**answer, **raw}))
    else:
        click.echo(_page(place, found, candidates))
    return 0


def _page(place: ModbusPlace, found: list[int], candidates: tuple[Candidate, ...]) -> str:
    from gatewayd.cli import show
    from gatewayd.device.modbus import pdu
    from gatewayd.device.modbus.interpret import BYTE_ORDERS

    def where(at: int) -> str:
        return pdu.reference(place.register_type, place.address + at).rpartition(" ")[2]

    first = pdu.reference(place.register_type, place.address)
    parts = [f"{show.heading(show.clean(place.bus.name))} unit {place.unit_id}, from {first} (address {place.address})"]
    if place.is_bits:
        bits = [(where(at), str(bit)) for at, bit in enumerate(found)]
        return "\n".join([*parts, "", show.table(("ADDRESS", "BIT"), bits, right=(1,))])
    raw = [(where(at), f"{word:04X}", str(word), f"{word:016b}") for at, word in enumerate(found)]
    parts += ["", show.table(("REGISTER", "HEX", "DECIMAL", "BITS"), raw, right=(2,))]
    rows = [
        (
            where(each.place),
            each.type,
            *(text if plausible else show.faint(text) for text, plausible in _orders(each)),
        )
        for each in candidates
    ]
    if rows:
        parts += ["", show.table(("FROM", "TYPE", *BYTE_ORDERS), rows, right=(2, 3, 4, 5))]
        parts.append(show.faint("Faint: NaN, denormal, or of a size that a plant hardly has."))
    return "\n".join(parts)


def _orders(each: Candidate) -> list[tuple[str, bool]]:
    """Return text and plausibility in each byte order; a single register has two orders, not four."""
    shown = list(zip(each.texts, each.plausible, strict=True))
    return [*shown[:2], ("", True), ("", True)] if each.type.endswith("16") else shown


def _read_node(folder: str, storage: str, device: OpcuaDevice, text: str, *, as_json: bool) -> int:
    import asyncio

    import msgspec

    from gatewayd.clock import SystemClock
    from gatewayd.device.opcua.inspect import read_node
    from gatewayd.device.opcua.link import OpcuaLink

    link = OpcuaLink(device, (), (), SystemClock(), Path(folder), Path(storage) / "identity")

    async def ask() -> NodeReading:
        try:
            await link.connect()
            return await read_node(link.session, text)
        finally:
            await link.close()

    found = asyncio.run(ask())
    click.echo(msgspec.json.encode(found) if as_json else _node_page(found))
    return 1 if found.status.startswith("Bad") else 0


def _node_page(found: NodeReading) -> str:
    from gatewayd.cli import show

    rows = [
        ("name", show.clean(found.name)),
        ("value", show.clean(found.value) or "-"),
        ("type", found.type or "-"),
        ("status", show.state(found.status)),
        ("source time", found.source_time or "none given"),
        ("server time", found.server_time or "none given"),
    ]
    return f"{show.heading(show.clean(found.node_id))}\n{show.pairs(rows)}"
