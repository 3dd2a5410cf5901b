"""The last bound: a driver that forgets its own timeouts harms only its own tags."""

from __future__ import annotations

import asyncio

import pytest

from gatewayd.device.bounded import SILENCE_NS, BoundedLink
from gatewayd.errors import DeviceRefused, DeviceTimeout
from gatewayd.model.block import Codec, ReadPlan
from tests.clock import ManualClock
from tests.links import HandLink

PLANS = [ReadPlan(index, "plc", "default", Codec.COLUMNS, (), ()) for index in range(2)]
BOUND_NS = SILENCE_NS + 10 * 1_000_000_000

CALLS = {
    "connect": lambda link: link.connect(),
    "scan": lambda link: link.scan(PLANS, lambda block: None),
    "write": lambda link: link.write(4, 40.0),
    "read_back": lambda link: link.read_back(4),
}


class Bench:
    def __init__(self) -> None:
        self.clock = ManualClock()
        self.driver = HandLink(plans=PLANS)
        self.link = BoundedLink(self.driver, timeout_ms=1000, clock=self.clock)

    async def begin(self, call) -> asyncio.Future:
        task = asyncio.ensure_future(CALLS[call](self.link))
        await self.clock.settle()
        return task


@pytest.mark.parametrize("call", CALLS)
async def test_a_call_that_never_comes_back_ends_as_a_timeout(call):
    bench = Bench()
    bench.driver.hangs.add(call)
    task = await bench.begin(call)
    await bench.clock.advance(BOUND_NS - 1)
    assert not task.done()
    await bench.clock.advance(1)
    with pytest.raises(DeviceTimeout, match="nothing came of"):
        await task


@pytest.mark.parametrize("call", CALLS)
async def test_a_call_that_ends_by_itself_is_left_alone(call):
    bench = Bench()
    task = await bench.begin(call)
    await task
    await bench.clock.advance(2 * BOUND_NS)
    assert bench.link.name == bench.driver.name
    assert bench.link.plans == bench.driver.plans


async def test_the_drivers_own_errors_pass():
    bench = Bench()
    bench.driver.fails["write"] = DeviceRefused("no", remedy="look", status=0x803C0000, code=3)
    with pytest.raises(DeviceRefused):
        await bench.link.write(4, 40.0)


async def test_a_cancelled_call_is_cancelled_not_timed_out():
    bench = Bench()
    bench.driver.hangs.add("write")
    task = await bench.begin("write")
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_a_long_scan_that_keeps_delivering_is_alive():
    """A slow device with many plans is slow, not dead."""
    bench = Bench()

    class Slow(HandLink):
        async def scan(self, plans, deliver):
            for plan in plans * 3:
                await bench.clock.sleep_until(bench.clock.monotonic_ns() + BOUND_NS - 1)
                await super().scan([plan], deliver)

    bench.link = BoundedLink(Slow(plans=PLANS), timeout_ms=1000, clock=bench.clock)
    task = await bench.begin("scan")
    await bench.clock.advance(6 * BOUND_NS)
    await task


async def test_closing_is_passed_on():
    bench = Bench()
    await bench.link.close()
    assert bench.driver.closed == 1
