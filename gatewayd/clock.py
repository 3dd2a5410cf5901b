"""The only door to clocks and sleeping. Pure code takes `now_ns`; shells take a `Clock`."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Protocol

UNIT_NS = 1_000  # of the machine's clocks


class Cancellable(Protocol):
    """A call that can be taken back."""

    def cancel(self) -> None:
        """Forget it; harmless when it has happened."""
        ...


class Clock(Protocol):
    """Wall time is for records, monotonic time for durations."""

    def wall_ns(self) -> int:
        """Return nanoseconds since 1970-01-01 UTC; may jump."""
        ...

    def monotonic_ns(self) -> int:
        """Return nanoseconds since boot, suspend included; never goes back."""
        ...

    def call_at(self, deadline_ns: int, callback: Callable[[], None]) -> Cancellable:
        """Call back once `monotonic_ns()` is at least `deadline_ns`, unless cancelled before."""
        ...

    async def sleep_until(self, deadline_ns: int) -> None:
        """Return once `monotonic_ns()` is at least `deadline_ns`."""
        ...


class SystemClock:
    """The machine's clocks. CLOCK_BOOTTIME, because CLOCK_MONOTONIC stops in suspend.

    They tell whole microseconds: what is finer is when the scheduler came by, and the flight recorder keeps every bit.
    """

    def wall_ns(self) -> int:
        """Return CLOCK_REALTIME in nanoseconds, a multiple of 1000."""
        return time.time_ns() // UNIT_NS * UNIT_NS

    def monotonic_ns(self) -> int:
        """Return CLOCK_BOOTTIME in nanoseconds, a multiple of 1000."""
        return time.clock_gettime_ns(time.CLOCK_BOOTTIME) // UNIT_NS * UNIT_NS

    def call_at(self, deadline_ns: int, callback: Callable[[], None]) -> Cancellable:
        """Use the loop's timer; late by the loop's lag."""
        left_s = max(0, deadline_ns - self.monotonic_ns()) / 1e9
        return asyncio.get_running_loop().call_later(left_s, callback)

    async def sleep_until(self, deadline_ns: int) -> None:
        """Sleep; wake early never, late by the loop's lag."""
        while (left_ns := deadline_ns - self.monotonic_ns()) > 0:
            await asyncio.sleep(left_ns / 1e9)
