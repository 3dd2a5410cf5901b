"""A link moved by hand, for the shells around it. Drivers themselves are tested against real servers."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from gatewayd.device.link import Deliver, Reading, silent
from gatewayd.errors import DeviceError
from gatewayd.model.block import Block, Codec, ReadPlan


class HandLink:
    """Does what the test says: holds one value per row, fails on request, remembers what it was told."""

    def __init__(self, name: str = "plc", plans: Sequence[ReadPlan] = ()) -> None:
        self.name = name
        self.plans = tuple(plans)
        self.note = silent
        self.values: dict[int, float] = {}
        self.written: list[tuple[int, float]] = []
        self.fails: dict[str, DeviceError] = {}  # "connect", "scan", "write", "read_back"
        self.applies = True  # False: acknowledges writes and ignores them
        self.status = 0
        self.scans = 0
        self.closed = 0
        self.gate = asyncio.Event()  # writes wait for it
        self.gate.set()
        self.hangs: set[str] = set()  # calls that never come back

    async def connect(self) -> None:
        await self._hang("connect")
        self._fail("connect")

    async def scan(self, plans: Sequence[ReadPlan], deliver: Deliver) -> None:
        self.scans += 1
        for place, plan in enumerate(plans):
            if place == 1:
                self._fail("scan after one")
            deliver([Block(plan.index, Codec.COLUMNS, 1, 2, 3, b"")])
        await self._hang("scan")
        self._fail("scan")

    async def write(self, row: int, value: float) -> None:
        await self.gate.wait()
        self.written.append((row, value))
        if self.applies:
            self.values[row] = value
        await self._hang("write")
        self._fail("write")

    async def read_back(self, row: int) -> Reading:
        await self._hang("read_back")
        self._fail("read_back")
        return Reading(self.values.get(row, 0.0), self.status, 5)

    async def close(self) -> None:
        self.closed += 1

    async def _hang(self, what: str) -> None:
        if what in self.hangs:
            await asyncio.get_running_loop().create_future()

    def _fail(self, what: str) -> None:
        if what in self.fails:
            raise self.fails[what]
