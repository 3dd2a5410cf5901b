"""How fast recorded cycles are decided again, and what the snapshots for it cost: 10,000 tags at 1 s, a rule at 50 ms.

x_real_time: seconds of the gateway's own clock that a second of replaying goes through, the snapshot, unpacking of blocks and
the comparison included. differences: records that did not come out as they were journalled. capture_*_ms: how long the copy
of the core's state holds up the cycle that ends a block, by the clock and in processor time. The recording runs in process,
without a network, faster than real time.
"""

from __future__ import annotations

import asyncio
import random
import shutil
import statistics
import struct
import time
from collections.abc import Iterable
from pathlib import Path

from gatewayd.core.snapshot import Captured
from gatewayd.journal.blocks.states import pack_state
from gatewayd.model.block import Block
from gatewayd.replay.engine import Replay
from gatewayd.replay.source import open_source
from hil.bench.goals import ceiling, floor, judged
from hil.bench.plc import COUNTER, TOGGLE
from hil.bench.site import write_site
from hil.paper import NS, PaperGateway

FOLDER = Path("build/bench/replay")
TRIPS = 4  # cycles of the rule's own scan class per second; each toggles it, and every second one decides
GOALS = (
    floor("a replay is 20 times as fast as the plant", "x_real_time", "", 20.0),
    ceiling("every record is equal", "differences", "", 0.0),
    ceiling("a snapshot holds a cycle up for 2 ms", "capture_cpu_p50_ms", "", 2.0),
)


class NoisyGateway(PaperGateway):
    """Its 10,000 tags move a little with each scan, as measurements do."""

    def __init__(self, site: Path) -> None:
        super().__init__(site)
        self._draw = random.Random(7)
        self.capture_ms: list[float] = []
        self.capture_cpu_ms: list[float] = []
        self.last_state: Captured | None = None

    def blocks(self, scan_class: str) -> Iterable[Block]:
        if scan_class == "trip":
            yield from super().blocks(scan_class)
            return
        wall_ns, mono_ns = self.clock.wall, self.clock.mono
        walk = [1000 + self._draw.randrange(64) for _ in range(512)]
        for plan in self.gateway.cycle.plant.site.plans:
            if plan.scan_class == scan_class:
                count, first = int(plan.request[2]), self._draw.randrange(256)
                yield Block(
                    plan.index,
                    plan.codec,
                    wall_ns,
                    wall_ns,
                    mono_ns,
                    struct.pack(f">{count}H", *walk[first : first + count]),
                )

    def time_capture(self) -> None:
        """Copy the state as at the end of a block, right behind a cycle that has had the caches for itself."""
        camera = self.gateway.recorder.camera
        assert camera is not None
        began, began_cpu = time.perf_counter(), time.thread_time()
        self.last_state = camera.look()
        self.capture_cpu_ms.append((time.thread_time() - began_cpu) * 1e3)
        self.capture_ms.append((time.perf_counter() - began) * 1e3)
        camera.take_back(self.last_state)


def run(*, quick: bool) -> dict[str, object]:
    seconds, tags, repeats = (125, 10_000, 2) if quick else (605, 10_000, 5)
    return measure(seconds=seconds, tags=tags, repeats=repeats)


def measure(*, seconds: int, tags: int, repeats: int) -> dict[str, object]:
    shutil.rmtree(FOLDER, ignore_errors=True)
    print(f"recording {seconds} s of {tags:,} tags at 1 s", flush=True)
    gateway = NoisyGateway(write_site(FOLDER, tags=tags, port=1502))
    began = time.perf_counter()
    asyncio.run(recorded(gateway, seconds))
    figures: dict[str, float] = {"recording_s": time.perf_counter() - began}
    print(f"replaying it {repeats} times", flush=True)
    figures |= replayed(gateway, repeats)
    assert gateway.last_state is not None
    began = time.perf_counter()
    figures["snapshot_kb_live"] = len(pack_state(gateway.last_state).content) / 1e3
    figures["snapshot_pack_ms"] = (time.perf_counter() - began) * 1e3
    figures |= {"capture_p50_ms": statistics.median(gateway.capture_ms), "capture_max_ms": max(gateway.capture_ms)}
    figures["capture_cpu_p50_ms"] = statistics.median(gateway.capture_cpu_ms)
    shutil.rmtree(FOLDER, ignore_errors=True)
    settings = {"seconds": seconds, "tags": tags, "repeats": repeats, "trips_per_second": TRIPS}
    return {"figures": figures, "settings": settings, "goals": judged(GOALS, figures)}


async def recorded(gateway: NoisyGateway, seconds: int) -> None:
    await gateway.start()
    for second in range(seconds):
        for trip in range(TRIPS):
            await gateway.set({TOGGLE: trip & 1, COUNTER: 1 + (TRIPS * second + trip) % 50_000})
        await gateway.cycle("load", seconds=(NS - TRIPS * NS // 20) / NS)
        await gateway.seal()
        gateway.time_capture()
    await gateway.stop()


def replayed(gateway: PaperGateway, repeats: int) -> dict[str, float]:
    took, cpu, differences = [], [], 0
    for _ in range(repeats):
        began, began_cpu = time.perf_counter(), time.process_time()
        with open_source(gateway.store) as source:
            blocks = [block.sealed for block in source.blocks()]
            report = Replay(source, gateway.kernels).run()
        took.append(time.perf_counter() - began)
        cpu.append(time.process_time() - began_cpu)
        differences += report.difference is not None or bool(report.gaps)
    states = [block.state_size for block in blocks if block.state]
    plant_s, best_s = report.recorded_ns / 1e9, min(took)
    return {
        "x_real_time": plant_s / best_s,
        "x_real_time_cpu": plant_s / min(cpu),
        "differences": differences,
        "samples_per_s": report.samples / best_s,
        "cycles": report.cycles,
        "decisions": report.decisions,
        "records": report.records,
        "samples": report.samples,
        "blocks": len(blocks),
        "block_kb": statistics.median(block.size for block in blocks) / 1e3,
        "snapshots": len(states),
        "snapshot_kb": statistics.median(states) / 1e3,
        "snapshot_share": sum(states) / (sum(states) + sum(block.size for block in blocks)),
    }
