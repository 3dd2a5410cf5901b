"""Who may use a bus next: one at a time, writes and read-backs ahead of scans, else in order of arrival. No I/O."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager


class Turns:
    """A lock with two queues. Who waits is bounded by whoever calls."""

    def __init__(self) -> None:
        self._taken = False
        self._urgent: deque[asyncio.Future[None]] = deque()
        self._usual: deque[asyncio.Future[None]] = deque()

    @property
    def urgent_waiting(self) -> int:
        """Return how many urgent ones wait."""
        return len(self._urgent)

    @asynccontextmanager
    async def take(self, *, urgent: bool = False) -> AsyncIterator[None]:
        """Wait for the bus, hold it for the body."""
        await self._wait(self._urgent if urgent else self._usual)
        try:
            yield
        finally:
            self._pass_on()

    async def _wait(self, queue: deque[asyncio.Future[None]]) -> None:
        if not self._taken:
            self._taken = True
            return
        mine = asyncio.get_running_loop().create_future()
        queue.append(mine)
        try:
            await mine
        except asyncio.CancelledError:
            if mine in queue:
                queue.remove(mine)
            elif not mine.cancelled():
                self._pass_on()  # the turn came together with the cancellation
            raise

    def _pass_on(self) -> None:
        for queue in (self._urgent, self._usual):
            while queue:
                following = queue.popleft()
                if not following.done():
                    following.set_result(None)  # taken over, so `_taken` stays
                    return
        self._taken = False
