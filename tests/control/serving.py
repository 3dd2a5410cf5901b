"""A control server on a real socket in a thread of its own, so that blocking clients can talk to it."""

from __future__ import annotations

import asyncio
import http.client
import io
import json
import os
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from gatewayd.clock import Clock, SystemClock
from gatewayd.control.connection import Limits
from gatewayd.control.facade import Facade
from gatewayd.control.peer import Account, Authority, Caller, Credentials
from gatewayd.control.server import ControlServer
from gatewayd.model.config import Roles
from gatewayd.observe.events import EventLog

ROLES = Roles(viewer=("watchers",), operator=("operators",), engineer=("engineers",))


class Served:
    """A running server, its log and its way to be stopped."""

    def __init__(self, path: Path, log: io.StringIO) -> None:
        self.path = path
        self.log = log
        self.loop: asyncio.AbstractEventLoop | None = None
        self.server: ControlServer | None = None

    def client(self, timeout_s: float = 5.0) -> UnixHttp:
        return UnixHttp(self.path, timeout_s)

    def raw(self, timeout_s: float = 5.0) -> socket.socket:
        raw = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        raw.settimeout(timeout_s)
        raw.connect(os.fspath(self.path))
        return raw

    def stop(self) -> None:
        assert self.loop is not None
        assert self.server is not None
        self.loop.call_soon_threadsafe(self.server.stop)


class UnixHttp(http.client.HTTPConnection):
    """The standard library's client, which knows nothing of our server, over a Unix socket."""

    def __init__(self, path: Path, timeout_s: float) -> None:
        super().__init__("localhost", timeout=timeout_s)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(os.fspath(self._path))


class Masquerade(Authority):
    """Takes every peer for this uid: the tests may run as root, who is an operator whatever the groups say."""

    def __init__(self, uid: int, authority_groups: tuple[str, ...]) -> None:
        super().__init__(ROLES, own_uid=990, lookup=member_of(*authority_groups))
        self._uid = uid

    def caller(self, credentials: Credentials) -> Caller:
        return super().caller(Credentials(credentials.pid, self._uid, self._uid))


def member_of(*groups: str) -> Callable[[object], Account]:
    """Return a user database in which everybody is ana, in these groups."""
    return lambda credentials: Account(name="ana", groups=frozenset(groups))


@contextmanager
def serving(
    facade: Facade,
    path: Path,
    *,
    groups: tuple[str, ...] = (),
    as_uid: int | None = None,
    limits: Limits | None = None,
    clock: Clock | None = None,
    loop_factory: Callable[[], asyncio.AbstractEventLoop] | None = None,
) -> Iterator[Served]:
    served = Served(path, io.StringIO())
    listening = threading.Event()

    async def main() -> None:
        authority = (
            Authority(ROLES, own_uid=os.getuid(), lookup=member_of(*groups))
            if as_uid is None
            else Masquerade(as_uid, groups)
        )
        time = clock or SystemClock()
        served.server = ControlServer(
            facade, path, authority, clock=time, log=EventLog(time, served.log), limits=limits or Limits()
        )
        served.server.listen()
        served.loop = asyncio.get_running_loop()
        listening.set()
        await served.server.serve()

    def run() -> None:
        with asyncio.Runner(loop_factory=loop_factory) as runner:
            runner.run(main())

    thread = threading.Thread(target=run, name="served")
    thread.start()
    assert listening.wait(5), "the server did not start"
    try:
        yield served
    finally:
        if thread.is_alive():
            served.stop()
        thread.join(10)
        assert not thread.is_alive(), "the server did not stop"


REQUEST = b"GET /v1/status HTTP/1.1\r\nHost: gatewayd\r\n\r\n"


def receive_all(raw: socket.socket) -> bytes:
    received = b""
    while chunk := raw.recv(65_536):
        received += chunk
    return received


def receive_until(raw: socket.socket, wanted: bytes) -> bytes:
    received = b""
    while wanted not in received:
        chunk = raw.recv(65_536)
        assert chunk, f"the server closed after {received!r}"
        received += chunk
    return received


def get(served: Served, target: str) -> tuple[int, dict]:
    client = served.client()
    client.request("GET", target)
    answer = client.getresponse()
    body = json.loads(answer.read())
    client.close()
    return answer.status, body


def wait_until(claim, within_s: float = 5.0) -> bool:
    """Wait for a claim about another thread to hold."""
    pause = threading.Event()
    for _ in range(round(within_s / 0.01)):
        if claim():
            return True
        pause.wait(0.01)
    return False
