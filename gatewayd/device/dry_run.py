"""What writing a value would send, found by the real driver on a stand-in: the device is never asked.

The Modbus link writes to a small server on loopback that remembers it, so the bytes are those the daemon would send,
whatever the driver becomes. An OPC UA write is shown as the Variant it would carry.
"""

from __future__ import annotations

from pathlib import Path

import msgspec
from msgspec import Struct

from gatewayd.clock import Clock
from gatewayd.device.build import build_link
from gatewayd.device.modbus.loopback import HOST, LoopbackServer, StandIn
from gatewayd.model.device import ModbusDevice, ModbusTag, ModbusTcpDevice, OpcuaTag


class DryWrite(Struct, frozen=True, kw_only=True):
    """One request as it would go out.

    Args:
        request: for people, e.g. `FC 16, unit 1` or `Write nsu=...;s=x`.
        data: hexadecimal: the PDU, or the encoded Variant.
    """

    request: str
    data: str


class DryRun(Struct, frozen=True, kw_only=True):
    """What a write would be.

    Args:
        writes: requests in order.
        reads_back: the value that a device which does as told would read back, contract units.
    """

    writes: tuple[DryWrite, ...]
    reads_back: float


async def dry_run_modbus(device: ModbusDevice, tag: ModbusTag, value: float, clock: Clock) -> DryRun:
    """Write to a stand-in.

    Raises:
        DeviceRefused: the value has no exact place in the tag's type, or the tag cannot be written.
    """
    stand_in = StandIn()
    server = LoopbackServer(stand_in.answer)
    port = await server.start()
    # The PDU is the same on every transport, so the stand-in is spoken to over TCP.
    common = {field.name: getattr(device, field.name) for field in msgspec.structs.fields(ModbusDevice)}
    aside = ModbusTcpDevice(host=HOST, port=port, **common)
    link = build_link(aside, [(0, tag)], (), clock=clock, folder=Path(), identity_folder=Path())
    try:
        await link.connect()
        await link.write(0, value)
        written = tuple(stand_in.heard)
        reading = await link.read_back(0)
    finally:
        await link.close()
        await server.close()
    writes = tuple(DryWrite(request=f"FC {pdu[0]}, unit {unit}", data=pdu.hex(" ")) for unit, pdu in written)
    return DryRun(writes=writes, reads_back=reading.value)


def dry_run_opcua(tag: OpcuaTag, value: float) -> DryRun:
    """Make the Variant.

    Raises:
        DeviceRefused: the value does not fit.
    """
    from gatewayd.device.opcua.inspect import encoded  # asyncua: only for devices that need it
    from gatewayd.device.opcua.link import to_variant

    variant = to_variant(tag, value)
    wire = DryWrite(request=f"Write {tag.node_id}: {variant.VariantType.name} {variant.Value}", data=encoded(variant))
    return DryRun(writes=(wire,), reads_back=float(variant.Value) * tag.scale + tag.offset)
