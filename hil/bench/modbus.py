"""Modbus TCP from request to contract-checked columns, beside the clients and gateways the field uses.

`tags_per_s*`: scans back to back of 10,000 registers, 125 a request, 16 requests outstanding where a client can.
`cpu_us_per_tag`: pollers at 1 s on 100,000 tags, the whole cycle. `lateness_p99_ms_1000x30`: 1,000 devices at 1 s.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import ExitStack
from functools import partial
from typing import Any

from msgspec import Struct

from hil.bench.bus import dead_unit_scan_loss_pct
from hil.bench.goals import ceiling, floor, judged
from hil.bench.load import REGISTERS_PER_REQUEST
from hil.bench.machine import SleepLateness
from hil.bench.plain import versions
from hil.bench.processes import Run, Server, measure, module, run_json
from hil.bench.rounds import Rounds, run_rounds, say
from hil.bench.servers import libmodbus_server, native

GOALS = (
    floor("tags/s per core, x plain pymodbus", "tags_per_core_s", "tags_per_core_s_pymodbus", 8),
    floor("tags/s, x plain pymodbus", "tags_per_s", "tags_per_s_pymodbus", 8),
    floor("tags/s per core, x ThingsBoard gateway", "tags_per_core_s", "tags_per_s_thingsboard", 50),
    ceiling("CPU per tag, us", "cpu_us_per_tag", "", 0.4),
    ceiling("CPU per tag, of Node-RED's", "cpu_us_per_tag", "cpu_us_per_tag_nodered", 1 / 20),
    ceiling(
        "CPU per tag, of Node-RED's without its queue", "cpu_us_per_tag", "cpu_us_per_tag_nodered_unqueued", 1 / 20
    ),
    floor("tags/s, of a C client with 16 outstanding", "ratio_to_pipelined", "", 0.7),
    ceiling("p99 lateness of 1,000 devices x 30 tags at 1 s, ms", "lateness_p99_ms_1000x30", "", 50),
    ceiling("scans lost by the others to one dead unit of 32, %", "dead_unit_scan_loss_pct", "", 2),
)


class Size(Struct, frozen=True):
    """How much is measured."""

    rounds: int
    seconds: float  # per client and round
    steady_s: float
    tags: int = 10_000  # of the scans back to back
    steady_devices: int = 10
    steady_tags: int = 10_000  # per device
    devices: int = 1000
    device_tags: int = 30
    late_s: float = 20.0
    warm_up_s: float = 3.0
    bus_s: float = 60.0
    bus_from_s: float = 0.0
    peer_tags: int = 20_000
    peer_s: float = 20.0


FULL = Size(rounds=5, seconds=3.0, steady_s=20.0)
QUICK = Size(
    rounds=1,
    seconds=0.7,
    steady_s=3.0,
    late_s=3.0,
    warm_up_s=1.5,
    bus_s=10.0,
    bus_from_s=4.0,
    peer_tags=5_000,
    peer_s=8.0,
)


def run(*, quick: bool, peers: bool = False) -> dict[str, Any]:
    """Measure everything; 45 s if quick and without peers, else some minutes."""
    size = QUICK if quick else FULL
    figures: dict[str, float] = {}
    settings: dict[str, Any] = {"quick": quick, **_settings(size)}
    with ExitStack() as stack:
        plain = stack.enter_context(libmodbus_server())
        bulk = stack.enter_context(libmodbus_server("libmodbus-bulk", receives_in_bulk=True))
        back_to_back(size, plain, bulk, figures)
        say(f"{size.steady_devices * size.steady_tags:,} tags at 1 s")
        steady(size, bulk, figures)
    say(f"{size.devices:,} devices x {size.device_tags} tags at 1 s")
    late(size, figures)
    dead_unit(size, figures, settings)
    if peers:
        from hil.bench.peers.measured import add_peers

        add_peers("modbus", size.peer_tags, size.peer_s, figures, settings)
    return {"figures": figures, "settings": settings, "goals": judged(GOALS, figures)}


def back_to_back(size: Size, plain: Server, bulk: Server, figures: dict[str, float]) -> None:
    """Everybody as fast as the server lets them."""
    rounds = run_rounds(
        {
            "": partial(_ours, size, plain, "contract", 16),
            "pymodbus": partial(_pymodbus, size, plain, 1),
            "pymodbus_4_connections": partial(_pymodbus, size, plain, 4),
            "libmodbus": partial(_native, "sequential", size, plain),
            "pipelined": partial(_native, "pipelined", size, plain),
            "one_outstanding": partial(_ours, size, plain, "contract", 1),
            "cycle": partial(_ours, size, plain, "cycle", 16),
            "fast_server": partial(_ours, size, bulk, "contract", 16),
            "pipelined_fast_server": partial(_native, "pipelined", size, bulk),
        },
        size.rounds,
    )
    for name in ("", "pymodbus", "pymodbus_4_connections", "libmodbus", "pipelined", "one_outstanding", "cycle"):
        _put(figures, rounds, name)
    for name in ("fast_server", "pipelined_fast_server"):
        _put(figures, rounds, name)
    figures["ratio_to_pipelined"] = rounds.ratio("", "pipelined", "tags_per_s")
    figures["ratio_to_pipelined_fast_server"] = rounds.ratio("fast_server", "pipelined_fast_server", "tags_per_s")
    figures["server_cores"] = rounds.server_cores("")
    figures["server_cores_pipelined"] = rounds.server_cores("pipelined")
    figures["spread_of_rounds"] = rounds.spread("", "tags_per_s")
    figures["requests_per_scan"] = rounds.median("", "requests") * size.tags / rounds.median("", "tags")


def _put(figures: dict[str, float], rounds: Rounds, name: str) -> None:
    suffix = f"_{name}" if name else ""
    figures[f"tags_per_s{suffix}"] = rounds.median(name, "tags_per_s")
    figures[f"tags_per_core_s{suffix}"] = rounds.median(name, "tags_per_core_s")
    # Ours is measured under the steady load, where nothing is saved by being busy all the time.
    figures[f"cpu_us_per_tag{suffix or '_back_to_back'}"] = rounds.median(name, "cpu_us_per_tag")


def _ours(size: Size, server: Server, what: str, outstanding: int) -> Run:
    load = ("--ports", server.port, "--tags", size.tags, "--outstanding", outstanding, "--seconds", size.seconds)
    return measure(module("hil.bench.gateway", what, "modbus", *load), server)


def _pymodbus(size: Size, server: Server, connections: int) -> Run:
    load = ("--port", server.port, "--tags", size.tags, "--connections", connections, "--seconds", size.seconds)
    return measure(module("hil.bench.plain", "pymodbus", *load), server)


def _native(name: str, size: Size, server: Server) -> Run:
    return measure([str(native(name)), str(server.port), str(size.tags), str(size.seconds)], server)


def steady(size: Size, server: Server, figures: dict[str, float]) -> None:
    """Pollers on their schedule, blocks through the whole cycle."""
    load = ("--ports", server.port, "--devices", size.steady_devices, "--tags", size.steady_tags)
    found = run_json(
        module("hil.bench.gateway", "steady", "modbus", *load, "--seconds", size.steady_s),
        timeout_s=120 + size.steady_s,
    )
    figures["cpu_us_per_tag"] = 1e6 * found["cpu_s"] / found["tags"]
    figures["cpu_share_steady"] = found["cpu_s"] / found["wall_s"]
    figures["tags_per_s_steady"] = found["tags"] / found["wall_s"]
    figures["lateness_p99_ms_steady"] = found["lateness_p99_ms"]


def late(size: Size, figures: dict[str, float]) -> None:
    """Many small devices, a connection each, on four servers."""
    with ExitStack() as stack:
        servers = [stack.enter_context(libmodbus_server(f"libmodbus-{n}", receives_in_bulk=True)) for n in range(4)]
        ports = ",".join(str(server.port) for server in servers)
        load = ("--ports", ports, "--devices", size.devices, "--tags", size.device_tags, "--seconds", size.late_s)
        with SleepLateness() as asleep:
            found = run_json(
                module("hil.bench.gateway", "steady", "modbus", *load, "--warm-up", size.warm_up_s),
                timeout_s=120 + size.late_s,
            )
    figures["lateness_p99_ms_1000x30"] = found["lateness_p99_ms"]
    figures["lateness_p99_ms_of_sleep_meanwhile"] = asleep.p99_ms()
    figures["lateness_max_ms_1000x30"] = found["lateness_max_ms"]
    figures["cpu_share_1000x30"] = found["cpu_s"] / found["wall_s"]
    figures["scans_missed_1000x30"] = found["overruns"]


def dead_unit(size: Size, figures: dict[str, float], settings: dict[str, Any]) -> None:
    """One dead unit of 32 on a serial bus."""
    say("one dead unit of 32 on a serial bus")
    figures["dead_unit_scan_loss_pct"] = dead_unit_scan_loss_pct(seconds=size.bus_s, from_s=size.bus_from_s)
    settings["dead_unit_scan_loss_pct"] = (
        f"second {size.bus_from_s:.0f} to {size.bus_s:.0f} with and without the dead unit"
    )


def _settings(size: Size) -> Mapping[str, Any]:
    return {
        "rounds": size.rounds,
        "seconds_per_client": size.seconds,
        "tags": size.tags,
        "registers_per_request": REGISTERS_PER_REQUEST,
        "max_outstanding": 16,
        "steady": f"{size.steady_devices} devices x {size.steady_tags} tags at 1 s for {size.steady_s:.0f} s",
        "server": "libmodbus, modbus_receive + modbus_reply; fast_server and steady: modbus_reply on what was read at once",
        "checks": "range, rate, age of every tag",
        "pymodbus": f"{versions()['pymodbus']}: read_holding_registers of 125, sequential; and on 4 connections",
        "libmodbus": "its C client, modbus_read_registers of 125, sequential",
        "pipelined": "C, 16 outstanding, registers to doubles, no check",
    }
