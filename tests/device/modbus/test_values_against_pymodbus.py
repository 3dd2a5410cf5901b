"""Every type in every order against pymodbus's simulator: its encoder writes, our kernel reads, and back."""

from __future__ import annotations

import os
import struct
from collections.abc import AsyncIterator
from typing import Any, get_args

import pytest
from pymodbus.client import AsyncModbusTcpClient
from pymodbus.server import ModbusTcpServer
from pymodbus.simulator import DataType, SimData, SimDevice

from gatewayd.clock import SystemClock
from gatewayd.compiled import load_kernels
from gatewayd.core.site import NS, Digests, compile_site
from gatewayd.core.state import State
from gatewayd.core.step import bind, step
from gatewayd.device.build import plan_reads
from gatewayd.device.modbus.link import ModbusLink
from gatewayd.errors import DeviceRefused
from gatewayd.model import quality
from gatewayd.model.block import Block
from gatewayd.model.config import Gateway, GatewayFile, SiteConfig
from gatewayd.model.decision import Inputs
from gatewayd.model.device import ByteOrder, ModbusTag
from gatewayd.model.registers import words
from tests.device.modbus.plant import device, tag

FORM = os.environ.get("GATEWAYD_KERNELS", "python")
ORDERS = get_args(ByteOrder)
TYPES = AsyncModbusTcpClient.DATATYPE
NUMBERS: list[tuple[str, TYPES, tuple[float, ...]]] = [
    ("int16", TYPES.INT16, (-32768, -1, 12345)),
    ("uint16", TYPES.UINT16, (0, 54321, 65535)),
    ("int32", TYPES.INT32, (-(2**31), -2, 123456789)),
    ("uint32", TYPES.UINT32, (0, 4123456789, 2**32 - 1)),
    ("int64", TYPES.INT64, (-(2**63), -3, 2**53 - 1)),
    ("uint64", TYPES.UINT64, (0, 2**53, 2**63)),
    ("float32", TYPES.FLOAT32, (-273.1499938964844, 0.0, 2.0**-149)),
    ("float64", TYPES.FLOAT64, (-6.02214076e23, 0.1, 5e-324)),
]


class Plant:
    """The simulator, pymodbus's client to it, and our link with a twin behind it."""

    def __init__(self, port: int, client: AsyncModbusTcpClient) -> None:
        self.client = client
        self._port = port

    async def put(self, address: int, registers: list[int]) -> None:
        assert not (await self.client.write_registers(address, registers)).isError()

    async def held(self, address: int, count: int) -> list[int]:
        return list((await self.client.read_holding_registers(address, count=count)).registers)

    async def twin(self, *tags: ModbusTag, **settings: Any) -> Twin:
        return await Twin.scanned(device(port=self._port, **settings), tags)


class Twin:
    """What one scan of our own leaves in the columns."""

    @classmethod
    async def scanned(cls, target: Any, tags: tuple[ModbusTag, ...]) -> Twin:
        config = SiteConfig(
            gateway=GatewayFile(gateway=Gateway(name="test.example/gw")),
            devices={"plc": target},
            tags={"plc": tags},
            asset_types={},
            assets={},
            points=(),
            rules=(),
        )
        site = compile_site(config, plan_reads=plan_reads, digests=Digests(b"", b"", b""))
        kernels = load_kernels(FORM)
        twin = cls(State(site, kernels, now_mono_ns=NS))
        twin.link = ModbusLink(target, list(enumerate(tags)), site.plans, SystemClock())
        blocks: list[Block] = []
        await twin.link.connect()
        await twin.link.scan(site.plans, blocks.extend)
        step(
            twin.state,
            site,
            bind(kernels, twin.state),
            Inputs(cycle=1, wall_ns=1, mono_ns=2 * NS, blocks=tuple(blocks)),
        )
        return twin

    def __init__(self, state: State) -> None:
        self.state = state
        self.link: ModbusLink

    @property
    def values(self) -> list[float]:
        return list(self.state.column("tag.value"))

    @property
    def statuses(self) -> list[int]:
        return list(self.state.column("tag.status"))

    def text(self, row: int) -> str | None:
        return self.state.texts.get(self.values[row])


@pytest.fixture
async def plant() -> AsyncIterator[Plant]:
    empty = [SimData(0, values=[0] * 500, datatype=DataType.REGISTERS)]
    bits = [SimData(0, values=[False] * 16, datatype=DataType.BITS)]
    server = ModbusTcpServer(SimDevice(1, simdata=(bits, bits, empty, empty)), address=("127.0.0.1", 0))
    await server.serve_forever(background=True)
    port = server.transport.sockets[0].getsockname()[1]
    client = AsyncModbusTcpClient("127.0.0.1", port=port)
    await client.connect()
    yield Plant(port, client)
    client.close()
    await server.shutdown()


def as_pymodbus_writes(value: float, kind: TYPES, order: str) -> list[int]:
    """Registers by pymodbus's encoder; it knows word order, the bytes in a register are swapped here."""
    registers = AsyncModbusTcpClient.convert_to_registers(
        value, kind, word_order="little" if order in ("CDAB", "DCBA") else "big"
    )
    swapped = [(register & 0xFF) << 8 | register >> 8 for register in registers]
    return swapped if order in ("BADC", "DCBA") else registers


def every_number() -> tuple[list[ModbusTag], list[list[int]], list[float]]:
    tags, wires, numbers = [], [], []
    address = 0
    for type_, kind, of_type in NUMBERS:
        for order in ORDERS:
            for value in of_type:
                tags.append(tag(f"t{len(tags)}", address=address, type=type_, byte_order=order, access="rw"))
                wires.append(as_pymodbus_writes(value, kind, order))
                numbers.append(float(value))
                address += words(tags[-1])
    return tags, wires, numbers


async def test_what_pymodbus_writes_our_kernel_reads_in_every_type_and_order(plant: Plant) -> None:
    tags, wires, numbers = every_number()
    for one, wire in zip(tags, wires, strict=True):
        await plant.put(one.address, wire)
    twin = await plant.twin(*tags)
    assert twin.values == numbers
    assert twin.statuses == [quality.GOOD] * len(tags)
    await twin.link.close()


async def test_what_we_write_pymodbus_reads_in_every_type_and_order(plant: Plant) -> None:
    tags, wires, numbers = every_number()
    twin = await plant.twin(*tags)
    for row, (one, wire, value) in enumerate(zip(tags, wires, numbers, strict=True)):
        await twin.link.write(row, value)
        assert await plant.held(one.address, words(one)) == wire, (one.type, one.byte_order, value)
        assert (await twin.link.read_back(row)).value == value
    await twin.link.close()


async def test_the_types_that_pymodbus_lacks_are_read_from_registers_it_wrote(plant: Plant) -> None:
    """float16 by struct, BCD by its digits, bytes by shifting."""
    (half,) = struct.unpack(">H", struct.pack(">e", -1.5))
    await plant.put(0, [half, 0x9804, 0x1234, 0x5678, 0x9007, 0x1992, 0x5474, 0x0993, 0x80FF, 0x12A4])
    twin = await plant.twin(
        tag("half", address=0, type="float16"),
        tag("bcd16", address=1, type="bcd16"),
        tag("bcd32", address=2, type="bcd32"),
        tag("bcd64", address=4, type="bcd64"),
        tag("high", address=8, type="int8", byte="high"),
        tag("low", address=8, type="uint8"),
        tag("bit", address=8, type="bool", bit=15),
        tag("no_bcd", address=9, type="bcd16"),
    )
    assert twin.values[:7] == [-1.5, 9804.0, 12345678.0, 9007199254740993.0, -128.0, 255.0, 1.0]
    assert twin.statuses == [quality.GOOD] * 7 + [quality.BAD_DECODING]
    await twin.link.close()


@pytest.mark.parametrize("order", ["ABCD", "BADC"])
async def test_a_text_that_pymodbus_writes_is_read(plant: Plant, order: str) -> None:
    wire = AsyncModbusTcpClient.convert_to_registers("Pümpe 42", TYPES.STRING)
    if order == "BADC":
        wire = [(register & 0xFF) << 8 | register >> 8 for register in wire]
    await plant.put(10, [*wire, 0, 0, 0])
    twin = await plant.twin(
        tag("name", address=10, type="string", length=8, byte_order=order), tag("speed", address=18)
    )
    assert (twin.text(0), twin.statuses) == ("Pümpe 42", [quality.GOOD, quality.GOOD])
    await twin.link.close()


async def test_a_sunspec_value_its_factor_and_what_is_not_implemented(plant: Plant) -> None:
    encode = AsyncModbusTcpClient.convert_to_registers
    wire = encode(-5000, TYPES.INT16) + encode(-2, TYPES.INT16) + encode(-(2**15), TYPES.INT16)
    await plant.put(20, wire)
    twin = await plant.twin(
        tag("power", address=20, type="int16", scale_register=21, not_a_value=-(2**15), access="rw"),
        tag("spare", address=22, type="int16", scale_register=21, not_a_value=-(2**15)),
    )
    assert twin.values[0] == -50.0
    assert twin.statuses == [quality.GOOD, quality.BAD_SENSOR_FAILURE]
    await twin.link.write(0, 12.34)
    assert await plant.held(20, 3) == [1234, 0xFFFE, 0x8000]
    assert (await twin.link.read_back(0)).value == 12.34
    with pytest.raises(DeviceRefused):
        await twin.link.write(0, -327.68)
    assert await plant.held(20, 1) == [1234]
    await twin.link.close()


async def test_a_bit_is_written_by_function_22_or_if_configured_by_reading_first(plant: Plant) -> None:
    await plant.put(30, [0xF00F])
    for setting, value in (("mask", 1.0), ("read-modify-write", 0.0)):
        twin = await plant.twin(tag("bit", address=30, type="bool", bit=4, access="rw"), bit_write=setting)
        await twin.link.write(0, value)
        assert await plant.held(30, 1) == [0xF00F | int(value) << 4]
        await twin.link.close()
