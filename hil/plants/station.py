"""The simulated pumping station: physics here at 20 Hz, a Modbus TCP and an OPC UA server in processes of their own.

python -m hil.plants.station --modbus-port 15020 --opcua-port 14840 --control-socket /tmp/plant.sock
"""

from __future__ import annotations

import argparse
import asyncio
import json
import multiprocessing
import os
import signal
import sys
import time
from collections.abc import Callable
from importlib import import_module
from multiprocessing.connection import Connection
from multiprocessing.context import SpawnProcess
from pathlib import Path
from typing import NamedTuple

from hil.plants.child import Child
from hil.plants.faults import FaultError, Faults
from hil.plants.image import Image
from hil.plants.physics import Station
from hil.plants.tags import WRITABLE

STEP_S = 0.05
STEPS_BEHIND_MAX = 20  # after a longer stall the plant loses time instead of racing
START_TIMEOUT_S = 20.0
STOP_TIMEOUT_S = 3.0
LINE_MAX = 64 * 1024


class ServerProcess(NamedTuple):
    """One of the two servers."""

    name: str
    process: SpawnProcess
    pipe: Connection
    port: int


def _run_modbus(child: Child) -> None:
    import_module("hil.plants.modbus_server").main(child)


def _run_opcua(child: Child) -> None:
    import_module("hil.plants.opcua_server").main(child)  # imported there only: asyncua takes 0.3 s


def start_servers(image: Image, options: argparse.Namespace) -> tuple[ServerProcess, ...]:
    """Start both servers side by side and wait until both listen.

    Raises:
        RuntimeError: one of them did not start; the other is stopped.
    """
    context = multiprocessing.get_context("spawn")
    wanted: tuple[tuple[str, Callable[[Child], None], int, int], ...] = (
        ("modbus", _run_modbus, options.modbus_port, options.extra_tags),
        ("opcua", _run_opcua, options.opcua_port, options.extra_nodes),
    )
    started: list[ServerProcess] = []
    for name, target, port, extra in wanted:
        ours, theirs = context.Pipe()
        child = Child(image, port, str(options.writes_log) if options.writes_log else None, extra, theirs)
        process = context.Process(target=target, args=(child,), name=f"station-{name}", daemon=True)
        process.start()
        theirs.close()
        started.append(ServerProcess(name, process, ours, 0))
    deadline = time.monotonic() + START_TIMEOUT_S + options.extra_nodes / 500
    try:
        return tuple(server._replace(port=_await_port(server, deadline)) for server in started)
    except RuntimeError:
        stop_servers(tuple(started))
        raise


def _await_port(server: ServerProcess, deadline: float) -> int:
    try:
        if server.pipe.poll(max(0.0, deadline - time.monotonic())):
            port: int = server.pipe.recv()
            return port
    except (EOFError, OSError):
        pass
    raise RuntimeError(f"the {server.name} server did not start; is its port taken?")


def stop_servers(servers: tuple[ServerProcess, ...]) -> None:
    """Stop both servers, awake or not; one that does not end in time is killed."""
    for server in servers:
        if server.process.pid is not None and server.process.is_alive():
            os.kill(server.process.pid, signal.SIGCONT)
        server.pipe.close()
    for server in servers:
        server.process.join(STOP_TIMEOUT_S)
        if server.process.is_alive():
            server.process.kill()
            server.process.join()


class Plant:
    """The physics and the control socket of a running station."""

    def __init__(self, station: Station, image: Image, servers: tuple[ServerProcess, ...]) -> None:
        self._station = station
        self._image = image
        self._servers = servers
        self._faults = Faults(station, image, {server.name: server.process.pid or 0 for server in servers})
        self._stop = asyncio.Event()

    async def run(self, control_socket: Path | None, announce: Callable[[], None]) -> None:
        """Run until a signal or a client says stop, or a server dies.

        Raises:
            RuntimeError: a server process ended by itself.
        """
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._stop.set)
        control = None
        if control_socket is not None:
            control = await asyncio.start_unix_server(self._converse, control_socket, limit=LINE_MAX)
        announce()
        try:
            await self._simulate()
        finally:
            if control is not None:
                control.close()

    async def _simulate(self) -> None:
        tick, due = 0, time.monotonic()
        while not self._stop.is_set():
            for server in self._servers:
                if not server.process.is_alive():
                    raise RuntimeError(f"the {server.name} server ended, exit code {server.process.exitcode}")
            behind = int((time.monotonic() - due) / STEP_S)
            if behind > STEPS_BEHIND_MAX:
                due += (behind - 1) * STEP_S
            tick += 1
            self._tick(tick)
            due += STEP_S
            try:
                await asyncio.wait_for(self._stop.wait(), max(0.0, due - time.monotonic()))
            except TimeoutError:
                continue

    def _tick(self, tick: int) -> None:
        for tag in WRITABLE:
            _command(self._station, tag, self._image.value(tag))
        self._station.step(STEP_S)
        self._image.publish(self._faults.distort(self._station.measure()), tick=tick, wall_s=time.time())

    async def _converse(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while line := await reader.readline():
                writer.write(json.dumps(self._reply(line)).encode() + b"\n")
                await writer.drain()
        except (ValueError, ConnectionError):
            pass  # a line longer than LINE_MAX, or a client gone
        finally:
            writer.close()

    def _reply(self, line: bytes) -> dict[str, object]:
        try:
            request = json.loads(line)
            if not isinstance(request, dict):
                raise FaultError("a request is a JSON object")
            match request.get("do"):
                case "fault":
                    self._faults.apply(str(request.get("name")), dict(request.get("args") or {}))
                    return {"ok": True}
                case "state":
                    return {"ok": True, "state": self.state()}
                case "stop":
                    self._stop.set()
                    return {"ok": True}
                case other:
                    raise FaultError(f"do is {other!r}; allowed is fault, state, stop")
        except (FaultError, ValueError, TypeError) as error:
            return {"ok": False, "error": str(error)}

    def state(self) -> dict[str, object]:
        """Return the truth, not what the instruments show: for checking claims."""
        return {
            "time_s": self._station.time_s,
            "level": self._station.level,
            "inlet_flow": self._station.inlet_flow,
            "outlet_flow": self._station.outlet_flow,
            "valve_position": self._station.valve.position,
            "pumps": {
                name: {
                    "speed": pump.speed,
                    "speed_sp": pump.speed_sp,
                    "bearing_temp": pump.bearing_temp,
                    "wear": pump.wear,
                    "tripped": pump.tripped,
                }
                for name, pump in self._station.pumps.items()
            },
            "faults": self._faults.active,
        }


def _command(station: Station, tag: str, value: float) -> None:
    asset, _, member = tag.partition(".")
    if asset == "inlet_valve":
        station.valve.position_sp = value
    elif member == "run":
        station.pumps[asset].run = value >= 0.5
    else:
        station.pumps[asset].speed_sp = value


def _options(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m hil.plants.station", description="Simulate a pumping station.")
    parser.add_argument("--modbus-port", type=int, default=0, help="0 = any free port")
    parser.add_argument("--opcua-port", type=int, default=0, help="0 = any free port")
    parser.add_argument("--writes-log", type=Path, help="append every write received to this file")
    parser.add_argument("--control-socket", type=Path, help="serve faults and state on this Unix socket")
    parser.add_argument("--seed", type=int, default=1, help="of the instruments' noise")
    parser.add_argument("--extra-tags", type=int, default=0, help="changing holding registers from 20000 (0-based) on")
    parser.add_argument("--extra-nodes", type=int, default=0, help="changing OPC UA nodes extra_0, extra_1, ...")
    parser.add_argument("--json", action="store_true", help="say that the plant is ready as one line of JSON")
    options = parser.parse_args(arguments)
    if not 0 <= options.extra_tags <= 40_000 or not 0 <= options.extra_nodes <= 100_000:
        parser.error("at most 40000 extra tags and 100000 extra nodes")
    return options


def _announce(options: argparse.Namespace, servers: tuple[ServerProcess, ...]) -> None:
    ports = {f"{server.name}_port": server.port for server in servers}
    if options.json:
        pids = {server.name: server.process.pid for server in servers}
        print(json.dumps({"ready": True, "pid": os.getpid(), "servers": pids, **ports}), flush=True)
    else:
        where = ", ".join(f"{server.name} on 127.0.0.1:{server.port}" for server in servers)
        print(f"the pumping station runs: {where}; Ctrl-C stops it", flush=True)


def _remove(control_socket: Path | None) -> None:
    if control_socket is not None:
        control_socket.unlink(missing_ok=True)


def main(arguments: list[str] | None = None) -> int:
    """Run the plant; return the exit code."""
    options = _options(arguments)
    station = Station(seed=options.seed)
    image = Image.create(multiprocessing.get_context("spawn"), station.measure())
    try:
        servers = start_servers(image, options)
        try:
            plant = Plant(station, image, servers)
            _remove(options.control_socket)
            asyncio.run(plant.run(options.control_socket, lambda: _announce(options, servers)))
        finally:
            stop_servers(servers)
            _remove(options.control_socket)
    except (RuntimeError, OSError) as error:
        print(f"the pumping station cannot run: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
