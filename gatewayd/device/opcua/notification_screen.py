"""Is a notification whole before it is handed on? A compiled walk over its bytes; no value is decoded here."""

from __future__ import annotations

from array import array
from collections.abc import Iterator

from msgspec import Struct

from gatewayd.core.kernels import Kernels
from gatewayd.core.state import INBOX_BYTES
from gatewayd.device.opcua.service import broken


class Screened(Struct, frozen=True):
    """Whole monitored-item notifications that fit the core's inbox."""

    payload: bytes
    overflows: int  # items whose queue was too short, so that a change is lost
    gone: int  # items whose node the server does not have any more


class NotificationScreen:
    """Walks notifications in a buffer of its own.

    Args:
        kernels: compiled code.
        size: largest payload of a block, bytes.
    """

    def __init__(self, kernels: Kernels, size: int = INBOX_BYTES) -> None:
        self._inbox = memoryview(bytearray(size))
        self._out = memoryview(array("q", bytes(64)))
        columns = {"inbox.byte": self._inbox, "nest.value": memoryview(array("q", bytes(256))), "out.value": self._out}
        self._walk = kernels.bind("screen_notification", columns)

    def passed(self, records: bytes, count: int, *, handles: int) -> Iterator[Screened]:
        """Yield the notifications in payloads for the core.

        Args:
            records: monitored-item notifications back to back.
            count: how many the message announced.
            handles: client handles we gave out are below this.

        Raises:
            DeviceProtocolError: these are not `count` notifications of ours, or one is larger than a payload may be.
        """
        at = 0
        while count or at < len(records):
            piece = records[at : at + len(self._inbox)]
            self._inbox[: len(piece)] = piece
            found = self._walk(len(piece), handles, count)
            if found <= 0:
                raise broken("a notification that is malformed, or for an item that was never asked for")
            place = self._out[0]
            yield Screened(piece[:place], self._out[1], self._out[2])
            at += place
            count -= found
