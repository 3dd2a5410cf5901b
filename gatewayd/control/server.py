"""The local API: HTTP/1.1 on a Unix socket. Decision record: docs/decisions/0001-local-api-on-h11.md."""

from __future__ import annotations

import asyncio
import errno
import os
import socket
import stat
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

from gatewayd.clock import Clock
from gatewayd.control import routes
from gatewayd.control.connection import Connection, Limits, Malformed, Request
from gatewayd.control.facade import Facade
from gatewayd.control.peer import Account, Authority, Caller, Credentials, credentials_of
from gatewayd.errors import DaemonUnreachable, GatewayError
from gatewayd.model.view import ErrorView
from gatewayd.observe.events import EventLog

_PATH_BYTES_MAX = 107 - len(".new")  # sun_path of unix(7) with its final NUL
_ACCOUNT_S = 2.0
_KEEP_ALIVE_BATCHES = 10  # a stream with nothing to say sends an empty line this often
_BACKLOG = 64  # connect fails with EAGAIN when it is full, so it is larger than the limit on connections
DEFAULT_LIMITS = Limits()


class SocketInUse(GatewayError):
    """Somebody already listens on the control socket."""

    exit_code = 5


class SocketUnusable(GatewayError):
    """The control socket cannot be made where the configuration wants it."""

    exit_code = 1


class ControlServer:
    """Serves one facade on one socket.

    Args:
        facade: the running gateway.
        path: of the socket; mode 0660.
        authority: turns peers into callers.
        clock: paces watchers.
        log: where failures are told.
    """

    def __init__(
        self,
        facade: Facade,
        path: Path,
        authority: Authority,
        *,
        clock: Clock,
        log: EventLog,
        limits: Limits = DEFAULT_LIMITS,
    ) -> None:
        self._facade = facade
        self._path = path
        self._authority = authority
        self._clock = clock
        self._log = log
        self._limits = limits
        self._listener: socket.socket | None = None
        self._inode = 0
        self._stopping = asyncio.Event()
        self._open: dict[asyncio.Task[None], Connection] = {}
        self._watchers = 0
        # One thread for the system database, which may hang on a network: it must never take the loop or other threads.
        self._accounts = ThreadPoolExecutor(max_workers=1, thread_name_prefix="control.accounts")

    def listen(self) -> None:
        """Take the socket, replacing a stale file; connections wait until `serve` runs.

        Raises:
            SocketInUse: another process answers there.
            SocketUnusable: the path is too long, not a socket, or not ours to write.
        """
        try:
            self._listener = _listening_socket(self._path)
            self._inode = self._path.stat().st_ino
        except OSError as error:
            raise SocketUnusable(
                f"cannot listen on {self._path}: {error.strerror}",
                remedy="Set [control] socket in gateway.toml to a path whose folder this user may write.",
            ) from error

    async def serve(self) -> None:
        """Answer until `stop` is called or the task is cancelled; then remove the socket file."""
        if self._listener is None:
            self.listen()
        assert self._listener is not None
        try:
            async with asyncio.TaskGroup() as tasks:
                listening = await asyncio.start_unix_server(
                    lambda reader, writer: self._accept(tasks, reader, writer), sock=self._listener
                )
                try:
                    await self._stopping.wait()
                finally:
                    listening.close()
                await self._finish()
        finally:
            self._unlink()
            self._accounts.shutdown(wait=False, cancel_futures=True)

    def stop(self) -> None:
        """Stop accepting; answers under way get `grace_s` to finish."""
        self._stopping.set()

    async def _finish(self) -> None:
        for task, connection in self._open.items():
            if connection.is_waiting:
                task.cancel()
        if self._open:
            await asyncio.wait(list(self._open), timeout=self._limits.grace_s)
        for task in self._open:
            task.cancel()

    def _unlink(self) -> None:
        with suppress(OSError):  # gone already
            if self._path.stat().st_ino == self._inode:  # never another daemon's
                self._path.unlink()

    def _accept(self, tasks: asyncio.TaskGroup, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if len(self._open) >= self._limits.connections or self._stopping.is_set():
            self._log.event("connection_refused", level="warning", reason="too_many", open=len(self._open))
            writer.write(_BUSY)
            writer.close()
            return
        connection = Connection(reader, writer, self._limits)
        peer: socket.socket = writer.get_extra_info("socket")
        credentials = credentials_of(peer)
        task = tasks.create_task(self._converse(connection, credentials), name=f"control.{credentials.pid}")
        self._open[task] = connection
        task.add_done_callback(lambda done: self._closed(done, connection))

    def _closed(self, task: asyncio.Task[None], connection: Connection) -> None:
        del self._open[task]
        connection.close()

    async def _converse(self, connection: Connection, credentials: Credentials) -> None:
        try:
            await self._exchange(connection, await self._caller(credentials))
        except Malformed as refused:
            body = routes.encode(ErrorView(error=refused.message, remedy=refused.remedy, code=9))
            with suppress(ConnectionError, TimeoutError):
                await connection.respond(refused.status, body, last=True)
                await connection.linger()
        except (ConnectionError, TimeoutError):
            return  # the peer is gone or does not read; there is nobody to tell

    async def _caller(self, credentials: Credentials) -> Caller:
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(_ACCOUNT_S):
                return await loop.run_in_executor(self._accounts, self._authority.caller, credentials)
        except (TimeoutError, OSError) as error:
            # P-HUMAN: root and the daemon's own account can always act, even with the directory server away.
            self._log.event("account_lookup_failed", level="warning", uid=credentials.uid, error=repr(error))
            return self._authority.caller_of(credentials, Account(f"uid {credentials.uid}", frozenset()))

    async def _exchange(self, connection: Connection, caller: Caller) -> None:
        while not self._stopping.is_set():
            request = await connection.request()
            if request is None:
                return
            if not await self._answer(connection, caller, request) or not connection.next_turn():
                return

    async def _answer(self, connection: Connection, caller: Caller, request: Request) -> bool:
        """Answer one request; False when the connection ends with it."""
        try:
            async with asyncio.timeout(self._limits.answer_s):
                found = await routes.answer(request, caller=caller, facade=self._facade, clock=self._clock)
        except GatewayError as error:
            allow = (
                (("Allow", ", ".join(error.allowed)),) if isinstance(error, routes.NotFound) and error.allowed else ()
            )
            await connection.respond(routes.http_status(error), routes.error_body(error), headers=allow)
            return True
        except Exception as error:  # noqa: BLE001 - a bug in an answer must not stop the control of the plant
            self._log.event("request_failed", level="error", path=request.path, error=repr(error))
            await connection.respond(500, _INTERNAL, last=True)
            return False
        if isinstance(found, routes.Stream):
            await self._stream(connection, found)
            return False
        await connection.respond(200, routes.encode(found))
        return True

    async def _stream(self, connection: Connection, stream: routes.Stream) -> None:
        if self._watchers >= self._limits.watchers:
            await connection.respond(503, _TOO_MANY_WATCHERS, last=True)
            return
        self._watchers += 1
        connection.is_waiting = True  # a watch has no end of its own: stopping may cut it anywhere
        try:
            await connection.start_stream()
            silent = 0
            async for tags in stream.batches:
                if connection.peer_has_left:
                    return
                silent = 0 if tags else silent + 1
                if tags or silent % _KEEP_ALIVE_BATCHES == 0:
                    await connection.send_lines(b"\n".join([*map(routes.encode, tags), b""]) or b"\n")
        finally:
            self._watchers -= 1


def _listening_socket(path: Path) -> socket.socket:
    """Bind beside the path and rename into place: the file appears with its final mode, at once, or not at all."""
    if len(os.fsencode(path)) > _PATH_BYTES_MAX:
        raise SocketUnusable(
            f"the socket path {path} is longer than {_PATH_BYTES_MAX} bytes",
            remedy="Choose a shorter [control] socket.",
        )
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o750)
    _refuse_if_alive(path)
    fresh = path.with_name(path.name + ".new")
    fresh.unlink(missing_ok=True)
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC)
    try:
        listener.bind(os.fspath(fresh))
        fresh.chmod(0o660)
        listener.listen(_BACKLOG)
        fresh.rename(path)
    except OSError:
        listener.close()
        raise
    listener.setblocking(False)
    return listener


def _refuse_if_alive(path: Path) -> None:
    try:
        mode = path.lstat().st_mode
    except FileNotFoundError:
        return
    if not stat.S_ISSOCK(mode):
        raise SocketUnusable(f"{path} exists and is not a socket", remedy="Move it away, or choose another path.")
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.settimeout(1.0)
        refused = probe.connect_ex(os.fspath(path))
    if refused not in (errno.ECONNREFUSED, errno.ENOENT):
        raise SocketInUse(
            f"another process listens on {path}",
            remedy="Stop the other gatewayd first: `systemctl stop gatewayd`, or give this one its own socket.",
        )


def _refusal(status: str, error: GatewayError) -> bytes:
    body = routes.error_body(error)
    head = f"HTTP/1.1 {status}\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\nConnection: close\r\n\r\n"
    return head.encode("ascii") + body


_BUSY = _refusal(
    "503 Service Unavailable",
    DaemonUnreachable(
        "too many clients on the control socket", remedy="Close one, e.g. a `tags watch`, and try again."
    ),
)
_TOO_MANY_WATCHERS = routes.error_body(
    DaemonUnreachable("too many watchers", remedy="End another `gatewayd tags watch` first.")
)
_INTERNAL = routes.error_body(
    GatewayError("the gateway failed to answer", remedy="See `journalctl -u gatewayd` and report what it says.")
)
