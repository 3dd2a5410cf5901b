"""A last bound around every driver: whatever it forgets to time out, a call to a link ends."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

from gatewayd.clock import Clock
from gatewayd.device.link import Deliver, Link, Note, Reading
from gatewayd.errors import DeviceTimeout
from gatewayd.model.block import Block, ReadPlan

SILENCE_NS = 60_000_000_000  # beside the driver's own timeouts, of which a connect may use several
TIMEOUTS = 10


class BoundedLink:
    """Another link whose calls end with DeviceTimeout when nothing has come of them for too long.

    The driver's own, shorter timeouts come first and say more. Without this bound a driver that hangs would keep its
    poller, and a point with a write under way, waiting for ever.

    Args:
        link: the driver's.
        timeout_ms: the device's.
        clock: for the bound.
    """

    def __init__(self, link: Link, *, timeout_ms: int, clock: Clock) -> None:
        self.name = link.name
        self.plans = link.plans
        self._link = link
        self._clock = clock
        self._bound_ns = SILENCE_NS + TIMEOUTS * timeout_ms * 1_000_000

    @property
    def note(self) -> Note:
        """Return what takes the driver's notes."""
        return self._link.note

    @note.setter
    def note(self, note: Note) -> None:
        self._link.note = note

    async def connect(self) -> None:
        """Open the connection; see `Link`."""
        async with self._bounded("connect"):
            await self._link.connect()

    async def scan(self, plans: Sequence[ReadPlan], deliver: Deliver) -> None:
        """Run the requests of these plans; each block delivered is a sign of life."""
        async with self._bounded("scan") as silence:

            def pass_on(blocks: Sequence[Block]) -> None:
                silence.heard_mono_ns = self._clock.monotonic_ns()
                deliver(blocks)

            await self._link.scan(plans, pass_on)

    async def write(self, row: int, value: float) -> None:
        """Write one tag; after DeviceTimeout the state of the plant is unknown."""
        async with self._bounded("write"):
            await self._link.write(row, value)

    async def read_back(self, row: int) -> Reading:
        """Read one tag on its own."""
        async with self._bounded("read back"):
            return await self._link.read_back(row)

    async def close(self) -> None:
        """Close without waiting for the device."""
        await self._link.close()

    @asynccontextmanager
    async def _bounded(self, what: str) -> AsyncIterator[_Silence]:
        """Bound a body; it notes the signs of life."""
        silence = _Silence(self._clock, self._bound_ns)
        try:
            async with silence.scope:
                yield silence
        except TimeoutError as error:
            if not silence.scope.expired():
                raise
            raise DeviceTimeout(
                f"{self.name}: nothing came of a {what} in {self._bound_ns // 1_000_000_000} s",
                remedy=f"The driver did not time out by itself; report it, and run `gatewayd device probe {self.name}`.",
            ) from error
        finally:
            silence.end()


class _Silence:
    """Ends a scope when there was no sign of life for `bound_ns`."""

    def __init__(self, clock: Clock, bound_ns: int) -> None:
        self.scope = asyncio.timeout(None)
        self._clock = clock
        self._bound_ns = bound_ns
        self.heard_mono_ns = clock.monotonic_ns()
        self._timer = clock.call_at(self.heard_mono_ns + bound_ns, self._look)

    def end(self) -> None:
        self._timer.cancel()

    def _look(self) -> None:
        deadline_ns = self.heard_mono_ns + self._bound_ns
        if self._clock.monotonic_ns() < deadline_ns:
            self._timer = self._clock.call_at(deadline_ns, self._look)
        else:
            self.scope.reschedule(asyncio.get_running_loop().time())
