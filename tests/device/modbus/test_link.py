from __future__ import annotations

import asyncio
import math
import socket
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from pymodbus.server import ModbusTcpServer
from pymodbus.simulator import DataType, SimData, SimDevice

from gatewayd.device.link import Link, Reading
from gatewayd.device.modbus.link import ModbusLink
from gatewayd.device.modbus.plan import plan_reads
from gatewayd.errors import DeviceError, DeviceProtocolError, DeviceRefused, DeviceTimeout, DeviceUnreachable
from gatewayd.model import quality
from gatewayd.model.block import Block, Codec
from gatewayd.model.device import ModbusTag
from tests.clock import ManualClock
from tests.device.modbus.joined import apart
from tests.device.modbus.peer import Asked, Caller, answers_everything, playing
from tests.device.modbus.plant import device, tag


class Site:
    """A link, its tags by row, and what it delivered."""

    def __init__(self, port: int, *tags: ModbusTag, **settings: Any) -> None:
        self.device = device(port=port, **settings)
        rows = list(enumerate(tags))
        self.clock = ManualClock()
        self.link = ModbusLink(self.device, rows, plan_reads(self.device, rows, 0), self.clock)
        self.blocks: list[Block] = []

    async def scan(self) -> dict[int, bytes]:
        """Scan everything once; return payloads by plan."""
        self.blocks.clear()
        await self.link.scan(self.link.plans, lambda blocks: self.blocks.extend(apart(blocks, self.link.plans)))
        return {block.plan: block.payload for block in self.blocks}


def spread(count: int, **settings: Any) -> list[ModbusTag]:
    """Return tags so far apart that each is a request of its own."""
    return [tag(f"t{i}", address=100 * i, **settings) for i in range(count)]


@asynccontextmanager
async def site_at(port: int, *tags: ModbusTag, **settings: Any) -> AsyncIterator[Site]:
    site = Site(port, *tags, **settings)
    await site.link.connect()
    try:
        yield site
    finally:
        await site.link.close()


@pytest.fixture
async def pymodbus_port() -> AsyncIterator[int]:
    """A pymodbus server: coils 1 0 1 0 ..., discrete inputs 0 1 0 1 ..., registers that hold their own address."""
    words = [SimData(0, values=list(range(2000)), datatype=DataType.REGISTERS)]
    coils = [SimData(0, values=[True, False] * 1000, datatype=DataType.BITS)]
    discrete = [SimData(0, values=[False, True] * 1000, datatype=DataType.BITS)]
    server = ModbusTcpServer(SimDevice(1, simdata=(coils, discrete, words, words)), address=("127.0.0.1", 0))
    await server.serve_forever(background=True)
    yield server.transport.sockets[0].getsockname()[1]
    await server.shutdown()


def test_the_link_is_what_the_daemon_expects_of_a_driver() -> None:
    async def make() -> Link:
        return Site(502, tag()).link

    assert asyncio.run(make()).name == "plc"


# --- against pymodbus ---------------------------------------------------------------------------------------------------


async def test_a_scan_delivers_one_block_per_request_in_all_four_register_types(pymodbus_port: int) -> None:
    tags = (
        tag("a", "coil", 2, type="bool"),
        tag("b", "discrete", 3, type="bool"),
        tag("c", "input", 40),
        tag("d", "holding", 50),
        tag("e", "holding", 51),
    )
    async with site_at(pymodbus_port, *tags) as site:
        payloads = await site.scan()
        assert payloads == {0: b"\x01", 1: b"\x01", 2: b"\x00\x28", 3: b"\x00\x32\x00\x33"}
        now = site.clock.wall_ns()
        assert site.blocks[3] == Block(3, Codec.MODBUS_REGISTERS, now, now, site.clock.monotonic_ns(), payloads[3])
        assert [block.codec for block in site.blocks[:2]] == [Codec.MODBUS_BITS, Codec.MODBUS_BITS]


@pytest.mark.parametrize("write_multiple", [True, False], ids=["FC 15 and 16", "FC 5 and 6"])
async def test_a_write_is_there_when_it_is_read_back(pymodbus_port: int, write_multiple: bool) -> None:
    tags = (
        tag("valve", "coil", 1, type="bool", access="rw"),
        tag("speed", "holding", 10, type="int16", scale=0.1, access="rw"),
        tag("total", "holding", 20, type="float64", byte_order="CDAB", access="rw"),
    )
    async with site_at(pymodbus_port, *tags, write_multiple=write_multiple) as site:
        for row, value in ((0, 1.0), (1, -12.3), (2, 1234.5678)):
            await site.link.write(row, value)
            assert await site.link.read_back(row) == Reading(pytest.approx(value), 0, site.clock.wall_ns())
        await site.link.write(0, 0.0)
        assert (await site.link.read_back(0)).value == 0.0


async def test_an_address_that_is_not_there_loses_its_own_plan_only(pymodbus_port: int) -> None:
    async with site_at(pymodbus_port, tag("a", address=5), tag("b", address=5000)) as site:
        assert await site.scan() == {0: b"\x00\x05", 1: b""}
        assert (site.blocks[1].codec, site.blocks[1].status) == (Codec.LOST, quality.BAD_NODE_ID_UNKNOWN)
        with pytest.raises(DeviceRefused, match=r"plc: illegal data address \(exception 2\) in answer to read holding"):
            await site.link.read_back(1)


async def test_an_address_missing_among_others_is_read_around(pymodbus_port: int) -> None:
    """P-ISOLATE: one row of a coalesced request, in the very scan that finds out."""
    tags = [tag(f"t{address}", address=address) for address in range(1995, 2003)]
    async with site_at(pymodbus_port, *tags) as site:
        for _ in range(2):
            payloads = await site.scan()
            (block,) = site.blocks
            assert block.lost == ((5, 3, quality.BAD_NODE_ID_UNKNOWN),)
            assert payloads[0] == struct.pack(">8H", *range(1995, 2000), 0, 0, 0)


async def test_a_refused_write_says_so_and_leaves_the_link_open(pymodbus_port: int) -> None:
    async with site_at(pymodbus_port, tag(address=5000, access="rw")) as site:
        with pytest.raises(DeviceRefused, match="write holding register 45001"):
            await site.link.write(0, 1.0)
        assert await site.scan() == {0: b""}


async def test_a_server_that_drops_what_is_pipelined_is_read_one_by_one_after_the_first_loss(
    pymodbus_port: int,
) -> None:
    """pymodbus answers one of the requests of a segment and drops the others."""
    async with site_at(pymodbus_port, *spread(8), max_outstanding=8, timeout_ms=200) as site:
        with pytest.raises(DeviceTimeout, match="from now on one at a time") as timeout:
            await site.scan()
        assert "max_outstanding = 1" in timeout.value.remedy
        assert site.link.outstanding_limit == 1
        await site.link.connect()
        assert await site.scan() == {i: struct.pack(">H", 100 * i) for i in range(8)}


# --- against a peer that misbehaves -------------------------------------------------------------------------------------


async def test_pipelining_keeps_the_limit_when_the_device_keeps_up() -> None:
    async with playing() as peer, site_at(peer.port, *spread(40), max_outstanding=16) as site:
        assert await site.scan() == {i: struct.pack(">H", 100 * i) for i in range(40)}
        assert site.link.outstanding_limit == 16


async def never_answers(caller: Caller) -> None:
    await caller.hung_up()


async def test_a_half_open_device_times_out_and_a_new_connection_works() -> None:
    async with playing(never_answers, answers_everything) as peer, site_at(peer.port, tag(), timeout_ms=50) as site:
        with pytest.raises(DeviceTimeout) as timeout:
            await site.scan()
        assert timeout.value.message == "plc: no reply to read holding register 40001 in 50 ms"
        assert timeout.value.remedy == ("Check the cable, unit_id and timeout_ms; run `gatewayd device probe plc`.")
        with pytest.raises(DeviceTimeout):
            await site.scan()
        await site.link.connect()
        assert await site.scan() == {0: b"\x00\x00"}
        assert peer.connections == 2


async def test_a_write_without_an_answer_is_not_repeated() -> None:
    asked: list[Asked] = []

    async def listens(caller: Caller) -> None:
        asked.append(await caller.next())
        await caller.hung_up()

    async with playing(listens) as peer, site_at(peer.port, tag(access="rw"), timeout_ms=50) as site:
        with pytest.raises(DeviceTimeout, match="plc: no reply to write holding register 40001 in 50 ms"):
            await site.link.write(0, 7.0)
        await site.link.connect()
    assert [one.pdu.hex() for one in asked] == ["10000000010200" + "07"]


async def test_transaction_ids_go_on_over_a_new_connection() -> None:
    """So the late answer of a serial gateway, sent on whatever connection is open, fits no request."""
    used: list[int] = []

    async def notes(caller: Caller) -> None:
        while True:
            asked = await caller.next()
            used.append(asked.transaction_id)
            caller.say(asked.good())

    async with playing(notes) as peer, site_at(peer.port, *spread(2)) as site:
        for _ in range(2):
            await site.scan()
            await site.link.close()
            await site.link.connect()
    assert used == [1, 2, 3, 4]


async def test_an_exception_then_a_value_to_one_request_is_a_protocol_error() -> None:
    async def says_both(caller: Caller) -> None:
        asked = await caller.next()
        caller.say(asked.exception(6) + asked.good())
        await caller.hung_up()

    async with playing(says_both) as peer, site_at(peer.port, *spread(2)) as site:
        with pytest.raises(DeviceProtocolError, match="an answer to no open request"):
            await site.scan()
        assert [(block.plan, block.status) for block in site.blocks] == [(0, quality.BAD_TIMEOUT)]


@pytest.mark.parametrize(
    ("bend", "says"),
    [
        (lambda asked: asked.frame(b"\x03\x02\0\0", unit_id=3), "unit id 3 instead of 1"),
        (lambda asked: asked.frame(b"\x03\x02\0\0", transaction_id=999), "no open request (transaction id 999)"),
        (lambda asked: asked.frame(b"\x03\x02\0"), "an answer of 3 bytes instead of 4"),
        (lambda _: b"HTTP/1.1 400 Bad Request\r\n", "protocol id 21584 instead of 0"),
    ],
    ids=["wrong unit id", "wrong transaction id", "short frame", "not a Modbus server"],
)
async def test_an_answer_that_cannot_be_trusted_replaces_the_connection(bend: Any, says: str) -> None:
    async def lies(caller: Caller) -> None:
        caller.say(bend(await caller.next()))
        await caller.hung_up()

    async with playing(lies, answers_everything) as peer, site_at(peer.port, tag()) as site:
        with pytest.raises(DeviceProtocolError) as error:
            await site.scan()
        assert says in error.value.message
        assert error.value.message.startswith("plc: ")
        assert site.blocks == []
        await site.link.connect()
        assert await site.scan() == {0: b"\x00\x00"}


async def test_a_connection_closed_in_the_middle_of_a_frame_gives_no_value() -> None:
    async def hangs_up(caller: Caller) -> None:
        caller.say((await caller.next()).good()[:-1])
        caller.hang_up()

    async with playing(hangs_up) as peer, site_at(peer.port, tag()) as site:
        with pytest.raises(DeviceUnreachable, match="lost while read holding register 40001 was open"):
            await site.scan()
        assert site.blocks == []


async def test_slow_bytes_are_put_together() -> None:
    async def dribbles(caller: Caller) -> None:
        while True:
            for byte in (await caller.next()).good():
                caller.say(bytes((byte,)))
                await asyncio.sleep(0.001)

    async with playing(dribbles) as peer, site_at(peer.port, *spread(2)) as site:
        assert await site.scan() == {0: b"\x00\x00", 1: b"\x00\x64"}


async def test_bytes_that_never_become_a_frame_time_out() -> None:
    async def dribbles_for_ever(caller: Caller) -> None:
        frame = (await caller.next()).good()
        caller.say(frame[:-1])
        await caller.hung_up()

    async with playing(dribbles_for_ever) as peer, site_at(peer.port, tag(), timeout_ms=50) as site:
        with pytest.raises(DeviceTimeout):
            await site.scan()


async def test_a_nan_read_back_is_a_bad_value_and_never_a_number() -> None:
    async def says_nan(caller: Caller) -> None:
        asked = await caller.next()
        caller.say(asked.frame(b"\x03\x04" + struct.pack(">f", math.nan)))
        asked = await caller.next()
        caller.say(asked.frame(b"\x03\x04" + struct.pack(">f", math.inf)))
        await caller.hung_up()

    async with playing(says_nan) as peer, site_at(peer.port, tag(type="float32")) as site:
        for _ in range(2):
            reading = await site.link.read_back(0)
            assert math.isnan(reading.value)
            assert reading.status == quality.BAD_SENSOR_FAILURE


# --- opening and closing ------------------------------------------------------------------------------------------------


async def test_a_second_connect_while_open_does_nothing() -> None:
    async with playing() as peer, site_at(peer.port, tag()) as site:
        await asyncio.gather(site.link.connect(), site.link.connect())
        await site.scan()
        assert peer.connections == 1


async def test_no_server_is_unreachable_and_says_where() -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        port = unused.getsockname()[1]
    site = Site(port, tag())
    with pytest.raises(DeviceUnreachable, match=f"plc: 127.0.0.1 port {port} cannot be reached") as error:
        await site.link.connect()
    assert "gatewayd device probe plc" in error.value.remedy
    with pytest.raises(DeviceUnreachable, match="not connected"):
        await site.scan()


@pytest.mark.parametrize("host", ["a" * 70, "no..name"])
async def test_a_host_that_is_no_name_is_unreachable(host: str) -> None:
    with pytest.raises(DeviceUnreachable):
        await Site(502, tag(), host=host).link.connect()


async def test_a_device_that_does_not_accept_in_time_is_a_timeout() -> None:
    """A listener with a full backlog: its host answers nothing to a further connection."""
    with socket.socket() as listener, socket.socket() as first, socket.socket() as second:
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        for filler in (first, second):
            filler.setblocking(False)
            filler.connect_ex(listener.getsockname())
        site = Site(listener.getsockname()[1], tag(), timeout_ms=50)
        with pytest.raises(DeviceTimeout, match="did not accept a connection in 50 ms"):
            await site.link.connect()


async def test_closing_fails_what_waits_and_may_be_done_twice() -> None:
    async with playing(never_answers) as peer, site_at(peer.port, *spread(3)) as site:
        scan = asyncio.create_task(site.scan())
        await asyncio.sleep(0)
        await site.link.close()
        await site.link.close()
        with pytest.raises(DeviceUnreachable, match="the gateway closed the connection"):
            await scan


async def test_closing_while_connecting_leaves_nothing_open() -> None:
    async with playing(never_answers) as peer:
        site = Site(peer.port, tag())
        connecting = asyncio.create_task(site.link.connect())
        await asyncio.sleep(0)
        await site.link.close()
        with pytest.raises(DeviceUnreachable, match="closed while connecting"):
            await connecting
        with pytest.raises(DeviceUnreachable):
            await site.scan()


async def test_closing_by_ourselves_says_nothing_about_pipelining() -> None:
    async with playing(never_answers) as peer, site_at(peer.port, *spread(4), max_outstanding=4) as site:
        scan = asyncio.create_task(site.scan())
        await asyncio.sleep(0)
        await site.link.close()
        with pytest.raises(DeviceError):
            await scan
        assert site.link.outstanding_limit == 4


async def test_a_tag_that_is_read_only_is_never_written() -> None:
    async with playing(never_answers) as peer, site_at(peer.port, tag("level")) as site:
        with pytest.raises(DeviceRefused, match="plc: level is not writable, its access is r"):
            await site.link.write(0, 1.0)


async def test_a_value_without_a_place_is_refused_before_anything_is_sent() -> None:
    async with playing(never_answers) as peer, site_at(peer.port, tag("level", access="rw")) as site:
        with pytest.raises(DeviceRefused, match=r"plc: 70000\.0 cannot be written to level, holding register 40001"):
            await site.link.write(0, 70_000.0)
