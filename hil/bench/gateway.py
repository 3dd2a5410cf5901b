"""Our side of the field benches, in a process of its own: real links, pollers, blocks and kernels; no journal, no socket.

`python -m hil.bench.gateway WHAT ...` prints one JSON line. WHAT is
- `contract`: scans back to back, each block decoded and judged as `core.step` does it, but nothing after the contract;
- `cycle`: the same through the daemon's own `Cycle`, so that detectors, rules and decisions have their turn;
- `steady`: pollers on their schedule, through `Cycle`: what a running gateway does; with the lateness of every scan.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import json
import time
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import uvloop

from gatewayd.clock import SystemClock
from gatewayd.compiled import load_kernels
from gatewayd.core.contract.decode import passes, take
from gatewayd.core.contract.judge import judge
from gatewayd.core.site import compile_site
from gatewayd.core.state import State
from gatewayd.core.step import bind
from gatewayd.cycle import BLOCKS_PER_CYCLE_MAX, Cycle, Plant
from gatewayd.device.bounded import BoundedLink
from gatewayd.device.build import build_link, plan_reads
from gatewayd.device.link import Deliver, Link
from gatewayd.model.block import Block, ReadPlan
from gatewayd.model.config import SiteConfig
from gatewayd.model.decision import Command, NewRecord
from gatewayd.model.device import Device, Tag
from gatewayd.sense.breaker import Breaker
from gatewayd.sense.poller import Poller
from gatewayd.sense.schedule import ScanSchedule
from gatewayd.site.digest import digests
from hil.bench.load import modbus_site, opcua_site

WARM_UP_SCANS = 3  # they prove the window, encode requests, and learn how a server lays its answers out


class NoJournal:
    """Stands for the journal: these loads decide nothing, and the bench of the journal is another one."""

    healthy = True
    problem = ""

    async def commit(
        self,
        records: Sequence[NewRecord],
        *,
        saves: Mapping[str, bytes] | None = None,
        intents: Sequence[Command] = (),
    ) -> tuple[int, ...]:
        return ()

    async def reopen(self) -> None:
        raise AssertionError("nothing was lost")


class Rooms:
    """The rooms of a gateway that a sample passes, built as `gatewayd.app` builds them."""

    def __init__(self, config: SiteConfig) -> None:
        self.clock = SystemClock()
        self.config = config
        self.site = compile_site(config, plan_reads=plan_reads, digests=digests(config))
        kernels = load_kernels()
        self.state = State(self.site, kernels, now_mono_ns=self.clock.monotonic_ns())
        self.kernels = bind(kernels, self.state)
        tags: dict[str, list[tuple[int, Tag]]] = defaultdict(list)
        plans: dict[str, list[ReadPlan]] = defaultdict(list)
        for tag in self.site.tags:
            tags[tag.device].append((tag.row, tag.config))
        for plan in self.site.plans:
            plans[plan.device].append(plan)
        self.links = {name: self._link(device, tags[name], plans[name]) for name, device in config.devices.items()}

    def samples(self) -> int:
        """How many samples all tags have had together."""
        return sum(self.state.column("tag.sequence"))

    def assert_all_good(self) -> None:
        """A rate at which tags turn bad is none."""
        status = self.state.column("tag.status")
        bad = [plan.name for plan, code in zip(self.site.tags, status, strict=True) if code]
        assert not bad, (
            f"{len(bad)} of {len(status)} tags are not good, {bad[0]} has 0x{status[self.site.rows[bad[0]]]:08X}"
        )

    def _link(self, device: Device, tags: Sequence[tuple[int, Tag]], plans: Sequence[ReadPlan]) -> Link:
        here = Path()
        link = build_link(device, tags, plans, clock=self.clock, folder=here, identity_folder=here)
        return BoundedLink(link, timeout_ms=device.timeout_ms, clock=self.clock)


class Contract:
    """Takes waiting blocks as the cycle does, through decoding and judging, and stops there."""

    def __init__(self, rooms: Rooms) -> None:
        self._rooms = rooms
        self._blocks: list[Block] = []
        self._wake = asyncio.Event()

    def deliver(self, blocks: Sequence[Block]) -> None:
        self._blocks.extend(blocks)
        self._wake.set()

    async def run(self) -> None:
        while True:
            await self._wake.wait()
            self._wake.clear()
            waiting, self._blocks = self._blocks, []
            for start in range(0, len(waiting), BLOCKS_PER_CYCLE_MAX):
                for blocks in passes(waiting[start : start + BLOCKS_PER_CYCLE_MAX]):
                    self._take(blocks)

    def _take(self, blocks: Sequence[Block]) -> None:
        rooms, state = self._rooms, self._rooms.state
        wall_ns, mono_ns = rooms.clock.wall_ns(), rooms.clock.monotonic_ns()
        state.pass_number += 1
        fresh, unfinished = take(state, rooms.kernels, blocks, now_wall_ns=wall_ns)
        assert not unfinished, "only notifications hold several samples of a tag"
        judge(state, rooms.kernels, fresh, tag_count=len(rooms.site.tags), now_wall_ns=wall_ns, now_mono_ns=mono_ns)


def make_cycle(rooms: Rooms) -> Cycle:
    return Cycle(
        Plant(rooms.state, rooms.site, rooms.kernels),
        NoJournal(),
        hand_over=lambda commands, sampled_ns: None,
        keep=lambda inputs: None,
        clock=rooms.clock,
        first_cycle=1,
    )


class Watched(ScanSchedule):
    """Remembers how late every scan was."""

    late_ns: list[int] = []  # of all devices

    def take_due(self, now_mono_ns: int) -> list[ReadPlan]:
        plans = super().take_due(now_mono_ns)
        self.late_ns.append(self.lateness_ns)
        return plans


def make_pollers(rooms: Rooms, deliver: Deliver) -> list[Poller]:
    start_ns = rooms.clock.monotonic_ns()
    pollers = []
    for place, (name, link) in enumerate(rooms.links.items()):
        device = rooms.config.devices[name]
        periods_ns = {
            scan_class: settings.scan_rate_ms * 1_000_000 for scan_class, settings in device.scan_classes.items()
        }
        schedule = Watched(periods_ns, link.plans, start_mono_ns=start_ns, place=place, places=len(rooms.links))
        breaker = Breaker(device.demote_after, round(device.demote_for_s * 1e9))
        pollers.append(Poller(link, schedule, breaker, deliver=deliver, note=_fail, clock=rooms.clock))
    return pollers


def _fail(event: Any) -> None:
    if event.state != "connected":
        raise AssertionError(f"{event.device}: {event.state}, {event.detail}")


async def back_to_back(rooms: Rooms, take_in: Contract | Cycle, seconds: float) -> dict[str, float]:
    """Scan a device as fast as it answers."""
    (link,) = rooms.links.values()
    body = asyncio.ensure_future(take_in.run())
    await link.connect()
    for _ in range(WARM_UP_SCANS):
        await link.scan(link.plans, take_in.deliver)
    await asyncio.sleep(0.05)  # the last blocks are taken in
    gc.collect()
    gc.freeze()
    before, cpu, started, scans = rooms.samples(), time.process_time(), time.perf_counter(), 0
    while (wall_s := time.perf_counter() - started) < seconds:
        await link.scan(link.plans, take_in.deliver)
        scans += 1
    cpu_s = time.process_time() - cpu
    await asyncio.sleep(0.05)
    tags = rooms.samples() - before
    rooms.assert_all_good()
    assert tags == scans * len(rooms.site.tags), f"{tags} samples of {scans} scans"
    body.cancel()
    await link.close()
    return {"tags": tags, "wall_s": wall_s, "cpu_s": cpu_s, "requests": scans * len(link.plans), "scans": scans}


async def steady(rooms: Rooms, seconds: float, warm_up_s: float) -> dict[str, float]:
    """Let every device be polled on its schedule."""
    cycle = make_cycle(rooms)
    pollers = make_pollers(rooms, cycle.deliver)
    gc.collect()
    gc.freeze()
    bodies = [asyncio.ensure_future(body) for body in (cycle.run(), *(poller.run() for poller in pollers))]
    await asyncio.sleep(warm_up_s)
    Watched.late_ns.clear()
    overruns = sum(poller.schedule.overruns for poller in pollers)
    scans = sum(poller.scans for poller in pollers)
    before, cpu, started = rooms.samples(), time.process_time(), time.perf_counter()
    await asyncio.sleep(seconds)
    cpu_s, wall_s = time.process_time() - cpu, time.perf_counter() - started
    tags, late_ns = rooms.samples() - before, sorted(Watched.late_ns)
    for body in bodies:
        body.cancel()
        if body.done() and not body.cancelled():
            body.result()
    assert not cycle.blocks_dropped
    rooms.assert_all_good()
    scans = sum(poller.scans for poller in pollers) - scans
    return {
        "tags": tags,
        "wall_s": wall_s,
        "cpu_s": cpu_s,
        "requests": scans * len(rooms.site.plans) // len(pollers),
        "scans": scans,
        "overruns": sum(poller.schedule.overruns for poller in pollers) - overruns,
        "lateness_p50_ms": late_ns[len(late_ns) // 2] / 1e6,
        "lateness_p99_ms": late_ns[len(late_ns) * 99 // 100] / 1e6,
        "lateness_max_ms": late_ns[-1] / 1e6,
    }


async def measure(arguments: argparse.Namespace) -> dict[str, float]:
    ports = [int(port) for port in arguments.ports.split(",")]
    if arguments.protocol == "modbus":
        every = [ports[number % len(ports)] for number in range(arguments.devices)]
        config = modbus_site(every, tags=arguments.tags, max_outstanding=arguments.outstanding)
    else:
        config = opcua_site(ports[0], tags=arguments.tags, nodes_per_request=arguments.nodes_per_request)
    rooms = Rooms(config)
    if arguments.what == "steady":
        return await steady(rooms, arguments.seconds, arguments.warm_up)
    take_in = Contract(rooms) if arguments.what == "contract" else make_cycle(rooms)
    return await back_to_back(rooms, take_in, arguments.seconds)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("what", choices=("contract", "cycle", "steady"))
    parser.add_argument("protocol", choices=("modbus", "opcua"))
    parser.add_argument("--ports", required=True, help="comma between; devices take them in turn")
    parser.add_argument("--devices", type=int, default=1)
    parser.add_argument("--tags", type=int, required=True, help="per device")
    parser.add_argument("--outstanding", type=int, default=16)
    parser.add_argument("--nodes-per-request", type=int, default=0, help="0 = the driver's default")
    parser.add_argument("--seconds", type=float, required=True)
    parser.add_argument("--warm-up", type=float, default=2.5)
    arguments = parser.parse_args()
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        print(json.dumps(runner.run(measure(arguments))))


if __name__ == "__main__":
    main()
