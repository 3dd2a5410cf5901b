"""A subscribed link as a test watches it: what it delivers, decoded slowly, and a clock that can be pushed on."""

from __future__ import annotations

import asyncio
import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from pathlib import Path

from gatewayd.clock import SystemClock
from gatewayd.device.opcua.link import OpcuaLink
from gatewayd.model.block import Block, Codec
from gatewayd.model.device import OpcuaScanClass, OpcuaTag
from gatewayd.model.record import Body, Gap
from tests.device.opcua.nursery import ForkedServer
from tests.device.opcua.rig import device, kernel_reads, link_to
from tests.device.opcua.told_server import serve
from tests.kernels.notifications import read_notification

SOON_S = 20.0  # generous: a condition that holds ends the wait at once


class PushedClock(SystemClock):
    """The machine's clock; a push is time that passes for everything that counts, and for nobody who sleeps."""

    pushed_ns = 0

    def monotonic_ns(self) -> int:
        return super().monotonic_ns() + self.pushed_ns

    def push(self, seconds: float) -> None:
        self.pushed_ns += round(seconds * 1e9)


class ToldServer(ForkedServer):
    """A server of `told_server.py`."""

    def __init__(self, *options: str, port: int = 0) -> None:
        super().__init__(serve, *options, port=port)


class Watcher:
    """A link with one subscribed scan class, looked after as a poller would."""

    def __init__(self, endpoint: str, tags: list[OpcuaTag], folder: Path, **settings: object) -> None:
        scan = OpcuaScanClass(mode="subscribe", publishing_interval_ms=settings.pop("publishing_interval_ms", 50))
        classes = {"default": scan, "polled": OpcuaScanClass()}
        self.clock = PushedClock()
        configured = device(endpoint, scan_classes=classes, **({"timeout_ms": 1000} | settings))
        self.link: OpcuaLink = link_to(configured, tags, folder, self.clock)
        self.link.note = self.note
        self.notes: list[Body] = []
        self.blocks: list[Block] = []
        self.history: dict[int, list[float]] = defaultdict(list)  # row -> every value, in order
        self.status: dict[int, int] = {}

    @property
    def gaps(self) -> list[Gap]:
        return [note for note in self.notes if isinstance(note, Gap)]

    def note(self, body: Body) -> None:
        self.notes.append(body)

    def value(self, row: int) -> float | None:
        return self.history[row][-1] if self.history[row] else None

    def count(self, codec: Codec) -> int:
        return sum(block.codec is codec for block in self.blocks)

    def take(self, blocks: Sequence[Block]) -> None:
        self.blocks.extend(blocks)
        for block in blocks:
            self._take(block)

    def _take(self, block: Block) -> None:
        rows = [row.row for row in self.link.plans[block.plan].rows]
        if block.codec is Codec.OPCUA_NOTIFICATION:
            for handle, sample in read_notification(block.payload):
                self.history[rows[handle]].append(sample.value)
                self.status[rows[handle]] = sample.status
        elif block.codec is Codec.OPCUA_READ:
            for row, value, status in zip(rows, *kernel_reads(block.payload, len(rows)), strict=True):
                self.history[row].append(value)
                self.status[row] = status
        elif block.codec is Codec.LOST:
            self.status |= dict.fromkeys(rows, block.status)

    async def look(self) -> None:
        """Connect if need be, and look after everything once."""
        await self.link.connect()
        await self.link.scan(self.link.plans, self.take)

    async def until(self, condition: Callable[[], object], what: str) -> None:
        """Look after it until a condition holds."""
        deadline = time.monotonic() + SOON_S
        while not condition():
            assert time.monotonic() < deadline, what
            await self.look()
            await asyncio.sleep(0.02)  # what the server sends comes in between
