"""P-ISOLATE: many units behind one connection, and what a dead one costs the others."""

from __future__ import annotations

import asyncio

import pytest

from gatewayd.errors import DeviceTimeout, DeviceUnreachable, UnitsLost
from gatewayd.model.block import Block, Codec, ReadPlan
from gatewayd.model.record import DeviceEvent
from gatewayd.sense.breaker import Breaker
from gatewayd.sense.poller import Poller
from gatewayd.sense.schedule import ScanSchedule
from gatewayd.sense.units import Units
from tests.clock import ManualClock
from tests.links import HandLink

MS, S = 1_000_000, 1_000_000_000
EXCHANGE, TIMEOUT = 10 * MS, 200 * MS


def plan(index: int, unit: int, *, count: int = 10, scan_class: str = "default") -> ReadPlan:
    return ReadPlan(index, "bus", scan_class, Codec.MODBUS_REGISTERS, (), (3, 0, count), unit)


class Bus(HandLink):
    """Takes the time that a bus takes: an exchange for an answer, a timeout and a drain for none."""

    def __init__(self, clock: ManualClock, plans: list[ReadPlan]) -> None:
        super().__init__("bus", plans)
        self.clock = clock
        self.dead: set[int] = set()
        self.asked: list[int] = []  # plans
        self.timeout = TIMEOUT
        self.exchange = EXCHANGE
        self.drain = 0

    async def scan(self, plans, deliver) -> None:
        self.scans += 1
        await self._hang("scan")
        self._fail("scan")
        failures = {}
        for each in plans:
            is_dead = each.unit in self.dead
            if each.unit not in failures:
                self.asked.append(each.index)
                takes = self.drain + (self.timeout if is_dead else self.exchange)
                self.drain = self.timeout if is_dead else 0  # before the next request, whoever makes it
                await self.clock.sleep_until(self.clock.monotonic_ns() + takes)
            if is_dead:
                failures[each.unit] = DeviceTimeout(f"no reply of unit {each.unit}", remedy="look")
            status = DeviceTimeout.status if is_dead else 0
            deliver([Block(each.index, Codec.LOST if is_dead else each.codec, 1, 2, 3, b"", status)])
        if failures:
            raise UnitsLost("bus", failures)


class Bench:
    def __init__(self, plans: list[ReadPlan], *, demote_after: int = 3, demote_for_ns: int = 10 * S) -> None:
        self.clock = ManualClock()
        self.link = Bus(self.clock, plans)
        self.blocks: list[Block] = []
        self.notes: list[DeviceEvent] = []
        self.poller = Poller(
            self.link,
            ScanSchedule({"default": S, "slow": 7 * S}, plans, start_mono_ns=self.clock.monotonic_ns()),
            Breaker(demote_after, demote_for_ns),
            deliver=self.blocks.extend,
            note=self.notes.append,
            clock=self.clock,
        )
        self.task: asyncio.Future[None] | None = None

    async def advance(self, by_ns: int) -> None:
        if self.task is None:
            self.task = asyncio.ensure_future(self.poller.run())
        await self.clock.advance(by_ns)

    async def until_demoted(self, *units: int) -> None:
        for _ in range(100):
            await self.advance(S // 4)
            if self.poller.units.demoted == units:
                return
        raise AssertionError(f"{self.poller.units.demoted} are demoted")

    def events(self) -> list[tuple[str, str]]:
        return [(note.device, note.state) for note in self.notes]

    def good(self, unit: int) -> int:
        units = {each.index: each.unit for each in self.link.plans}
        return sum(units[block.plan] == unit and block.codec is not Codec.LOST for block in self.blocks)


@pytest.fixture
async def bench():
    """Four units, two requests each; the second is the cheaper one."""
    bench = Bench([plan(10 * unit + i, unit, count=10 - i) for unit in range(1, 5) for i in range(2)])
    yield bench
    if bench.task is not None:
        bench.task.cancel()
        await asyncio.gather(bench.task, return_exceptions=True)


async def test_a_dead_unit_is_skipped_after_its_limit_and_journalled_by_its_number(bench):
    bench.link.dead = {2}
    await bench.until_demoted(2)
    assert bench.events() == [("bus", "connected"), ("bus/unit 2", "lost"), ("bus/unit 2", "demoted")]
    assert bench.poller.state == "connected"
    assert bench.notes[-1].status == DeviceTimeout.status
    assert "unit 2" in bench.notes[-1].detail
    assert bench.link.asked.count(20) == 3
    assert bench.link.asked.count(21) == 0, "one request is enough to know"
    bench.link.asked.clear()
    await bench.advance(10 * S)
    assert {20, 21}.isdisjoint(bench.link.asked)


async def test_the_others_lose_no_scan_from_it(bench):
    bench.link.dead = {2}
    await bench.advance(100 * S)
    assert [bench.good(unit) for unit in (1, 2, 3, 4)] == [200, 0, 200, 200]
    assert bench.poller.schedule.overruns == 0


async def test_a_full_bus_has_the_time_to_catch_up_before_a_failing_unit_is_asked_again():
    """31 units take 0.78 s of each second; every silence takes one second more. None of the others loses a scan."""
    bench = Bench([plan(unit, unit) for unit in range(1, 33)])
    bench.link.exchange, bench.link.timeout = 25 * MS, 500 * MS
    bench.link.dead = {7}
    await bench.advance(120 * S)
    assert bench.poller.units.demoted == (7,)
    assert bench.poller.schedule.overruns == 0
    assert min(bench.good(unit) for unit in range(1, 33) if unit != 7) >= 119, "the last one may be under way"
    await stop(bench)


async def test_it_is_probed_by_one_cheap_request_behind_the_scan_and_read_whole_once_it_answers(bench):
    bench.link.dead = {2}
    await bench.until_demoted(2)
    bench.link.asked.clear()
    bench.link.dead.clear()
    await bench.advance(25 * S)
    assert [index for index in bench.link.asked if index in (20, 21)][:3] == [21, 20, 21]
    assert bench.link.asked[bench.link.asked.index(21) - 1] == 41, "the probe comes last"
    assert bench.events()[-1] == ("bus/unit 2", "connected")
    assert bench.poller.units.demoted == ()


async def test_a_silent_probe_takes_at_most_two_hundredths_of_the_bus(bench):
    """It takes 200 ms and as long a drain: the next one comes 20 s later, not after the 10 s of `demote_for_s`."""
    bench.link.dead = {2}
    await bench.until_demoted(2)
    bench.link.asked.clear()
    await bench.advance(200 * S)
    probes = bench.link.asked.count(21)
    assert probes * 2 * TIMEOUT <= 0.02 * 200 * S
    assert probes == 9


async def test_a_probe_that_costs_little_comes_as_often_as_the_settings_say():
    bench = Bench([plan(1, 1), plan(2, 2)])
    bench.link.timeout = 20 * MS
    bench.link.dead = {2}
    await bench.until_demoted(2)
    bench.link.asked.clear()
    await bench.advance(100 * S)
    assert bench.link.asked.count(2) == 9
    await stop(bench)


async def test_two_dead_units_are_not_probed_in_one_scan(bench):
    bench.link.dead = {2, 3}
    await bench.until_demoted(2, 3)
    bench.link.asked.clear()
    await bench.advance(23 * S)
    places = [place for place, index in enumerate(bench.link.asked) if index in (21, 31)]
    assert len(places) == 2
    assert places[1] - places[0] > 4


async def test_a_demoted_units_slow_class_turns_bad_when_it_falls_due():
    """P-STALE: its last value is from before the unit died."""
    bench = Bench([plan(1, 1), plan(2, 2), plan(3, 2, scan_class="slow")])
    bench.link.timeout = 50 * MS
    await bench.advance(S // 2)
    bench.link.dead = {2}
    await bench.advance(5 * S)
    assert bench.poller.units.demoted == (2,)
    bench.blocks.clear()
    await bench.advance(3 * S)
    told = [(block.plan, block.codec, block.status) for block in bench.blocks if block.plan != 1]
    assert told == [(3, Codec.LOST, DeviceTimeout.status)]
    await stop(bench)


async def test_a_bus_on_which_nobody_answers_is_the_devices_failure_and_no_units(bench):
    bench.link.dead = {1, 2, 3, 4}
    await bench.advance(8 * S)
    assert bench.events() == [("bus", "lost"), ("bus", "demoted")]
    assert bench.poller.units.demoted == ()
    assert bench.link.closed == 0, "the port stays open, else a late answer meets a fresh line"
    bench.link.dead = {3}
    await bench.advance(15 * S)
    assert bench.events()[2:4] == [("bus", "connected"), ("bus/unit 3", "demoted")]


async def test_one_slow_unit_alone_in_its_scan_is_not_the_whole_bus():
    bench = Bench([plan(1, 1), plan(2, 2, scan_class="slow")])
    await bench.advance(S // 2)
    bench.link.dead = {2}
    await bench.advance(30 * S)
    assert ("bus", "lost") not in bench.events()
    assert ("bus/unit 2", "lost") in bench.events()
    await stop(bench)


async def test_a_single_unit_is_the_device():
    bench = Bench([plan(1, 5), plan(2, 5)])
    bench.link.dead = {5}
    await bench.advance(6 * S)
    assert bench.events() == [("bus", "lost"), ("bus", "demoted")]
    await stop(bench)


async def test_a_line_that_is_lost_loses_all_and_is_opened_again(bench):
    await bench.advance(S // 2)
    bench.link.fails["scan"] = DeviceUnreachable("pulled out", remedy="look")
    await bench.advance(S)
    assert bench.events()[-1] == ("bus", "lost")
    assert bench.link.closed == 1
    lost = {block.plan for block in bench.blocks if block.codec is Codec.LOST}
    assert lost == {each.index for each in bench.link.plans}


async def test_a_probe_on_which_the_line_breaks_is_survived(bench):
    bench.link.dead = {2}
    await bench.until_demoted(2)
    units = bench.poller.units
    await bench.advance(19 * S)
    bench.link.fails["scan"] = DeviceUnreachable("pulled out", remedy="look")
    await bench.advance(5 * S)
    del bench.link.fails["scan"]
    bench.link.dead.clear()
    await bench.advance(60 * S)
    assert bench.poller.state == "connected"
    assert units.demoted == ()


def test_an_opcua_device_has_no_units_and_its_requests_are_no_numbers():
    plans = [ReadPlan(index, "scada", "default", Codec.OPCUA_READ, (), ("ns=2;s=a", "ns=2;s=b")) for index in range(2)]
    units = Units(plans, 3, S)
    assert (units.are_many, units.split(plans, 0), units.due_probe(0)) == (False, (plans, []), None)


def test_units_without_plans_count_nothing():
    """A unit that is only written to has no scans to lose."""
    units = Units([plan(1, 1), plan(2, 2)], 1, S)
    units.note([plan(1, 1)], {9: DeviceTimeout("x", remedy="look")}, {}, 0)
    assert units.demoted == ()


async def stop(bench: Bench) -> None:
    assert bench.task is not None
    bench.task.cancel()
    await asyncio.gather(bench.task, return_exceptions=True)


def test_a_device_of_another_protocol_is_a_single_unit_however_many_plans_it_has():
    plans = [ReadPlan(index, "scada", "default", Codec.OPCUA_READ, (), ("ns=2;s=a", "ns=2;s=b")) for index in range(2)]
    units = Units(plans, demote_after=3, demote_for_ns=S)
    assert not units.are_many
    assert units.split(plans, 0) == (plans, [])
