"""What the bus master needs of whatever carries its bytes, and the two that the network offers."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Protocol, cast

from msgspec import Struct


class Line(Protocol):
    """An open serial port, TCP connection or UDP socket."""

    def send(self, frame: bytes) -> None:
        """Send without waiting.

        Raises:
            OSError: it cannot.
        """
        ...

    def close(self) -> None:
        """Close now; nothing is heard any more. Safe to call twice."""
        ...


class Ears(Struct, frozen=True):
    """Where a line reports.

    Args:
        heard: bytes arrived.
        lost: the line is over; None = the other side closed it.
        bounced: the last request did not get there; the line is still open.
    """

    heard: Callable[[bytes], None]
    lost: Callable[[Exception | None], None]
    bounced: Callable[[Exception], None]


class StreamLine(asyncio.Protocol):
    """A TCP connection to a converter that passes bytes through."""

    def __init__(self, ears: Ears) -> None:
        self._ears = ears
        self._transport: asyncio.Transport | None = None
        self._is_closed = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Start."""
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        """Pass on."""
        if not self._is_closed:
            self._ears.heard(data)

    def connection_lost(self, exc: Exception | None) -> None:
        """Say so, unless we closed it."""
        if not self._is_closed:
            self._ears.lost(exc)

    def send(self, frame: bytes) -> None:
        """Send; what cannot be sent ends in `lost`."""
        assert self._transport is not None, "used before connection_made"
        self._transport.write(frame)

    def close(self) -> None:
        """Close now."""
        self._is_closed = True
        if self._transport is not None:
            self._transport.abort()


class DatagramLine(asyncio.DatagramProtocol):
    """A UDP socket connected to one server: what others send does not arrive."""

    def __init__(self, ears: Ears) -> None:
        self._ears = ears
        self._transport: asyncio.DatagramTransport | None = None
        self._is_closed = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Start."""
        self._transport = cast("asyncio.DatagramTransport", transport)

    def datagram_received(self, data: bytes, _sender: object) -> None:
        """Pass on."""
        if not self._is_closed:
            self._ears.heard(data)

    def error_received(self, exc: Exception) -> None:
        """Nobody listens at that port, or no route: true of this datagram only."""
        if not self._is_closed:
            self._ears.bounced(exc)

    def connection_lost(self, exc: Exception | None) -> None:
        """Say so, unless we closed it."""
        if not self._is_closed:
            self._ears.lost(exc)

    def send(self, frame: bytes) -> None:
        """Send one datagram."""
        assert self._transport is not None, "used before connection_made"
        self._transport.sendto(frame)

    def close(self) -> None:
        """Close now."""
        self._is_closed = True
        if self._transport is not None:
            self._transport.abort()
