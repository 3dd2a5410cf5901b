"""A device's poller: blocks on time, lost blocks when the device fails, its state journalled once per change."""

from __future__ import annotations

import asyncio

import pytest

from gatewayd.errors import DeviceTimeout, DeviceUnreachable
from gatewayd.model.block import Block, Codec, ReadPlan
from gatewayd.model.record import DeviceEvent
from gatewayd.sense.breaker import Breaker
from gatewayd.sense.poller import Poller
from gatewayd.sense.schedule import ScanSchedule
from tests.clock import ManualClock
from tests.links import HandLink

MS, S = 1_000_000, 1_000_000_000
PLANS = [ReadPlan(index, "plc", "default", Codec.COLUMNS, (), ()) for index in range(3)]


class Bench:
    def __init__(self) -> None:
        self.clock = ManualClock()
        self.link = HandLink(plans=PLANS)
        self.blocks: list[Block] = []
        self.notes: list[DeviceEvent] = []
        self.poller = Poller(
            self.link,
            ScanSchedule({"default": 100 * MS}, PLANS, start_mono_ns=self.clock.monotonic_ns()),
            Breaker(3, 10 * S),
            deliver=self.blocks.extend,
            note=self.notes.append,
            clock=self.clock,
        )
        self.task: asyncio.Future[None] | None = None

    async def advance(self, by_ns: int) -> None:
        """Start polling at the first call, then move the clock."""
        if self.task is None:
            self.task = asyncio.ensure_future(self.poller.run())
        await self.clock.advance(by_ns)


@pytest.fixture
async def bench():
    bench = Bench()
    yield bench
    if bench.task is not None:
        bench.task.cancel()
        await asyncio.gather(bench.task, return_exceptions=True)


async def test_every_plan_is_read_on_the_grid(bench):
    await bench.advance(200 * MS)
    assert bench.link.scans == 3
    assert [block.plan for block in bench.blocks] == [0, 1, 2] * 3
    assert [note.state for note in bench.notes] == ["connected"]


async def test_a_link_that_fails_half_way_loses_only_what_was_not_delivered(bench):
    bench.link.fails["scan after one"] = DeviceTimeout("no reply", remedy="look")
    await bench.advance(0)
    assert [(block.plan, block.codec) for block in bench.blocks] == [
        (0, Codec.COLUMNS),
        (1, Codec.LOST),
        (2, Codec.LOST),
    ]
    assert {block.status for block in bench.blocks[1:]} == {DeviceTimeout.status}
    assert bench.link.closed == 1


async def test_a_dead_device_is_left_alone_and_comes_back(bench):
    bench.link.fails["connect"] = DeviceUnreachable("refused", remedy="look")
    await bench.advance(5 * S)
    assert [note.state for note in bench.notes] == ["lost", "demoted"]
    lost = len(bench.blocks)
    del bench.link.fails["connect"]
    await bench.advance(4 * S)
    assert len(bench.blocks) == lost, "a demoted device is not asked"
    await bench.advance(2 * S)
    assert bench.notes[-1].state == "connected"
    assert bench.link.scans > 0


async def test_a_slow_class_of_a_dead_device_turns_bad_when_its_scan_falls_due():
    """P-STALE: its last value is from before the device died; no scan, no Good value."""
    bench = Bench()
    plans = [PLANS[0], ReadPlan(1, "plc", "slow", Codec.COLUMNS, (), ())]
    bench.poller.schedule = ScanSchedule(
        {"default": 100 * MS, "slow": 5 * S}, plans, start_mono_ns=bench.clock.monotonic_ns()
    )
    await bench.advance(0)
    bench.link.fails["connect"] = DeviceUnreachable("refused", remedy="look")
    await bench.advance(S)
    assert bench.poller.state == "demoted"
    bench.blocks.clear()
    await bench.advance(5 * S)
    assert [(block.plan, block.codec, block.status) for block in bench.blocks] == [
        (1, Codec.LOST, DeviceUnreachable.status)
    ]
    bench.task.cancel()
    await asyncio.gather(bench.task, return_exceptions=True)
