"""What can be made to go wrong with the station, by name."""

from __future__ import annotations

import asyncio
import math
import os
import signal
from collections.abc import Mapping

from hil.plants.image import Image
from hil.plants.physics import Station
from hil.plants.tags import TAGS, WRITABLE

SILENCE_MAX_S = 600.0


class FaultError(Exception):
    """No such fault, or not with these arguments."""


class Faults:
    """Switches faults on and off.

    Args:
        pids: server name -> process id; a silent device is a stopped process, whose kernel still accepts connections.
    """

    def __init__(self, station: Station, image: Image, pids: Mapping[str, int]) -> None:
        self._station = station
        self._image = image
        self._pids = pids
        self._forced: dict[str, float | None] = {}  # None = stuck, its value not taken yet
        self._silent: dict[str, asyncio.TimerHandle] = {}
        self.active: dict[str, dict[str, object]] = {}

    def apply(self, name: str, arguments: Mapping[str, object]) -> None:
        """Switch a fault on, or all off with `clear`.

        Raises:
            FaultError: the name or an argument is unknown.
        """
        action = _ACTIONS.get(name)
        if action is None:
            raise FaultError(f"there is no fault {name!r}; there are {', '.join(sorted(_ACTIONS))}")
        try:
            action(self, **arguments)
        except TypeError as error:
            raise FaultError(str(error)) from error
        if name != "clear":
            self.active[name] = dict(arguments)

    def distort(self, measured: dict[str, float]) -> dict[str, float]:
        """Return what the instruments show, given what they measured."""
        for tag, forced in self._forced.items():
            if forced is None:
                self._forced[tag] = measured[tag]
            else:
                measured[tag] = forced
        return measured

    def bearing_wear(self, pump: str, amount: float = 1.0) -> None:
        """Let a pump's bearing degrade; 0 repairs it."""
        if pump not in self._station.pumps:
            raise FaultError(f"there is no pump {pump!r}")
        self._station.pumps[pump].wear = float(amount)

    def sensor_stuck(self, tag: str) -> None:
        """Freeze what an instrument shows; its time goes on."""
        self._forced[_known(tag)] = None

    def sensor_nan(self, tag: str) -> None:
        """Let an instrument show NaN, or its integer's "not available"."""
        self._forced[_known(tag)] = math.nan

    def device_silent(self, server: str, seconds: float) -> None:
        """Let a server accept and never answer, for a time."""
        if server not in self._pids:
            raise FaultError(f"there is no server {server!r}; there are {', '.join(self._pids)}")
        if not 0.0 < float(seconds) <= SILENCE_MAX_S:
            raise FaultError(f"seconds is {seconds}; allowed is above 0 to {SILENCE_MAX_S:g}")
        self._wake(server)
        os.kill(self._pids[server], signal.SIGSTOP)
        self._silent[server] = asyncio.get_running_loop().call_later(float(seconds), self._wake, server)

    def exception(self, address: int) -> None:
        """Answer exception 4 to every request that touches a register address (0-based)."""
        self._image.exception_address = int(address)

    def write_ignored(self, tag: str) -> None:
        """Acknowledge writes and forget them."""
        self._image.ignore_writes(_writable(tag))

    def write_clamped(self, tag: str, max: float) -> None:  # the word of the control protocol
        """Acknowledge writes and cut them to a limit."""
        self._image.clamp_writes(_writable(tag), float(max))

    def clear(self) -> None:
        """End every fault and repair every bearing."""
        self._forced.clear()
        self._image.clear_server_faults()
        for pump in self._station.pumps.values():
            pump.wear = 0.0
        for server in list(self._silent):
            self._wake(server)
        self.active.clear()

    def _wake(self, server: str) -> None:
        if timer := self._silent.pop(server, None):
            timer.cancel()
            os.kill(self._pids[server], signal.SIGCONT)
            self.active.pop("device_silent", None)


_ACTIONS = {
    name: getattr(Faults, name)
    for name in (
        "bearing_wear",
        "sensor_stuck",
        "sensor_nan",
        "device_silent",
        "exception",
        "write_ignored",
        "write_clamped",
        "clear",
    )
}


def _known(tag: str) -> str:
    if tag not in TAGS or tag in WRITABLE:
        raise FaultError(f"there is no instrument {tag!r}")
    return tag


def _writable(tag: str) -> str:
    if tag not in WRITABLE:
        raise FaultError(f"{tag!r} cannot be written; these can: {', '.join(sorted(WRITABLE))}")
    return tag
