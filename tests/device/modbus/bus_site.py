"""A link over any transport in real time, with its tags by row and what it delivered; and a serial cable."""

from __future__ import annotations

import asyncio
import os
import tty
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from gatewayd.clock import SystemClock
from gatewayd.device.modbus.link import ModbusLink
from gatewayd.device.modbus.plan import plan_reads
from gatewayd.errors import UnitsLost
from gatewayd.model.block import Block, Codec
from gatewayd.model.device import (
    ModbusDevice,
    ModbusRtuOverTcpDevice,
    ModbusSerialDevice,
    ModbusTag,
    ModbusTcpDevice,
    ModbusTlsDevice,
    ModbusUdpDevice,
)
from tests.device.modbus.joined import apart

HOST = "127.0.0.1"


def serial_device(port: str, **settings: Any) -> ModbusSerialDevice:
    return ModbusSerialDevice(**{"name": "bus", "serial_port": port, "timeout_ms": 100, **settings})


def rtu_over_tcp_device(port: int, **settings: Any) -> ModbusRtuOverTcpDevice:
    return ModbusRtuOverTcpDevice(**{"name": "bus", "host": HOST, "port": port, "timeout_ms": 300, **settings})


def udp_device(port: int, **settings: Any) -> ModbusUdpDevice:
    return ModbusUdpDevice(**{"name": "bus", "host": HOST, "port": port, "timeout_ms": 300, **settings})


def tls_device(port: int, **settings: Any) -> ModbusTlsDevice:
    return ModbusTlsDevice(**{"name": "plc", "host": HOST, "port": port, "timeout_ms": 2000, **settings})


def tcp_device(port: int, **settings: Any) -> ModbusTcpDevice:
    return ModbusTcpDevice(**{"name": "plc", "host": HOST, "port": port, "timeout_ms": 200, **settings})


class BusSite:
    """A link, its tags by row, and what it delivered."""

    def __init__(self, device: ModbusDevice, *tags: ModbusTag, folder: Path = Path()) -> None:
        rows = list(enumerate(tags))
        self.link = ModbusLink(device, rows, plan_reads(device, rows, 0), SystemClock(), folder)
        self.blocks: dict[int, Block] = {}
        self.failures: dict[int, Exception] = {}

    def _take(self, blocks: Sequence[Block]) -> None:
        self.blocks.update({block.plan: block for block in apart(blocks, self.link.plans)})

    async def scan(self) -> dict[tuple[int, int], list[int] | str]:
        """Scan everything once; return (unit, first address) -> registers, or the name of the failure."""
        self.blocks.clear()
        self.failures.clear()
        await self.link.connect()
        try:
            await self.link.scan(self.link.plans, self._take)
        except UnitsLost as error:
            self.failures.update(error.failures)
        read: dict[tuple[int, int], list[int] | str] = {}
        for plan in self.link.plans:
            block = self.blocks[plan.index]
            registers = [int.from_bytes(block.payload[i : i + 2], "big") for i in range(0, len(block.payload), 2)]
            read[plan.unit, int(plan.request[1])] = f"{block.status:08x}" if block.codec is Codec.LOST else registers
        return read


@asynccontextmanager
async def site_of(device: ModbusDevice, *tags: ModbusTag, folder: Path = Path()) -> AsyncIterator[BusSite]:
    site = BusSite(device, *tags, folder=folder)
    await site.link.connect()
    try:
        yield site
    finally:
        await site.link.close()
        await asyncio.sleep(0)  # the loop closes what was aborted


class Cable(NamedTuple):
    """Two serial ports, as if a cable joined them."""

    ours: str
    theirs: str


@contextmanager
def cable() -> Iterator[Cable]:
    """Join two pseudo-terminals on the running loop."""
    loop = asyncio.get_running_loop()
    pairs = [os.openpty() for _ in range(2)]
    for _, slave in pairs:
        tty.setraw(slave)
    masters = [master for master, _ in pairs]
    for here, there in (masters, masters[::-1]):
        loop.add_reader(here, lambda here=here, there=there: os.write(there, os.read(here, 4096)))
    try:
        yield Cable(*(os.ttyname(slave) for _, slave in pairs))
    finally:
        for master in masters:
            loop.remove_reader(master)
        for pair in pairs:
            for fd in pair:
                os.close(fd)
