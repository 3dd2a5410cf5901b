"""Plans asked in parts, delivered whole; the device is on paper."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from gatewayd.device.link import Deliver
from gatewayd.device.modbus import pdu
from gatewayd.device.modbus.holes import RETRY_FIRST_NS
from gatewayd.device.modbus.outcome import Query, make_query
from gatewayd.device.modbus.plan import plan_reads
from gatewayd.device.modbus.scanner import REQUESTS_PER_SCAN_MAX, Scanner
from gatewayd.errors import DeviceTimeout
from gatewayd.model import quality
from gatewayd.model.block import Block, Codec, ReadPlan
from gatewayd.model.device import ModbusTag
from gatewayd.model.registers import span
from tests.clock import ManualClock
from tests.device.modbus.plant import device, tag


class Plc:
    """Every register holds its own address, every third coil is on; some addresses are missing, some fail."""

    def __init__(self, *tags: ModbusTag, **limits: int) -> None:
        self.plans = plan_reads(device(**limits), list(enumerate(tags)), 5)
        self.clock = ManualClock()
        self.scanner = Scanner(
            self.plans, lambda plan: [span(tags[row.row]) for row in plan.rows], self._query, self.clock
        )
        self.missing: set[int] = set()
        self.failing: set[int] = set()
        self.ends_after = -1  # answers until the connection is lost
        self.asked: list[tuple[int, int]] = []
        self.blocks: dict[int, Block] = {}

    def _query(self, plan: ReadPlan, request: pdu.Request, number: int) -> Query:
        return make_query(1, request, number, plan.codec)

    async def scan(self) -> Block:
        """Scan all plans; return the block of the first."""
        self.asked.clear()
        self.blocks.clear()
        await self.scanner.scan(self.plans, self._deliver, self._read)
        assert self.blocks.keys() == {plan.index for plan in self.plans}
        return self.blocks[5]

    def _deliver(self, blocks: Sequence[Block]) -> None:
        for block in blocks:
            assert block.plan not in self.blocks, "a plan is delivered once"
            self.blocks[block.plan] = block

    async def _read(self, queries: Sequence[Query], deliver: Deliver) -> None:
        for query in queries:
            if len(self.asked) == self.ends_after:
                raise DeviceTimeout("plc: no reply", remedy="Wait.")
            await self.clock.advance(1_000_000)
            request = query.request
            self.asked.append((request.address, request.address + request.count))
            touched = set(range(*self.asked[-1]))
            status = quality.BAD_NODE_ID_UNKNOWN if touched & self.missing else 0
            status = status or (quality.BAD_DEVICE_FAILURE if touched & self.failing else 0)
            payload = b"" if status else _held(query)
            codec = Codec.LOST if status else query.codec
            now_ns = self.clock.wall_ns()
            deliver([Block(query.plan, codec, now_ns - 1_000_000, now_ns, self.clock.monotonic_ns(), payload, status)])


def _held(query: Query) -> bytes:
    addresses = range(query.request.address, query.request.address + query.request.count)
    if query.codec is Codec.MODBUS_BITS:
        bits = sum(1 << place for place, address in enumerate(addresses) if address % 3 == 0)
        return bits.to_bytes((len(addresses) + 7) // 8, "little")
    return b"".join(address.to_bytes(2, "big") for address in addresses)


def registers(*addresses: int) -> tuple[ModbusTag, ...]:
    return tuple(tag(f"t{address}", address=address) for address in addresses)


def words(payload: bytes) -> list[int]:
    return [int.from_bytes(payload[at : at + 2], "big") for at in range(0, len(payload), 2)]


async def test_a_device_that_has_every_address_is_asked_once_per_plan() -> None:
    plc = Plc(*registers(10, 11, 14, 200))
    assert words((await plc.scan()).payload) == [10, 11, 12, 13, 14]
    assert plc.asked == [(10, 15), (200, 201)]
    assert plc.scanner.refused() == {}


async def test_a_refused_address_costs_its_own_tag_in_the_scan_that_finds_it() -> None:
    """P-ISOLATE. The payload stands as the plan says, and the block says which rows are not in it."""
    plc = Plc(*registers(*range(10, 18)), *registers(100))
    plc.missing = {12}
    for _ in range(2):
        block = await plc.scan()
        assert (block.codec, block.status) == (Codec.MODBUS_REGISTERS, 0)
        assert block.lost == ((2, 1, quality.BAD_NODE_ID_UNKNOWN),)
        assert words(block.payload) == [10, 11, 0, 13, 14, 15, 16, 17]
        assert plc.blocks[6].lost == ()
    assert sorted(plc.asked) == [(10, 12), (13, 18), (100, 101)]
    assert plc.scanner.refused() == {5: ((12, 13),)}


async def test_a_refused_gap_costs_a_request_and_no_tag() -> None:
    plc = Plc(*registers(10, 11, 14, 15))
    plc.missing = {12}
    for _ in range(2):
        block = await plc.scan()
        assert (block.lost, words(block.payload)) == ((), [10, 11, 0, 0, 14, 15])
    assert plc.asked == [(10, 12), (14, 16)]


async def test_coils_are_put_together_bit_by_bit() -> None:
    addresses = range(3, 40)
    plc = Plc(*(tag(f"c{address}", "coil", address, type="bool") for address in addresses))
    plc.missing = {14, 30}
    for _ in range(2):
        block = await plc.scan()
        refused = quality.BAD_NODE_ID_UNKNOWN
        assert (block.codec, block.lost) == (Codec.MODBUS_BITS, ((11, 1, refused), (27, 1, refused)))
        found = [block.payload[(address - 3) // 8] >> (address - 3) % 8 & 1 for address in addresses]
        assert found == [int(address % 3 == 0 and address not in plc.missing) for address in addresses]
    assert plc.asked == [(3, 14), (15, 30), (31, 40)]


async def test_a_part_over_which_the_device_fails_has_that_status_and_is_asked_again() -> None:
    plc = Plc(*registers(*range(10, 18)))
    plc.missing = {12}
    await plc.scan()
    plc.failing = {15}
    block = await plc.scan()
    assert block.lost == ((2, 1, quality.BAD_NODE_ID_UNKNOWN), (3, 5, quality.BAD_DEVICE_FAILURE))
    plc.failing = set()
    assert (await plc.scan()).lost == ((2, 1, quality.BAD_NODE_ID_UNKNOWN),)


async def test_a_plan_of_which_nothing_is_there_is_lost_and_not_asked_for_a_while() -> None:
    plc = Plc(*registers(10))
    plc.missing = {10}
    for asked in ([(10, 11)], []):
        block = await plc.scan()
        assert (block.codec, block.status, block.payload) == (Codec.LOST, quality.BAD_NODE_ID_UNKNOWN, b"")
        assert plc.asked == asked
        assert block.response_mono_ns == plc.clock.monotonic_ns()


async def test_a_refused_address_is_tried_again_and_taken_back_when_it_answers() -> None:
    plc = Plc(*registers(*range(10, 18)))
    plc.missing = {12}
    await plc.scan()
    await plc.clock.advance(RETRY_FIRST_NS)
    block = await plc.scan()
    assert plc.asked == [(10, 12), (13, 18), (12, 13)]
    assert block.lost == ((2, 1, quality.BAD_NODE_ID_UNKNOWN),)
    await plc.clock.advance(RETRY_FIRST_NS)
    await plc.scan()
    assert plc.asked == [(10, 12), (13, 18)], "twice as long this time"
    plc.missing = set()
    await plc.clock.advance(RETRY_FIRST_NS)
    await plc.scan()
    assert plc.asked == [(10, 12), (13, 18), (12, 13)]
    block = await plc.scan()
    assert (plc.asked, block.lost) == ([(10, 18)], ())
    assert plc.scanner.refused() == {}


async def test_a_search_goes_on_in_the_next_scans_and_no_scan_is_held_up_by_it() -> None:
    """P-BOUND."""
    plc = Plc(*registers(*range(100)))
    plc.missing = set(range(0, 100, 2))
    await plc.scan()
    assert len(plc.asked) <= 1 + REQUESTS_PER_SCAN_MAX
    for _ in range(30):
        block = await plc.scan()
        assert len(plc.asked) <= 100, "never more than one for each value"
    assert sum(rows for _, rows, _ in block.lost) == 50
    assert all(words(block.payload)[address] == address for address in range(1, 100, 2))
    assert len(plc.asked) == 50


async def test_the_times_of_a_block_reach_over_all_its_requests() -> None:
    plc = Plc(*registers(*range(10, 18)))
    plc.missing = {12}
    await plc.scan()
    began_ns = plc.clock.wall_ns()
    block = await plc.scan()
    assert (block.request_time_ns, block.response_time_ns) == (began_ns, began_ns + 2_000_000)


async def test_a_connection_lost_in_the_middle_delivers_what_is_whole_and_learns_on() -> None:
    plc = Plc(*registers(*range(10, 18)), *registers(100))
    plc.missing = {12}
    await plc.scan()
    plc.ends_after = 1
    with pytest.raises(DeviceTimeout):
        await plc.scan()
    assert plc.blocks.keys() == {6}, "the parts of plan 5 never came: its poller says so"
    plc.ends_after = -1
    assert (await plc.scan()).lost == ((2, 1, quality.BAD_NODE_ID_UNKNOWN),)


async def test_a_scan_that_ends_between_two_questions_delivers_and_goes_on_in_the_next() -> None:
    """As when another unit behind the same connection fails."""
    plc = Plc(*registers(*range(10, 18)))
    plc.missing = {12}
    read = plc._read

    async def fails_after(queries: Sequence[Query], deliver: Deliver) -> None:
        await read(queries, deliver)
        raise DeviceTimeout("plc: no reply of unit 2", remedy="Wait.")

    with pytest.raises(DeviceTimeout):
        await plc.scanner.scan(plc.plans, plc._deliver, fails_after)
    assert (plc.blocks[5].codec, plc.blocks[5].status) == (Codec.LOST, quality.BAD_NODE_ID_UNKNOWN)
    assert (await plc.scan()).lost == ((2, 1, quality.BAD_NODE_ID_UNKNOWN),)
    assert plc.asked[:2] == [(10, 14), (14, 18)]
