"""The machine's clocks tell whole microseconds, and nobody wakes early by that."""

from __future__ import annotations

import time

from gatewayd.clock import UNIT_NS, SystemClock


def test_the_machines_clocks_tell_whole_microseconds():
    clock = SystemClock()
    before_ns = time.time_ns()
    wall_ns, mono_ns = clock.wall_ns(), clock.monotonic_ns()
    assert wall_ns % UNIT_NS == mono_ns % UNIT_NS == 0
    assert before_ns - UNIT_NS < wall_ns <= time.time_ns()
    assert mono_ns <= clock.monotonic_ns()


async def test_a_sleeper_wakes_when_its_time_has_come_and_not_before():
    clock = SystemClock()
    deadline_ns = clock.monotonic_ns() + 1_000_001
    await clock.sleep_until(deadline_ns)
    assert time.clock_gettime_ns(time.CLOCK_BOOTTIME) >= deadline_ns
