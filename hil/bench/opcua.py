"""OPC UA reads from request to contract-checked columns, beside asyncua and the gateways the field uses.

10,000 doubles on node-opcua, read back to back, 1,000 nodes a request; 100 and 10,000 are printed beside. asyncua's own
server is the third party that keeps node-opcua honest.
"""

from __future__ import annotations

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from functools import partial
from typing import Any

from msgspec import Struct

from gatewayd.device.opcua.plan import NODES_PER_READ_DEFAULT
from hil.bench.goals import ceiling, floor, judged
from hil.bench.notifications import notification_figures
from hil.bench.plain import versions
from hil.bench.processes import Run, Server, measure, module, run_json
from hil.bench.rounds import Rounds, run_rounds, say
from hil.bench.servers import asyncua_server, node_opcua_server, together

GOALS = (
    ceiling("CPU per value, of asyncua's", "ratio_cpu_to_asyncua", "", 1 / 30),
    floor("values/s, x asyncua", "ratio_wall_to_asyncua", "", 2.5),
    ceiling("CPU per value at 1 s, of Node-RED's", "cpu_us_per_value_steady", "cpu_us_per_value_nodered", 1 / 20),
    ceiling("CPU per value at 1 s, all in one Read, us", "cpu_us_per_value_steady_10000_nodes", "", 0.4),
    floor("values/s per core, x ThingsBoard gateway", "values_per_core_s", "values_per_s_thingsboard", 50),
    ceiling("CPU per notification, of asyncua's", "cpu_us_per_notification", "cpu_us_per_notification_asyncua", 1 / 30),
)
NODES_PER_REQUEST = (1000, 100, 10_000)


class Size(Struct, frozen=True):
    """How much is measured."""

    rounds: int
    seconds: float
    steady_s: float
    warm_up_s: float = 3.0
    settle_s: float = 3.0  # of subscriptions
    is_steady_side_by_side: bool = False  # both pollers at once: sooner done, each in colder caches
    tags: int = 10_000
    asyncua_server_tags: int = 1000
    nodes_per_request: tuple[int, ...] = NODES_PER_REQUEST
    peer_tags: int = 10_000
    peer_s: float = 20.0


FULL = Size(rounds=5, seconds=3.0, steady_s=20.0)
QUICK = Size(
    rounds=1,
    seconds=0.5,
    steady_s=2.0,
    warm_up_s=1.2,
    settle_s=1.5,
    is_steady_side_by_side=True,
    peer_tags=2_000,
    peer_s=8.0,
)


def run(*, quick: bool, peers: bool = False) -> dict[str, Any]:
    """Measure everything; 45 s if quick and without peers, else some minutes."""
    size = QUICK if quick else FULL
    figures: dict[str, float] = {}
    settings: dict[str, Any] = {"quick": quick, **_settings(size)}
    with ExitStack() as stack:
        server, third = together(stack, node_opcua_server(size.tags), asyncua_server(size.asyncua_server_tags))
        for count in size.nodes_per_request:
            say(f"node-opcua, {count:,} nodes a request")
            suffix = "" if count == NODES_PER_REQUEST[0] else f"_{count}_nodes"
            _put(figures, _both(size, server, size.tags, count), suffix)
        say(f"{size.tags:,} nodes at 1 s")
        steady(size, server, figures)
        say("asyncua's server, 1,000 nodes a request")
        _put(figures, _both(size, third, size.asyncua_server_tags, 1000), "_asyncua_server")
    say("notifications")
    figures |= notification_figures(size.seconds, size.settle_s)
    if peers:
        from hil.bench.peers.measured import add_peers

        add_peers("opcua", size.peer_tags, size.peer_s, figures, settings)
    return {"figures": figures, "settings": settings, "goals": judged(GOALS, figures)}


def _both(size: Size, server: Server, tags: int, count: int) -> Rounds:
    return run_rounds(
        {"ours": partial(_ours, size, server, tags, count), "asyncua": partial(_asyncua, size, server, tags, count)},
        size.rounds,
    )


def _put(figures: dict[str, float], rounds: Rounds, suffix: str) -> None:
    for name, of in (("ours", ""), ("asyncua", "_asyncua")):
        figures[f"values_per_s{of}{suffix}"] = rounds.median(name, "tags_per_s")
        figures[f"cpu_us_per_value{of}{suffix}"] = rounds.median(name, "cpu_us_per_tag")
    figures[f"values_per_core_s{suffix}"] = rounds.median("ours", "tags_per_core_s")
    figures[f"ratio_cpu_to_asyncua{suffix}"] = rounds.ratio("ours", "asyncua", "cpu_us_per_tag")
    figures[f"ratio_wall_to_asyncua{suffix}"] = rounds.ratio("ours", "asyncua", "tags_per_s")
    figures[f"server_cores{suffix}"] = rounds.server_cores("ours")
    figures[f"server_cores_asyncua{suffix}"] = rounds.server_cores("asyncua")


def _ours(size: Size, server: Server, tags: int, count: int) -> Run:
    load = ("--ports", server.port, "--tags", tags, "--nodes-per-request", count, "--seconds", size.seconds)
    return measure(module("hil.bench.gateway", "contract", "opcua", *load), server)


def _asyncua(size: Size, server: Server, tags: int, count: int) -> Run:
    load = ("--port", server.port, "--tags", tags, "--nodes-per-request", count, "--seconds", size.seconds)
    return measure(module("hil.bench.plain", "asyncua", *load), server)


def steady(size: Size, server: Server, figures: dict[str, float]) -> None:
    """A poller at 1 s, blocks through the whole cycle: as many nodes a Read as by default, and all in one."""

    def measured(nodes_per_request: int) -> dict[str, float]:
        load = ("--ports", server.port, "--tags", size.tags, "--nodes-per-request", nodes_per_request)
        timing = ("--seconds", size.steady_s, "--warm-up", size.warm_up_s)
        command = module("hil.bench.gateway", "steady", "opcua", *load, *timing)
        return run_json(command, timeout_s=120 + size.steady_s)

    with ThreadPoolExecutor(2 if size.is_steady_side_by_side else 1) as pool:
        for suffix, found in zip(("", "_10000_nodes"), pool.map(measured, (0, 10_000)), strict=True):
            figures[f"cpu_us_per_value_steady{suffix}"] = 1e6 * found["cpu_s"] / found["tags"]
            figures[f"lateness_p99_ms_steady{suffix}"] = found["lateness_p99_ms"]


def _settings(size: Size) -> Mapping[str, Any]:
    return {
        "rounds": size.rounds,
        "seconds_per_client": size.seconds,
        "nodes": size.tags,
        "nodes_per_request": f"1000; steady the default, {NODES_PER_READ_DEFAULT}",
        "type": "Double",
        "security": "None",
        "server": "node-opcua 2.182; third: asyncua's",
        "checks": "range, rate, age of every tag",
        "asyncua": f"{versions()['asyncua']}: read_attributes of as many nodes a request, values with status and timestamps",
    }
