"""A flaky part is run again, later each time; a bug is not."""

from __future__ import annotations

import asyncio
import itertools

import pytest

from gatewayd.errors import LinkError
from gatewayd.supervise import BACKOFF_FIRST_NS, BACKOFF_MAX_NS, keep_running
from tests.clock import ManualClock


async def test_each_failure_waits_longer_up_to_a_minute():
    clock, starts = ManualClock(), []

    async def fail() -> None:
        starts.append(clock.monotonic_ns())
        raise LinkError("down", remedy="wait")

    task = asyncio.ensure_future(keep_running("sync", fail, clock=clock))
    await clock.advance(400 * BACKOFF_FIRST_NS)
    task.cancel()
    waits = [later - earlier for earlier, later in itertools.pairwise(starts)]
    assert waits[:4] == [BACKOFF_FIRST_NS << power for power in range(4)]
    assert max(waits) == BACKOFF_MAX_NS


async def test_a_part_that_ran_well_for_long_starts_again_soon():
    clock, starts = ManualClock(), []

    async def fail_late() -> None:
        starts.append(clock.monotonic_ns())
        await clock.sleep_until(clock.monotonic_ns() + 2 * BACKOFF_MAX_NS)
        raise LinkError("down", remedy="wait")

    task = asyncio.ensure_future(keep_running("sync", fail_late, clock=clock))
    await clock.advance(7 * BACKOFF_MAX_NS)
    task.cancel()
    assert starts[-1] - starts[-2] == 2 * BACKOFF_MAX_NS + BACKOFF_FIRST_NS


async def test_a_bug_is_not_run_again():
    async def bug() -> None:
        raise KeyError("bug")

    with pytest.raises(KeyError):
        await keep_running("sync", bug, clock=ManualClock())


async def test_a_part_that_ends_stays_ended():
    async def done() -> None:
        return

    await keep_running("sync", done, clock=ManualClock())
