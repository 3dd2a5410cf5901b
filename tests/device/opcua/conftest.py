from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from tests.device.opcua.certificates import Certificate
from tests.device.opcua.nursery import ForkedServer
from tests.device.opcua.rig import device, link_to
from tests.device.opcua.server import serve


class ServerProcess(ForkedServer):
    """A server of `server.py`."""

    def __init__(self, *options: str, port: int = 0) -> None:
        super().__init__(serve, *options, port=port)


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
