"""The servers of the field benches, none of them written in this project: libmodbus, node-opcua, asyncua; and C clients.

What is ours is the loop around libmodbus' own tables and replies, and the list of nodes. Each runs in its own process.
"""

from __future__ import annotations

import functools
import subprocess
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

from hil.bench.processes import BenchError, Server, module
from tests.foreign.availability import ForeignServerMissing
from tests.foreign.libmodbus import build as libmodbus
from tests.foreign.node_opcua import build as node_opcua

SOURCES = Path(__file__).with_name("native")
BUILD = Path(__file__).resolve().parents[2] / "build" / "bench" / "native"
LOGS = BUILD.with_name("logs")


@functools.cache
def native(name: str) -> Path:
    """Return the binary of one of our C programmes, compiled when it is older than its source.

    Raises:
        BenchError: no compiler, or no libmodbus and no way to fetch it.
    """
    source, binary = SOURCES / f"{name}.c", BUILD / name
    if binary.exists() and binary.stat().st_mtime_ns > source.stat().st_mtime_ns:
        return binary
    BUILD.mkdir(parents=True, exist_ok=True)
    try:
        flags = libmodbus.compile_flags()
    except ForeignServerMissing as missing:
        raise BenchError(str(missing)) from missing
    command = ["gcc", "-std=gnu11", "-O2", "-Wall", "-Wextra", "-o", str(binary), str(source), *flags]
    try:
        subprocess.run(command, check=True, capture_output=True, text=True, timeout=60)
    except (OSError, subprocess.SubprocessError) as error:
        raise BenchError(f"{source.name} was not compiled: {getattr(error, 'stderr', None) or error}") from error
    return binary


def libmodbus_server(name: str = "libmodbus", *, receives_in_bulk: bool = False) -> Server:
    """libmodbus: `modbus_receive` and `modbus_reply` as in its own examples, or only the latter, four times as fast."""
    command = [str(native("modbus_server")), *([] if receives_in_bulk else ["--receive"])]
    return Server(command, ready="port", log=LOGS / f"{name}.log")


def node_opcua_server(doubles: int) -> Server:
    """node-opcua, without security, no limit on nodes per Read."""
    try:
        found = node_opcua.build_server()
    except ForeignServerMissing as missing:
        raise BenchError(str(missing)) from missing
    folder = LOGS.with_name("node_opcua")
    folder.mkdir(parents=True, exist_ok=True)
    command = [found.node, str(SOURCES / "node_opcua_server.js"), str(folder), str(doubles)]
    modules = {"NODE_PATH": str(found.script.parent / "node_modules")}
    return Server(command, ready="ready", log=LOGS / "node_opcua.log", environment=modules)


def asyncua_server(doubles: int) -> Server:
    return Server(module("hil.bench.asyncua_server", doubles), ready="ready", log=LOGS / "asyncua.log")


def together(stack: ExitStack, *servers: Server) -> list[Server]:
    """Start servers side by side; the stack stops them, also those that came up when another did not."""
    with ThreadPoolExecutor(len(servers)) as pool:
        return list(pool.map(stack.enter_context, servers))
