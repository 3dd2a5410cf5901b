"""CPU per data-change notification: ours, from the socket to the columns, and asyncua's own subscription handler's.

Both subscribe to the same nodes of a node-opcua server in a process of its own, which changes them all at a fixed rate, one
after the other, each for some seconds. CPU is that of this process; asking, acknowledging and reading in between included.
node-opcua puts at most 1000 changes into a message and sends one per PublishRequest that waits: asyncua keeps one waiting,
so it gets fewer changes a second than there are, at the same CPU for each.
"""

from __future__ import annotations

import asyncio
import logging
import select
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO

from asyncua import Client, ua

from gatewayd.clock import SystemClock
from gatewayd.compiled import load_kernels
from gatewayd.core.contract.decode import take
from gatewayd.core.site import Digests, compile_site
from gatewayd.core.state import State
from gatewayd.core.step import bind
from gatewayd.device.build import plan_reads
from gatewayd.device.opcua.link import OpcuaLink
from gatewayd.model.block import Block
from gatewayd.model.config import Gateway, GatewayFile, SiteConfig
from gatewayd.model.device import OpcuaDevice, OpcuaScanClass, OpcuaTag
from tests.foreign.node_opcua.build import build_server

URI = "urn:gatewayd:test"
CHANGING = 5000  # nodes, all of them changed every PERIOD_MS
PERIOD_MS = 500
SECONDS = 8.0
SETTLE_S = 3.0
READY_S = 90


def notification_figures(seconds: float = SECONDS, settle_s: float = SETTLE_S) -> dict[str, float]:
    """Measure both, one after the other: CPU from socket to columns, and asyncua's subscription with a handler."""
    with changing_server() as endpoint:
        cpu_us, rate = asyncio.run(_ours(endpoint, seconds, settle_s))
        cpu_us_asyncua, rate_asyncua = asyncio.run(_theirs(endpoint, seconds, settle_s))
    return {
        "cpu_us_per_notification": cpu_us,
        "cpu_us_per_notification_asyncua": cpu_us_asyncua,
        "notifications_per_s": rate,
        "notifications_per_s_asyncua": rate_asyncua,
    }


@contextmanager
def changing_server(count: int = CHANGING, period_ms: int = PERIOD_MS) -> Iterator[str]:
    """Run node-opcua with nodes that change; yield its endpoint."""
    server = build_server()
    with tempfile.TemporaryDirectory() as folder:
        command = [server.node, str(server.script), folder, "0", str(count), str(period_ms)]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        assert process.stdout is not None
        try:
            yield f"opc.tcp://127.0.0.1:{_port(process.stdout)}"
        finally:
            process.kill()
            process.wait()
            process.stdout.close()


def _port(said: TextIO) -> int:
    """Return the port of a server that may say other things before it is ready."""
    for _ in range(100):
        readable, _, _ = select.select([said], [], [], READY_S)
        words = said.readline().split() if readable else []
        if words[:1] == ["ready"]:
            return int(words[1])
        if not words:
            break
    raise ConnectionError("node-opcua did not start")


class _Columns:
    """The core's contract, over every tag of the device: what a block goes through until it is in the columns."""

    def __init__(self, device: OpcuaDevice, tags: Sequence[OpcuaTag]) -> None:
        config = SiteConfig(
            gateway=GatewayFile(gateway=Gateway(name="bench")),
            devices={device.name: device},
            tags={device.name: tuple(tags)},
            asset_types={},
            assets={},
            points=(),
            rules=(),
        )
        self.site = compile_site(config, plan_reads=plan_reads, digests=Digests(b"", b"", b""))
        kernels = load_kernels()
        self.state = State(self.site, kernels, now_mono_ns=SystemClock().monotonic_ns())
        self._kernels = bind(kernels, self.state)

    def deliver(self, blocks: Sequence[Block]) -> None:
        for block in blocks:
            self.state.pass_number += 1
            take(self.state, self._kernels, [block], now_wall_ns=block.response_time_ns)

    @property
    def taken(self) -> int:
        return sum(self.state.column("tag.sequence"))


async def _ours(endpoint: str, seconds: float, settle_s: float) -> tuple[float, float]:
    scan = OpcuaScanClass(mode="subscribe", publishing_interval_ms=PERIOD_MS)
    plain = {"security": "None", "mode": "None", "insecure": "accepted-by=bench"}
    device = OpcuaDevice(name="bench", endpoint=endpoint, scan_classes={"default": scan}, timeout_ms=20_000, **plain)
    tags = [OpcuaTag(name=f"c{n}", node_id=f"nsu={URI};s=c{n}") for n in range(CHANGING)]
    columns = _Columns(device, tags)
    with tempfile.TemporaryDirectory() as folder:
        numbered = list(enumerate(tags))
        link = OpcuaLink(device, numbered, columns.site.plans, SystemClock(), Path(folder), Path(folder))
        await link.connect()
        await _look_after(link, columns, settle_s)
        before, cpu_s, began_s = columns.taken, time.process_time(), time.monotonic()
        await _look_after(link, columns, seconds)
        cpu_s, taken = time.process_time() - cpu_s, columns.taken - before
        took_s = time.monotonic() - began_s
        await link.close()
    return 1e6 * cpu_s / max(1, taken), taken / took_s


async def _look_after(link: OpcuaLink, columns: _Columns, seconds: float) -> None:
    end_s = time.monotonic() + seconds
    while time.monotonic() < end_s:
        await link.scan(link.plans, columns.deliver)
        await asyncio.sleep(min(1.0, max(0.0, end_s - time.monotonic())))


class _Handler:
    """What a program on asyncua does with a change: keep it."""

    def __init__(self) -> None:
        self.taken = 0
        self.values: dict[ua.NodeId, float] = {}

    def datachange_notification(self, node, value, event) -> None:
        self.taken += 1
        self.values[node.nodeid] = value


async def _theirs(endpoint: str, seconds: float, settle_s: float) -> tuple[float, float]:
    logging.getLogger("asyncua").setLevel(logging.ERROR)
    async with Client(endpoint, timeout=60, watchdog_intervall=60) as client:
        handler = _Handler()
        parameters = ua.CreateSubscriptionParameters(PERIOD_MS, 600, 10, 5000, True)
        subscription = await client.create_subscription(parameters, handler)
        index = await client.get_namespace_index(URI)
        nodes = [client.get_node(ua.NodeId(f"c{n}", index)) for n in range(CHANGING)]
        for start in range(0, CHANGING, 1000):
            await subscription.subscribe_data_change(nodes[start : start + 1000])
        await asyncio.sleep(settle_s)
        before, cpu_s, began_s = handler.taken, time.process_time(), time.monotonic()
        await asyncio.sleep(seconds)
        cpu_s, taken, took_s = time.process_time() - cpu_s, handler.taken - before, time.monotonic() - began_s
    return 1e6 * cpu_s / max(1, taken), taken / took_s


if __name__ == "__main__":
    for name, figure in notification_figures().items():
        print(f"{name} {figure:.3f}")
