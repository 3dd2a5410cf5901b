"""Other gateways at a load they can carry: what arrives at the broker, and what it costs them."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from typing import Any

from hil.bench.peers import nodered, thingsboard
from hil.bench.peers.install import BUILD
from hil.bench.peers.peer import Peer, Task
from hil.bench.processes import BenchError, Server, cpu_s_of, last_line, module, stop
from hil.bench.rounds import say
from hil.bench.servers import libmodbus_server, node_opcua_server
from hil.broker import Broker

WARM_UP_S = 6.0
PAYLOAD_BYTES_MAX = 4_000_000
TAGS_PER_SERVER = 10_000
PEERS: tuple[tuple[str, Callable[[Path, Task], Peer]], ...] = (
    ("thingsboard", thingsboard.make),
    ("nodered", nodered.make),
    ("nodered_unqueued", partial(nodered.make, is_queued=False)),
)
ONLY_MODBUS = {"nodered_unqueued"}


def add_peers(protocol: str, tags: int, seconds: float, figures: dict[str, float], settings: dict[str, Any]) -> None:
    """Measure each peer; one that cannot be had is named in `settings["missing"]` with the reason."""
    settings["peers_load"] = f"{tags} tags at 1 s for {seconds:.0f} s, after {WARM_UP_S:.0f} s"
    for name, make in PEERS:
        if name in ONLY_MODBUS and protocol != "modbus":
            continue
        say(f"{name}: {tags:,} {protocol} tags at 1 s")
        try:
            _measure(name, make, protocol, tags, seconds, figures, settings)
        except BenchError as missing:
            settings.setdefault("missing", {})[name] = str(missing)
            say(f"{name} is missing: {missing}")


def _measure(
    name: str,
    make: Callable[[Path, Task], Peer],
    protocol: str,
    tags: int,
    seconds: float,
    figures: dict[str, float],
    settings: dict[str, Any],
) -> None:
    folder = BUILD / "run" / f"{name}-{protocol}"
    folder.mkdir(parents=True, exist_ok=True)
    per_server = min(tags, TAGS_PER_SERVER)
    with ExitStack() as stack:
        broker = stack.enter_context(Broker(folder, payload_max=PAYLOAD_BYTES_MAX))
        servers = [stack.enter_context(_server(protocol, per_server, n)) for n in range(tags // per_server)]
        namespace = int(servers[0].words[2]) if protocol == "opcua" else 0
        task = Task(protocol, tuple(server.port for server in servers), per_server, namespace, broker.port)
        peer = make(folder, task)
        settings[name] = peer.settings
        said = _count(peer, broker.port, seconds)
    what = "tags" if protocol == "modbus" else "values"
    unit = "tag" if protocol == "modbus" else "value"
    rate = said["values"] / said["wall_s"]
    figures[f"{what}_received_per_s_{name}"] = rate
    figures[f"{what}_per_s_{name}"] = said["values"] / said["cpu_s"]
    figures[f"cpu_us_per_{unit}_{name}"] = 1e6 * said["cpu_s"] / said["values"]
    figures[f"cores_{name}"] = said["cpu_s"] / said["wall_s"]
    figures[f"rss_mb_{name}"] = said["rss_mb"]


def _server(protocol: str, tags: int, number: int) -> Server:
    if protocol == "modbus":
        return libmodbus_server(f"libmodbus-peer{number}", receives_in_bulk=True)
    return node_opcua_server(tags)


@contextmanager
def _running(peer: Peer) -> Iterator[subprocess.Popen[bytes]]:
    log = peer.folder / "log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            peer.command, cwd=peer.folder, stdout=output, stderr=output, env={**os.environ, **peer.environment}
        )
    try:
        yield process
    finally:
        stop(process)


def _count(peer: Peer, broker: int, seconds: float) -> dict[str, float]:
    """Let the sink count, and note the peer's CPU over the same stretch.

    Raises:
        BenchError: nothing arrived.
    """
    log = peer.folder / "sink.log"
    command = module("hil.bench.peers.sink", broker, peer.name, WARM_UP_S, seconds)
    with log.open("wb") as errors:
        sink = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=errors)
    assert sink.stdout is not None
    try:
        sink.stdout.readline()  # it listens
        with _running(peer) as process:
            began = sink.stdout.readline()
            before = cpu_s_of(process.pid) if began else 0.0
            said = sink.stdout.readline()
            if not said or process.poll() is not None:
                raise BenchError(f"nothing arrived; {peer.name} said: {last_line(peer.folder / 'log')}")
            measured = {"cpu_s": cpu_s_of(process.pid) - before, "rss_mb": _rss_mb(process.pid)}
    finally:
        stop(sink)
        sink.stdout.close()
    found: dict[str, float] = {**json.loads(said), **measured}
    if not found["values"]:
        raise BenchError(f"{peer.name} fell silent after its first values")
    return found


def _rss_mb(pid: int) -> float:
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS"):
            return int(line.split()[1]) / 1024
    return 0.0
