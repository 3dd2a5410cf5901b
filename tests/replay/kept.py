"""What a gateway with a plant on paper recorded, and a source that is not as it was recorded."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

from gatewayd.replay.engine import Replay
from gatewayd.replay.report import Report
from gatewayd.replay.source import Block, open_source
from hil.bench.plc import COUNTER, TOGGLE
from hil.bench.site import write_site
from hil.paper import PaperGateway

FORM = os.environ.get("GATEWAYD_KERNELS", "python")
RUN = 1 << 40


@asynccontextmanager
async def running(folder: Path) -> AsyncIterator[PaperGateway]:
    """A gateway in its first run; the run is stopped at the end, if it was not."""
    site = write_site(folder, tags=6, port=1502)
    gateway_file = site / "gateway.toml"
    gateway_file.write_text(gateway_file.read_text().replace("quota_mb = 256", "quota_mb = 256\nevidence_block_s = 1"))
    gateway = PaperGateway(site, form=FORM)
    await gateway.start()
    yield gateway
    if not gateway.is_over:
        await gateway.stop()


async def some_blocks(gateway: PaperGateway, blocks: int, *, quiet: tuple[int, ...] = ()) -> None:
    """Let a rule trip and clear in each block of inputs but the quiet ones; a block lasts for a second."""
    for number in range(blocks):
        for step in range(5):
            await gateway.set({} if number in quiet else {TOGGLE: step & 1, COUNTER: 10 * number + step + 1})
            await gateway.cycle("load", seconds=0.16)
        await gateway.seal()


class Changed:
    """A source as it was recorded, but for what a test changes."""

    def __init__(self, source, **changes: Callable) -> None:
        self._source = source
        self._changes = changes

    def __getattr__(self, name: str):
        original = getattr(self._source, name)
        change = self._changes.get(name)
        return original if change is None else lambda *arguments: change(original(*arguments), *arguments)


def replayed(store: Path, kernels, *, first: int = 0, last: int | None = None, **changes: Callable) -> Report:
    with open_source(store) as source:
        return Replay(Changed(source, **changes), kernels).run(first, last)


def without(*places: int) -> Callable[[tuple[Block, ...]], tuple[Block, ...]]:
    """The blocks that are left when some have expired."""
    return lambda blocks: tuple(block for place, block in enumerate(blocks) if place not in places)
