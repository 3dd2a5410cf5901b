"""Every transport but plain TCP against pymodbus's servers, which share no line with it."""

from __future__ import annotations

import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from pymodbus import FramerType
from pymodbus.server import ModbusSerialServer, ModbusTcpServer, ModbusTlsServer, ModbusUdpServer
from pymodbus.simulator import DataType, SimData, SimDevice

from gatewayd.model.device import ModbusDevice, ModbusTag
from tests.device.modbus.bus_site import (
    cable,
    rtu_over_tcp_device,
    serial_device,
    site_of,
    tls_device,
    udp_device,
)
from tests.device.modbus.certificates import Identity
from tests.device.modbus.plant import tag

UNITS = (1, 2, 17)


def units() -> list[SimDevice]:
    """Holding register `a` of unit `u` is `1000 * u + a`."""
    return [
        SimDevice(u, simdata=[SimData(0, values=[1000 * u + a for a in range(200)], datatype=DataType.REGISTERS)])
        for u in UNITS
    ]


@asynccontextmanager
async def serving(server: Any) -> AsyncIterator[int]:
    """Yield the port, 0 of a serial one."""
    await server.serve_forever(background=True)
    transport = server.transport
    sockets = getattr(transport, "sockets", None)
    name = sockets[0].getsockname() if sockets else transport.get_extra_info("sockname")
    try:
        yield name[1] if name else 0
    finally:
        await server.shutdown()


@asynccontextmanager
async def serial(framing: str, folder: Path) -> AsyncIterator[ModbusDevice]:
    framer = FramerType.RTU if framing == "rtu" else FramerType.ASCII
    with cable() as joined:
        async with serving(ModbusSerialServer(units(), framer=framer, port=joined.theirs)):
            yield serial_device(joined.ours, framing=framing, timeout_ms=500)


@asynccontextmanager
async def over_tcp(framing: str, folder: Path) -> AsyncIterator[ModbusDevice]:
    framer = FramerType.RTU if framing == "rtu" else FramerType.ASCII
    async with serving(ModbusTcpServer(units(), framer=framer, address=("127.0.0.1", 0))) as port:
        yield rtu_over_tcp_device(port, framing=framing, timeout_ms=500)


@asynccontextmanager
async def udp(_: str, folder: Path) -> AsyncIterator[ModbusDevice]:
    async with serving(ModbusUdpServer(units(), address=("127.0.0.1", 0))) as port:
        yield udp_device(port, timeout_ms=500)


@asynccontextmanager
async def tls(_: str, folder: Path) -> AsyncIterator[ModbusDevice]:
    issuer = Identity(folder, "issuer")
    server, gateway = Identity(folder, "plc", issuer), Identity(folder, "gateway", issuer)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(server.certificate_file, server.key_file)
    context.load_verify_locations(issuer.certificate_file)
    context.verify_mode = ssl.CERT_REQUIRED
    async with serving(
        ModbusTlsServer(units(), address=("127.0.0.1", 0), sslctx=context, framer=FramerType.SOCKET)
    ) as port:
        yield tls_device(
            port,
            server_certificate=str(server.certificate_file),
            certificate=str(gateway.certificate_file),
            private_key=str(gateway.key_file),
        )


Served = Callable[[str, Path], Any]
TRANSPORTS: dict[str, tuple[Served, str]] = {
    "rtu": (serial, "rtu"),
    "ascii": (serial, "ascii"),
    "rtu over tcp": (over_tcp, "rtu"),
    "ascii over tcp": (over_tcp, "ascii"),
    "udp": (udp, ""),
    "tls": (tls, ""),
}


@pytest.mark.parametrize(("served", "framing"), TRANSPORTS.values(), ids=TRANSPORTS)
async def test_every_unit_is_read_and_written(served: Served, framing: str, tmp_path: Path) -> None:
    tags: list[ModbusTag] = [tag(f"u{u}_{a}", address=a, unit_id=u) for u in UNITS for a in (0, 100)]
    tags += [
        tag("long", address=20, type="float64", unit_id=2, access="rw"),
        tag("sp", address=30, unit_id=17, access="rw"),
    ]
    async with served(framing, tmp_path) as device, site_of(device, *tags) as site:
        for _ in range(3):
            read = await site.scan()
            for unit in UNITS:
                assert read[unit, 100] == [1000 * unit + 100]
                first = read[unit, 0]
                assert isinstance(first, list)
                assert first[0] == 1000 * unit
        assert site.failures == {}
        await site.link.write(6, 20.26)
        await site.link.write(7, 4711.0)
        assert (await site.link.read_back(6)).value == 20.26
        assert (await site.link.read_back(7)).value == 4711.0


@pytest.mark.parametrize(
    ("served", "framing"), [each for name, each in TRANSPORTS.items() if name != "tls"], ids=list(TRANSPORTS)[:-1]
)
async def test_a_unit_that_is_not_there_harms_no_other(served: Served, framing: str, tmp_path: Path) -> None:
    """P-ISOLATE: pymodbus answers for it with an exception, on whatever transport."""
    tags = [tag("a", unit_id=1), tag("b", unit_id=9), tag("c", unit_id=17)]
    async with served(framing, tmp_path) as device, site_of(device, *tags) as site:
        read = await site.scan()
        assert (read[1, 0], read[17, 0]) == ([1000], [17000])
        assert isinstance(read[9, 0], str)
