from __future__ import annotations

import select
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.device.opcua.certificates import Certificate
from tests.device.opcua.rig import device, link_to

SERVER = Path(__file__).with_name("server.py")
READY_S = 60


class ServerProcess:
    """A server of `server.py` in its own process; everything by its handle."""

    def __init__(self, *options: str, port: int = 0) -> None:
        command = [sys.executable, str(SERVER), "--port", str(port), *options]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        assert self.process.stdout is not None
        readable, _, _ = select.select([self.process.stdout], [], [], READY_S)
        line = self.process.stdout.readline().split() if readable else []
        if line[:1] != ["ready"]:
            self.stop()
            raise AssertionError(f"the server did not start: {line}")
        self.port = int(line[1])
        self.endpoint = f"opc.tcp://127.0.0.1:{self.port}/test"

    def freeze(self) -> None:
        self.process.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        self.process.send_signal(signal.SIGCONT)

    def stop(self) -> None:
        self.process.kill()
        self.process.wait()
        if self.process.stdout is not None:
            self.process.stdout.close()


@pytest.fixture(scope="session")
def plant_server() -> Iterator[ServerProcess]:
    """A server without security that nobody kills."""
    server = ServerProcess()
    yield server
    server.stop()


@pytest.fixture
def start() -> Iterator[Callable[..., ServerProcess]]:
    """Start servers of a test's own."""
    started: list[ServerProcess] = []

    def begin(*options: str, port: int = 0) -> ServerProcess:
        started.append(ServerProcess(*options, port=port))
        return started[-1]

    yield begin
    for server in started:
        server.thaw() if server.process.poll() is None else None
        server.stop()


@pytest.fixture(scope="session")
def server_certificate(tmp_path_factory: pytest.TempPathFactory) -> Certificate:
    return Certificate(tmp_path_factory.mktemp("server"), "plc")


@pytest.fixture(scope="session")
def other_certificate(tmp_path_factory: pytest.TempPathFactory) -> Certificate:
    return Certificate(tmp_path_factory.mktemp("other"), "impostor", expired=True)


@pytest.fixture(scope="session")
def secure_server(server_certificate: Certificate) -> Iterator[ServerProcess]:
    server = ServerProcess(*server_certificate.options)
    yield server
    server.stop()


@pytest.fixture
async def linked(plant_server, tmp_path):
    """A connected link to some tags of the plant server; closed at the end."""
    links = []

    async def connect(*tags, clock=None, **settings):
        links.append(link_to(device(plant_server.endpoint, **settings), tags, tmp_path, clock))
        await links[-1].connect()
        return links[-1]

    yield connect
    for link in links:
        await link.close()
