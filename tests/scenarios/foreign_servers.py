"""The servers of tests/foreign as a plant: started, changed from outside and listened to."""

from __future__ import annotations

import os
import select
import socket
import struct
import subprocess
import time
from pathlib import Path

from tests.foreign.availability import require
from tests.foreign.libmodbus.build import build_server as build_libmodbus
from tests.foreign.node_opcua.build import build_server as build_node_opcua

NAMESPACE = "urn:gatewayd:test"
READY_S = 60.0
NODES_PER_READ = 300


class _Process:
    """A server that says on stdout, line by line, what happens."""

    def __init__(self, command: list[str]) -> None:
        self._process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
        assert self._process.stdout is not None
        self._stdout = self._process.stdout
        self._said = b""

    def lines(self, wait_s: float = 0.0) -> list[str]:
        """Return every whole line said so far, after waiting for news at most so long."""
        while select.select([self._stdout], [], [], wait_s)[0]:
            piece = os.read(self._stdout.fileno(), 65_536)
            if not piece:
                break
            self._said += piece
            wait_s = 0.0
        return self._said.decode().splitlines()[: self._said.count(b"\n")]

    def line(self, start: str) -> list[str]:
        """Return the words of the first line with this start."""
        deadline = time.monotonic() + READY_S
        while time.monotonic() < deadline and self._process.poll() is None:
            if found := [line for line in self.lines(0.1) if line.startswith(start)]:
                return found[0].split()
        self.stop()
        raise AssertionError(f"the server did not say {start!r}")

    def stop(self) -> None:
        self._process.kill()
        self._process.wait()
        self._stdout.close()


class Libmodbus(_Process):
    """The C server on libmodbus. Its log says each write it performed."""

    def __init__(self) -> None:
        super().__init__([str(require(build_libmodbus))])
        self.port = int(self.line("port ")[1])

    def write(self, address: int, raw: int) -> None:
        """Write a holding register as some other master would."""
        self._ask(struct.pack(">BHH", 6, address, raw))

    def read(self, address: int) -> int:
        return int(struct.unpack(">H", self._ask(struct.pack(">BHH", 3, address, 1))[2:4])[0])

    def writes(self, address: int) -> int:
        """How often the server says that this register was written."""
        return sum(line.startswith("write ") and line.split()[2] == str(address) for line in self.lines())

    def _ask(self, pdu: bytes) -> bytes:
        with socket.create_connection(("127.0.0.1", self.port), timeout=5) as connection:
            connection.sendall(struct.pack(">HHHB", 1, 0, len(pdu) + 1, 1) + pdu)
            answer = connection.recv(260)[7:]
        assert answer[0] == pdu[0], answer.hex()
        return answer


class NodeOpcua(_Process):
    """The server on node-opcua."""

    def __init__(self, folder: Path, port: int = 0) -> None:
        server = require(build_node_opcua)
        super().__init__([server.node, str(server.script), str(folder), str(NODES_PER_READ), "0", "1000", str(port)])
        _, said, certificate = self.line("ready ")
        self.port = int(said)
        self.endpoint = f"opc.tcp://127.0.0.1:{said}"
        self.certificate = Path(certificate)
