"""A blocking HTTP/1.1 client on h11 over the daemon's Unix socket: one request per connection, nothing else."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TypeVar
from urllib.parse import quote, urlencode

import h11
import msgspec

from gatewayd.errors import UNDECODABLE, DaemonUnreachable, GatewayError
from gatewayd.model.view import ErrorView

_READ_BYTES = 65_536
_BODY_BYTES_MAX = 64 << 20  # 10,000 tags are about 4 MB
_LINE_BYTES_MAX = 1 << 20
_CONNECT_S = 3.0
_ANSWER_S = 35.0  # a little more than the daemon gives itself

Answer = TypeVar("Answer")


class DaemonRefused(GatewayError):
    """The daemon answered with an error; its exit code is the command's."""

    def __init__(self, refusal: ErrorView) -> None:
        super().__init__(refusal.error, remedy=refusal.remedy)
        self.exit_code = refusal.code


def path_of(*segments: str, **query: str | int | None) -> str:
    """Return a request target: segments are quoted, empty and absent query values left out."""
    path = "/v1/" + "/".join(quote(segment, safe="") for segment in segments)
    asked = {name: value for name, value in query.items() if value not in (None, "")}
    return f"{path}?{urlencode(asked)}" if asked else path


class Client:
    """Talks to one daemon.

    Args:
        socket_path: of its control socket.
    """

    def __init__(self, socket_path: str) -> None:
        self._socket_path = socket_path

    def ask(
        self, answer: type[Answer], method: str, target: str, body: msgspec.Struct | None = None
    ) -> tuple[bytes, Answer]:
        """Send a request; return the answer's bytes and their decoded form.

        Raises:
            DaemonUnreachable: nobody answers, or not in time, or not in HTTP.
            DaemonRefused: the daemon's own message, remedy and exit code.
        """
        with self._exchange(method, target, body) as exchange:
            raw = exchange.body()
        return raw, _decoded(raw, answer)

    def lines(self, target: str) -> Iterator[bytes]:
        """Yield the lines of a stream until the daemon ends it; empty lines are only signs of life.

        Raises:
            DaemonUnreachable, DaemonRefused.
        """
        with self._exchange("GET", target, None) as exchange:
            yield from exchange.lines()

    @contextmanager
    def _exchange(self, method: str, target: str, body: msgspec.Struct | None) -> Iterator[_Exchange]:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
            try:
                connection.settimeout(_CONNECT_S)
                connection.connect(self._socket_path)
                connection.settimeout(_ANSWER_S)
                exchange = _Exchange(connection)
                exchange.send(method, target, b"" if body is None else msgspec.json.encode(body))
                exchange.head()
                yield exchange
            except TimeoutError as error:
                raise self._unreachable("does not answer in time", "See `journalctl -u gatewayd`.") from error
            except h11.RemoteProtocolError as error:
                raise self._unreachable(
                    f"does not speak HTTP: {error}", "Check --socket and GATEWAYD_SOCKET."
                ) from error
            except BrokenPipeError as error:
                raise self._unreachable("closed the connection", "Try again.") from error
            except BlockingIOError as error:  # Linux says so when the socket's backlog is full
                raise self._unreachable("has too many clients", "Try again in a moment.") from error
            except PermissionError as error:
                remedy = "Join the socket's group (see `ls -l`), log in again, or use sudo."
                raise self._unreachable("may not be opened by this user", remedy) from error
            except (OSError, ValueError) as error:
                why = getattr(error, "strerror", None) or str(error)
                remedy = "Start the daemon: `systemctl start gatewayd` or `gatewayd run DIR`; or give its --socket."
                raise self._unreachable(f"cannot be reached: {why.lower()}", remedy) from error

    def _unreachable(self, what: str, remedy: str) -> DaemonUnreachable:
        return DaemonUnreachable(f"the daemon at {self._socket_path} {what}", remedy=remedy)


class _Exchange:
    """One request and its answer."""

    def __init__(self, connection: socket.socket) -> None:
        self._socket = connection
        self._http = h11.Connection(h11.CLIENT)

    def send(self, method: str, target: str, body: bytes) -> None:
        headers = [("Host", "gatewayd"), ("Connection", "close")]
        if body:
            headers += [("Content-Type", "application/json"), ("Content-Length", str(len(body)))]
        out = self._http.send(h11.Request(method=method, target=target, headers=headers)) or b""
        if body:
            out += self._http.send(h11.Data(data=body)) or b""
        self._socket.sendall(out + (self._http.send(h11.EndOfMessage()) or b""))

    def head(self) -> None:
        event = self._next_event()
        while isinstance(event, h11.InformationalResponse):
            event = self._next_event()
        assert isinstance(event, h11.Response), "h11 gives nothing else first"
        if event.status_code != 200:
            raise DaemonRefused(_decoded(self.body(), ErrorView))

    def body(self) -> bytes:
        received = bytearray()
        for part in self._parts():
            received += part
            if len(received) > _BODY_BYTES_MAX:
                raise h11.RemoteProtocolError(f"the answer is larger than {_BODY_BYTES_MAX} bytes")
        return bytes(received)

    def lines(self) -> Iterator[bytes]:
        rest = b""
        for part in self._parts():
            *whole, rest = (rest + part).split(b"\n")
            if len(rest) > _LINE_BYTES_MAX:
                raise h11.RemoteProtocolError("a line without an end")
            yield from (line for line in whole if line)

    def _parts(self) -> Iterator[bytes]:
        while isinstance(event := self._next_event(), h11.Data):
            yield event.data

    def _next_event(self) -> object:
        while (event := self._http.next_event()) is h11.NEED_DATA:
            received = self._socket.recv(_READ_BYTES)
            if not received and self._http.their_state is h11.SEND_RESPONSE:
                raise h11.RemoteProtocolError("the connection ended before an answer")
            self._http.receive_data(received)
        return event


def _decoded(raw: bytes, answer: type[Answer]) -> Answer:
    try:
        return msgspec.json.decode(raw, type=answer)
    except UNDECODABLE as error:
        raise DaemonUnreachable(
            f"the daemon's answer is not understood: {error}",
            remedy="Command line and daemon are of different versions: use the daemon's own gatewayd.",
        ) from error
