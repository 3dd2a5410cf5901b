"""Starts, disturbs, asks and stops a simulated station from Python."""

from __future__ import annotations

import json
import os
import select
import socket
import subprocess
import sys
import tempfile
from pathlib import Path
from types import TracebackType
from typing import Any

from hil.plants.writes_log import read_writes

ROOT = Path(__file__).resolve().parents[2]
START_TIMEOUT_S = 30.0
STOP_TIMEOUT_S = 10.0


class PlantError(Exception):
    """The plant did not start, or refused a request."""


class Plant:
    """A running station. Use it as a context manager, or call `stop`.

    Attributes:
        modbus_port: of the PLC, unit 1.
        opcua_port: of the SCADA server.
        writes_log: every write either server received.
    """

    def __init__(self, process: subprocess.Popen[str], scratch: tempfile.TemporaryDirectory[str], writes: Path) -> None:
        self._process = process
        self._scratch = scratch
        self._socket = Path(scratch.name) / "control"
        self.writes_log = writes
        self.modbus_port = 0
        self.opcua_port = 0
        self.servers: dict[str, int] = {}

    @classmethod
    def start(
        cls,
        *,
        writes_log: Path | None = None,
        modbus_port: int = 0,
        opcua_port: int = 0,
        seed: int = 1,
        extra_tags: int = 0,
        extra_nodes: int = 0,
    ) -> Plant:
        """Start a station and wait until both servers listen.

        Raises:
            PlantError: it did not.
        """
        # Not in the caller's folder: the path of a Unix socket has 107 characters at most.
        scratch = tempfile.TemporaryDirectory(prefix="plant-")
        writes = writes_log or Path(scratch.name) / "writes.jsonl"
        command = [sys.executable, "-m", "hil.plants.station", "--json", "--writes-log", str(writes)]
        command += ["--control-socket", str(Path(scratch.name) / "control"), "--seed", str(seed)]
        command += ["--modbus-port", str(modbus_port), "--opcua-port", str(opcua_port)]
        command += ["--extra-tags", str(extra_tags), "--extra-nodes", str(extra_nodes)]
        process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        plant = cls(process, scratch, writes)
        try:
            plant._await_ready(START_TIMEOUT_S + extra_nodes / 500)
        except BaseException:
            plant.stop()
            raise
        return plant

    def _await_ready(self, timeout_s: float) -> None:
        assert self._process.stdout is not None
        assert self._process.stderr is not None
        ready, _, _ = select.select([self._process.stdout], [], [], timeout_s)
        line = self._process.stdout.readline() if ready else ""
        if not line:
            said = self._process.stderr.read().strip() if self._process.poll() is not None else "nothing in time"
            raise PlantError(f"the plant did not start: {said}")
        answer = json.loads(line)
        self.modbus_port, self.opcua_port = answer["modbus_port"], answer["opcua_port"]
        self.servers = answer["servers"]

    @property
    def pid(self) -> int:
        """Return the process id of the physics."""
        return self._process.pid

    @property
    def opcua_endpoint(self) -> str:
        """Return the SCADA server's endpoint URL."""
        return f"opc.tcp://127.0.0.1:{self.opcua_port}/gatewayd/station"

    def fault(self, name: str, **args: object) -> None:
        """Switch a fault on, e.g. `fault("bearing_wear", pump="pump_1")`.

        Raises:
            PlantError: there is no such fault, or not with these arguments.
        """
        self._ask({"do": "fault", "name": name, "args": args})

    def clear(self) -> None:
        """End every fault."""
        self.fault("clear")

    def state(self) -> dict[str, Any]:
        """Return the true state of the plant."""
        state: dict[str, Any] = self._ask({"do": "state"})["state"]
        return state

    def writes(self) -> list[dict[str, Any]]:
        """Return every write received so far, oldest first."""
        return read_writes(self.writes_log)

    def stop(self) -> None:
        """Stop the plant and both servers; safe to call twice."""
        if self._process.poll() is None:
            self._process.terminate()
            try:
                self._process.wait(STOP_TIMEOUT_S)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
        for stream in (self._process.stdout, self._process.stderr):
            if stream is not None:
                stream.close()
        self._scratch.cleanup()

    def _ask(self, request: dict[str, object]) -> dict[str, Any]:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as channel:
            channel.settimeout(5.0)
            try:
                channel.connect(os.fspath(self._socket))
                channel.sendall(json.dumps(request).encode() + b"\n")
                with channel.makefile("r", encoding="utf-8") as lines:
                    answer: dict[str, Any] = json.loads(lines.readline())
            except (OSError, ValueError) as error:
                raise PlantError(f"the plant does not answer: {error}") from error
        if not answer["ok"]:
            raise PlantError(str(answer["error"]))
        return answer

    def __enter__(self) -> Plant:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()
