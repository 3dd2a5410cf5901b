"""Wait for news or a deadline, whichever is first."""

from __future__ import annotations

import asyncio

from gatewayd.clock import Clock


async def wait(news: asyncio.Event, clock: Clock, deadline_ns: int | None) -> None:
    """Return once `news` is set or `clock.monotonic_ns()` has reached the deadline; None = wait for news alone."""
    if news.is_set():
        return
    if deadline_ns is None:
        await news.wait()
        return
    rung = asyncio.Event()
    async with asyncio.TaskGroup() as tasks:
        waiters = (
            tasks.create_task(_ring_when_set(news, rung), name="alarm.news"),
            tasks.create_task(_ring_at(clock, deadline_ns, rung), name="alarm.deadline"),
        )
        await rung.wait()
        for waiter in waiters:
            waiter.cancel()


async def _ring_when_set(news: asyncio.Event, rung: asyncio.Event) -> None:
    await news.wait()
    rung.set()


async def _ring_at(clock: Clock, deadline_ns: int, rung: asyncio.Event) -> None:
    await clock.sleep_until(deadline_ns)
    rung.set()
