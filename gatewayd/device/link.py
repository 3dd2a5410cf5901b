"""What every driver offers: one connection per device, used for reading and writing."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

from msgspec import Struct

from gatewayd.model.block import Block, ReadPlan
from gatewayd.model.record import Body

Deliver = Callable[[Sequence[Block]], None]  # takes what came together, in order; it is not changed afterwards
Note = Callable[[Body], None]


def silent(body: Body) -> None:
    """Take a note and keep it to itself: for a link that nobody polls."""


class Reading(Struct, frozen=True):
    """One value read for verification, in contract units (scale and offset applied)."""

    value: float  # NaN when `status` is not Good
    status: int
    response_time_ns: int


class Link(Protocol):
    """A driver's door. It never decodes scan values and never retries a write."""

    name: str
    plans: tuple[ReadPlan, ...]
    note: Note  # takes what the driver has to say for the journal; set by whoever polls the device

    async def connect(self) -> None:
        """Open the connection; a second call while open does nothing.

        Raises:
            DeviceUnreachable, DeviceTimeout, DeviceNotTrusted.
        """
        ...

    async def scan(self, plans: Sequence[ReadPlan], deliver: Deliver) -> None:
        """Run the requests of these plans, delivering one block each as its last byte arrives; those of one read together.

        A plan that the device refuses (exception code, service fault) is delivered as a LOST block with the matching
        status; the others go on. When the link itself fails, every plan not yet delivered is the caller's to report.

        A subscribed plan (OPCUA_NOTIFICATION) is looked after instead: its subscription is made if there is none, and
        found to be alive. `deliver` is kept for it, and gets blocks whenever the device has news, until the link is
        closed or fails.

        Raises:
            UnitsLost: some of several units failed; their plans were delivered as LOST, and the link is open.
            DeviceTimeout, DeviceUnreachable, DeviceProtocolError: the link is closed; connect again.
        """
        ...

    async def write(self, row: int, value: float) -> None:
        """Write one tag, value in contract units; return when the device acknowledged. Never repeated.

        Raises:
            DeviceRefused: the device answered no, or the value has no exact place in the tag's type; nothing changed.
            DeviceTimeout, DeviceUnreachable, DeviceProtocolError: the state of the plant is unknown. With `unit` set in
                it the link is open; else close it.
        """
        ...

    async def read_back(self, row: int) -> Reading:
        """Read one tag on its own, past any cache.

        Raises:
            DeviceError.
        """
        ...

    async def close(self) -> None:
        """Close without waiting for the device; safe to call twice."""
        ...
