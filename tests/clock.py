"""A clock moved by hand: nothing in a test waits for real time."""

from __future__ import annotations

import asyncio
import heapq
from collections.abc import Callable


class ManualClock:
    """Wall and boot time that advance only when told; sleepers wake in order of their deadlines."""

    def __init__(self, wall_ns: int = 1_750_000_000_000_000_000, monotonic_ns: int = 1_000_000_000) -> None:
        self._wall_ns = wall_ns
        self._monotonic_ns = monotonic_ns
        self._sleepers: list[tuple[int, int, asyncio.Future[None]]] = []
        self._order = 0

    def wall_ns(self) -> int:
        return self._wall_ns

    def monotonic_ns(self) -> int:
        return self._monotonic_ns

    async def sleep_until(self, deadline_ns: int) -> None:
        if deadline_ns <= self._monotonic_ns:
            await asyncio.sleep(0)
            return
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._order += 1
        heapq.heappush(self._sleepers, (deadline_ns, self._order, future))
        await future

    def call_at(self, deadline_ns: int, callback: Callable[[], None]) -> asyncio.Future[None]:
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        future.add_done_callback(lambda done: None if done.cancelled() else callback())
        if deadline_ns <= self._monotonic_ns:
            future.set_result(None)
        else:
            self._order += 1
            heapq.heappush(self._sleepers, (deadline_ns, self._order, future))
        return future

    def jump_wall(self, by_ns: int) -> None:
        """Step wall time only, as a bad NTP server would."""
        self._wall_ns += by_ns

    async def advance(self, by_ns: int) -> None:
        """Move both clocks, waking each sleeper at its own time and letting it run until it waits again."""
        end = self._monotonic_ns + by_ns
        await self.settle()
        while self._sleepers and self._sleepers[0][0] <= end:
            deadline, _, future = heapq.heappop(self._sleepers)
            self._move_to(deadline)
            if not future.done():
                future.set_result(None)
            await self.settle()
        self._move_to(end)
        await self.settle()

    async def settle(self, turns: int = 20) -> None:
        """Let everything that can run, run."""
        for _ in range(turns):
            await asyncio.sleep(0)

    def _move_to(self, monotonic_ns: int) -> None:
        step = max(0, monotonic_ns - self._monotonic_ns)
        self._monotonic_ns += step
        self._wall_ns += step
