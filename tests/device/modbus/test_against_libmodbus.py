"""The link against a server on libmodbus, which shares no line with it."""

from __future__ import annotations

import struct
import subprocess
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from typing import Any, get_args

import pytest

from gatewayd.cli.places import ModbusPlace, read_place
from gatewayd.clock import SystemClock
from gatewayd.device.modbus import pdu, values
from gatewayd.device.modbus.asking import TcpAsker
from gatewayd.device.modbus.interpret import interpret
from gatewayd.device.modbus.limits import RegisterLimit, Surveyor
from gatewayd.device.modbus.link import ModbusLink
from gatewayd.device.modbus.plan import plan_reads
from gatewayd.device.modbus.scan import Scan
from gatewayd.errors import DeviceError, DeviceRefused
from gatewayd.model.block import Block, Codec
from gatewayd.model.device import ByteOrder, ModbusTag, RegisterType
from gatewayd.model.registers import words
from tests.device.modbus.bus_site import cable, serial_device, site_of
from tests.device.modbus.joined import apart
from tests.device.modbus.plant import device, tag
from tests.foreign.availability import require
from tests.foreign.libmodbus.build import build_server

pytestmark = pytest.mark.foreign

# What server.c puts at 100 + 20 * order; (place in the pattern, type, value).
PATTERN = (
    (0, "int16", -12345.0),
    (1, "uint16", 54321.0),
    (2, "int32", -123456789.0),
    (4, "uint32", 4123456789.0),
    (6, "float32", struct.unpack(">f", struct.pack(">f", -273.15))[0]),
    (8, "int64", -1234567890123456768.0),
    (12, "uint64", 12345678901234567168.0),
    (16, "float64", -6.02214076e23),
)


class Server:
    """The process; `stop` returns what it logged."""

    def __init__(self, *bus: str) -> None:
        self._process = subprocess.Popen([require(build_server), *bus], stdout=subprocess.PIPE, text=True)
        assert self._process.stdout is not None
        self.port = int(self._process.stdout.readline().removeprefix("port "))

    def stop(self) -> list[str]:
        self._process.terminate()
        logged, _ = self._process.communicate(timeout=5)
        assert self._process.returncode == 0
        return logged.splitlines()


@pytest.fixture
def server() -> Iterator[Server]:
    running = Server()
    try:
        yield running
    finally:
        if running._process.poll() is None:
            running.stop()


@asynccontextmanager
async def linked(server: Server, *tags: ModbusTag, **settings: Any) -> AsyncIterator[ModbusLink]:
    target = device(port=server.port, **settings)
    rows = list(enumerate(tags))
    link = ModbusLink(target, rows, plan_reads(target, rows, 0), SystemClock())
    await link.connect()
    try:
        yield link
    finally:
        await link.close()


async def scan(link: ModbusLink) -> list[Block]:
    blocks: list[Block] = []
    await link.scan(link.plans, lambda some: blocks.extend(apart(some, link.plans)))
    return sorted(blocks, key=lambda block: block.plan)


async def scanned_values(link: ModbusLink, tags: list[ModbusTag]) -> list[float]:
    """Return the value of each tag, cut out of the blocks as their plans say."""
    found = [0.0] * len(tags)
    for block, plan in zip(await scan(link), link.plans, strict=True):
        assert block.codec == plan.codec
        for row in plan.rows:
            part = block.payload[row.offset :]
            if plan.codec is Codec.MODBUS_BITS:
                found[row.row] = float(part[0] >> row.bit & 1)
            else:
                found[row.row] = values.decode(tags[row.row], part[: 2 * words(tags[row.row])])
    return found


def pattern_tags(register_type: str) -> tuple[list[ModbusTag], list[float]]:
    tags, expected = [], []
    for number, order in enumerate(get_args(ByteOrder)):
        for place, type_, value in PATTERN:
            address = 100 + 20 * number + place
            tags.append(tag(f"{order}_{type_}", register_type, address, type=type_, byte_order=order, access="r"))
            expected.append(value)
    return tags, expected


@pytest.mark.parametrize("register_type", ["holding", "input"])
@pytest.mark.parametrize("limits", [{}, {"max_registers": 4, "max_outstanding": 16}], ids=["coalesced", "pipelined"])
async def test_every_type_in_every_byte_order_reads_as_libmodbus_wrote_it(
    server: Server, register_type: str, limits: dict[str, int]
) -> None:
    tags, expected = pattern_tags(register_type)
    async with linked(server, *tags, **limits) as link:
        assert await scanned_values(link, tags) == expected
        assert [(await link.read_back(row)).value for row in range(len(tags))] == expected


@pytest.mark.parametrize(("register_type", "period"), [("coil", 3), ("discrete", 5)])
async def test_bits_are_found_in_their_bytes(server: Server, register_type: str, period: int) -> None:
    tags = [tag(f"b{address}", register_type, address, type="bool") for address in range(7, 2100, 11)]
    async with linked(server, *tags, max_gap=16) as link:
        assert await scanned_values(link, tags) == [float(one.address % period == 0) for one in tags]
        assert len(link.plans) == 2


async def test_sixteen_outstanding_requests_are_answered_right_a_thousand_times(server: Server) -> None:
    tags = [tag(f"t{i}", address=200 + 9 * i) for i in range(100)]
    async with linked(server, *tags, max_gap=0, max_outstanding=16) as link:
        assert len(link.plans) == 100
        for _ in range(10):
            assert await scanned_values(link, tags) == [float(one.address) for one in tags]
        assert link.outstanding_limit == 16


async def test_a_device_with_nagles_algorithm_does_not_stall_pipelined_scans(server: Server) -> None:
    """Its last answers wait for our acknowledgement; delayed, each of these 25 scans would take 40 ms."""
    tags = [tag(f"t{i}", address=200 + 9 * i) for i in range(50)]
    clock = SystemClock()
    async with linked(server, *tags, max_gap=0, max_outstanding=16) as link:
        started_ns = clock.monotonic_ns()
        for _ in range(25):
            await scan(link)
        assert clock.monotonic_ns() - started_ns < 25 * 20_000_000


@pytest.mark.parametrize(
    ("write_multiple", "functions"), [(True, (15, 16, 16)), (False, (5, 6, 16))], ids=["FC 15 and 16", "FC 5 and 6"]
)
async def test_writes_arrive_once_each_and_read_back(
    server: Server, write_multiple: bool, functions: tuple[int, ...]
) -> None:
    tags = (
        tag("valve", "coil", 1000, type="bool", access="rw"),
        tag("speed", "holding", 1001, type="int16", scale=0.1, access="rw"),
        tag("volume", "holding", 1002, type="float32", byte_order="BADC", access="rw"),
    )
    async with linked(server, *tags, write_multiple=write_multiple, max_outstanding=16) as link:
        for row, value in enumerate((1.0, -4.2, 0.15625)):
            assert (await link.read_back(row)).value != value
            await link.write(row, value)
            assert (await link.read_back(row)).value == pytest.approx(value)
    counts = (1, 1, 2)
    wanted = [f"write {functions[row]} {1000 + row} {counts[row]}" for row in range(3)]
    assert server.stop() == [*wanted, "requests 9"]


@pytest.mark.parametrize("type_", [type_ for _, type_, _ in PATTERN])
@pytest.mark.parametrize("order", get_args(ByteOrder))
async def test_what_is_written_is_what_libmodbus_holds_for_that_value(server: Server, type_: str, order: str) -> None:
    """Written elsewhere and read as bare registers, it equals the registers that server.c made."""
    place, _, value = next(one for one in PATTERN if one[1] == type_)
    number = get_args(ByteOrder).index(order)
    target = tag("target", address=3000, type=type_, byte_order=order, access="rw")
    width = words(target)
    single = [tag(f"w{i}", address=3000 + i) for i in range(width)]
    model = [tag(f"m{i}", address=100 + 20 * number + place + i) for i in range(width)]
    async with linked(server, target, *single, *model) as link:
        await link.write(0, value)
        held = [(await link.read_back(row)).value for row in range(1, 1 + 2 * width)]
    assert held[:width] == held[width:]


@pytest.mark.parametrize("code", sorted(pdu.EXCEPTIONS))
async def test_every_exception_code_is_reported_with_its_quality_and_the_link_goes_on(
    server: Server, code: int
) -> None:
    tags = (tag("bad", address=9000 + code, access="rw"), tag("good", address=5))
    async with linked(server, *tags, max_outstanding=16) as link:
        good, lost = await scan(link)
        assert (good.codec, good.payload) == (Codec.MODBUS_REGISTERS, b"\x00\x05")
        assert (lost.codec, lost.payload, lost.status) == (Codec.LOST, b"", pdu.EXCEPTIONS[code].status)
        with pytest.raises(DeviceRefused) as refused:
            await link.read_back(0)
        assert refused.value.code == code
        with pytest.raises(DeviceError) as not_written:
            await link.write(0, 1.0)
        assert isinstance(not_written.value, DeviceRefused) == pdu.EXCEPTIONS[code].spares_plant
        assert (await link.read_back(1)).value == 5.0


@pytest.mark.parametrize("register_type", get_args(RegisterType))
async def test_what_lies_beyond_the_map_is_read_around(server: Server, register_type: str) -> None:
    """P-ISOLATE: the plan reaches over the end of the map; what is before it is read, from the first scan on."""
    is_bits = register_type in ("coil", "discrete")
    tags = [tag(f"t{i}", register_type, 9970 + i, type="bool" if is_bits else "uint16") for i in range(50)]
    async with linked(server, *tags) as link:
        for _ in range(2):
            (block,) = await scan(link)
            assert block.lost == ((30, 20, pdu.EXCEPTIONS[2].status),)
            if is_bits:
                period = 3 if register_type == "coil" else 5
                held = [block.payload[i // 8] >> i % 8 & 1 for i in range(30)]
                assert held == [int((9970 + i) % period == 0) for i in range(30)]
            else:
                assert struct.unpack(">30H", block.payload[:60]) == tuple(range(9970, 10000))
                assert block.payload[60:] == bytes(40)


async def test_bits_and_bytes_are_written_by_function_22_and_leave_the_rest_alone(server: Server) -> None:
    tags = (
        tag("word", address=2730),
        tag("bit", address=2730, type="bool", bit=15, access="rw"),
        tag("low", address=2730, type="uint8", access="rw"),
        tag("high", address=2730, type="int8", byte="high", access="rw"),
    )
    async with linked(server, *tags) as link:
        assert [(await link.read_back(row)).value for row in range(4)] == [2730.0, 0.0, 0xAA, 0x0A]
        await link.write(1, 1.0)
        await link.write(2, 1.0)
        assert [(await link.read_back(row)).value for row in range(4)] == [0x8A01, 1.0, 1.0, 0x8A - 256]
        await link.write(3, 7.0)
        await link.write(1, 1.0)
        assert (await link.read_back(0)).value == 0x8701


@pytest.mark.parametrize("register_type", get_args(RegisterType))
async def test_an_address_beyond_the_map_is_an_illegal_address(server: Server, register_type: str) -> None:
    async with linked(server, tag("far", register_type, 60000, type="bool")) as link:
        with pytest.raises(DeviceRefused) as error:
            await link.read_back(0)
        assert error.value.code == 2


# --- as a unit of a serial bus ------------------------------------------------------------------------------------------


async def test_a_unit_on_a_serial_bus_is_read_and_written_beside_one_that_is_not_there() -> None:
    """Every type in every byte order, a request of 125 registers, an exception, writes; P-ISOLATE."""
    types = [
        tag(f"{name}_{order}", address=100 + 20 * place + offset, type=name, byte_order=order, unit_id=9)
        for place, order in enumerate(get_args(ByteOrder))
        for offset, name, _ in PATTERN
    ]
    tags = [
        *types,
        tag("first", address=2000, unit_id=9),
        tag("middle", address=2060, unit_id=9),
        tag("last", address=2124, unit_id=9),
        tag("refused", address=9002, unit_id=9),
        tag("nobody", address=0, unit_id=8),
        tag("sp", address=3000, type="float32", unit_id=9, access="rw"),
        tag("valve", "coil", 7, unit_id=9, access="rw"),
    ]
    with cable() as joined:
        server = Server(joined.theirs, "9")
        bus = serial_device(joined.ours, parity="none", max_gap=120, timeout_ms=300)
        async with site_of(bus, *tags) as site:
            read = await site.scan()
            assert set(site.failures) == {8}
            assert (read[8, 0], read[9, 9002]) == ("800a0000", "80340000")
            assert read[9, 2000] == list(range(2000, 2125))
            for row, (_, name, value) in enumerate(PATTERN * 4):
                assert (await site.link.read_back(row)).value == value, name
            await site.link.write(len(tags) - 2, -273.15)
            await site.link.write(len(tags) - 1, 1.0)
            assert (await site.link.read_back(len(tags) - 2)).value == pytest.approx(-273.15)
            assert (await site.link.read_back(len(tags) - 1)).value == 1.0
        assert server.stop()[:2] == ["write 16 3000 2", "write 15 7 1"]


# --- with the commissioning tools ---------------------------------------------------------------------------------------


async def test_a_commissioning_tool_finds_out_what_libmodbus_takes(server):
    """It has no device identification, refuses 126 registers by protocol, and answers what is sent in one piece."""
    asker = TcpAsker("127.0.0.1", server.port, 3000)
    scanning = Scan(asker, SystemClock())
    await scanning.run((1, 2, 3), lambda unit, found: None)
    assert next((unit.unit_id, unit.answer, unit.identification) for unit in scanning.found) == (1, "ok", None)
    survey = await Surveyor(asker, 1, 3, 0, clock=SystemClock(), progress=lambda _: None).run()
    assert survey.registers == RegisterLimit(count=125, reason="", is_limit=False)
    assert survey.outstanding == 16


@pytest.mark.parametrize("order", range(4))
async def test_the_right_reading_is_among_those_shown(server, order):
    asker = TcpAsker("127.0.0.1", server.port, 3000)
    place = ModbusPlace(asker, 1, "holding", 100 + 20 * order, 20)
    shown = {(each.place, each.type): each.values[order] for each in interpret(await read_place(place))}
    for at, type_name, value in PATTERN:
        if (at, type_name) in shown:  # each type is shown from places that are multiples of its width
            assert float(shown[at, type_name] or 0) == value
    assert {(6, "float32"), (16, "float64"), (2, "int32")} <= set(shown)
