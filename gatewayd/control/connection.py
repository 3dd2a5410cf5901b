"""One HTTP/1.1 connection on h11: bounded heads and bodies, a timeout on every wait, back-pressure on every write."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import h11
from msgspec import Struct

_READ_BYTES = 16_384
_LINGER_BYTES = 1 << 20  # read and thrown away after a refusal, so that the client reaches our answer
_LINGER_S = 1.0

Headers = Sequence[tuple[str, str]]


class Limits(Struct, frozen=True):
    """What one client may take. Times are seconds."""

    head_bytes: int = 65_536
    body_bytes: int = 65_536
    connections: int = 32
    watchers: int = 8
    idle_s: float = 60.0  # between two requests on one connection
    request_s: float = 10.0  # from a request's first byte to its last
    answer_s: float = 30.0  # for the gateway to find the answer
    write_s: float = 30.0  # for the client to take what we send
    grace_s: float = 2.0  # for answers under way when the server stops


class Request(Struct, frozen=True):
    """A request as it arrived; `path` and `query` are still percent-encoded."""

    method: str
    path: str
    query: str
    body: bytes


class Malformed(Exception):  # an answer to the peer, never seen outside this package
    """The peer broke the protocol or a limit; the connection ends after this answer."""

    def __init__(self, status: int, message: str, remedy: str) -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.remedy = remedy


class Connection:
    """Reads requests and writes answers, one after the other."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, limits: Limits) -> None:
        self._reader = reader
        self._writer = writer
        self._limits = limits
        self._http = h11.Connection(h11.SERVER, max_incomplete_event_size=limits.head_bytes)
        self.is_waiting = True  # between two requests: may be closed without loss

    async def request(self) -> Request | None:
        """Return the next request, or None when the peer is done or stayed silent too long.

        Raises:
            Malformed: answer it with `respond(..., last=True)`.
            ConnectionError: the peer is gone.
        """
        self.is_waiting = True
        try:
            if not await self._first_bytes():
                return None
            self.is_waiting = False
            async with asyncio.timeout(self._limits.request_s):
                return await self._whole_request()
        except h11.RemoteProtocolError as error:
            raise Malformed(error.error_status_hint, f"not HTTP/1.1: {error}", "Send HTTP/1.1 requests.") from error
        except TimeoutError as error:
            seconds = self._limits.request_s
            raise Malformed(408, f"the request took more than {seconds:g} s", "Send it in one go.") from error

    async def _first_bytes(self) -> bool:
        if self._http.trailing_data[0]:
            return True  # a pipelined request is here already
        try:
            async with asyncio.timeout(self._limits.idle_s):
                received = await self._reader.read(_READ_BYTES)
        except TimeoutError:
            return False
        self._http.receive_data(received)
        return bool(received)

    async def _whole_request(self) -> Request | None:
        head = await self._next_event()
        if not isinstance(head, h11.Request):
            return None  # the peer closed its side
        body = bytearray()
        while isinstance(event := await self._next_event(), h11.Data):
            body += event.data
            if len(body) > self._limits.body_bytes:
                raise Malformed(413, f"a body may have {self._limits.body_bytes} bytes", "Send less.")
        if not isinstance(event, h11.EndOfMessage):
            return None
        path, _, query = head.target.decode("ascii").partition("?")
        return Request(head.method.decode("ascii"), path, query, bytes(body))

    async def _next_event(self) -> h11.Event | type[h11.PAUSED]:
        while True:
            event = self._http.next_event()
            if event is not h11.NEED_DATA:
                return event  # type: ignore[return-value]  # h11 types its sentinels as classes of their own
            if self._http.they_are_waiting_for_100_continue:
                await self._send(h11.InformationalResponse(status_code=100, headers=[]))
            self._http.receive_data(await self._reader.read(_READ_BYTES))

    async def respond(self, status: int, body: bytes, *, headers: Headers = (), last: bool = False) -> None:
        """Send a whole answer; `last` ends the connection after it.

        Raises:
            ConnectionError, TimeoutError: the peer is gone or does not read.
        """
        if self._http.our_state not in (h11.IDLE, h11.SEND_RESPONSE):
            return  # half an answer is out already: all that is left is to close
        await self._send(
            h11.Response(
                status_code=status,
                headers=[
                    ("Content-Type", "application/json"),
                    ("Content-Length", str(len(body))),
                    ("Cache-Control", "no-store"),
                    *(() if not last else (("Connection", "close"),)),
                    *headers,
                ],
            ),
            h11.Data(data=body),
            h11.EndOfMessage(),
        )

    async def start_stream(self) -> None:
        """Begin an answer of unknown length: newline-delimited JSON."""
        headers = [("Content-Type", "application/x-ndjson"), ("Cache-Control", "no-store"), ("Connection", "close")]
        await self._send(h11.Response(status_code=200, headers=headers))

    async def send_lines(self, lines: bytes) -> None:
        """Send part of a stream and wait until the peer has room for more.

        Raises:
            ConnectionError, TimeoutError: the peer is gone or does not read.
        """
        await self._send(h11.Data(data=lines))

    async def _send(self, *events: h11.Event) -> None:
        self._writer.write(b"".join([self._http.send(event) or b"" for event in events]))
        async with asyncio.timeout(self._limits.write_s):
            await self._writer.drain()

    @property
    def peer_has_left(self) -> bool:
        """Say whether the peer closed its side or reset the connection; a watcher that does is gone."""
        return self._reader.at_eof() or self._reader.exception() is not None

    def next_turn(self) -> bool:
        """Make ready for the next request; False when the connection ends here."""
        if self._http.our_state is not h11.DONE or self._http.their_state is not h11.DONE:
            return False
        self._http.start_next_cycle()
        return True

    async def linger(self) -> None:
        """Throw away what the peer still sends, briefly, so that closing does not cost it our answer."""
        left = _LINGER_BYTES
        try:
            self._writer.write_eof()
            async with asyncio.timeout(_LINGER_S):
                while left > 0 and (received := await self._reader.read(_READ_BYTES)):
                    left -= len(received)
        except (TimeoutError, OSError):
            return  # it had its chance

    def close(self) -> None:
        """Close without waiting for the peer."""
        self._writer.close()
