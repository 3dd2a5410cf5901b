"""The process image that the physics and the two servers share: one row of float64 per tag, in shared memory.

A cell is written by one process only, and eight aligned bytes are read whole, so there is no lock to die with.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from ctypes import Array, c_double
from multiprocessing.context import SpawnContext

from hil.plants.tags import TAGS, WRITABLE

_VALUE, _COMMAND, _IGNORED, _LIMIT, _CELLS = 0, 1, 2, 3, 4
_HEADER = 4  # tick, wall time of the tick in s, exception address, spare


class Image:
    """Values measured by the physics, commands taken by the servers, and the faults the servers play."""

    def __init__(self, cells: Array[c_double]) -> None:
        self.cells = cells
        self._row = {tag: _HEADER + place * _CELLS for place, tag in enumerate(TAGS)}

    @classmethod
    def create(cls, context: SpawnContext, values: dict[str, float]) -> Image:
        """Allocate an image; every writable tag is commanded to what it shows."""
        image = cls(context.RawArray(c_double, _HEADER + len(TAGS) * _CELLS))
        image.clear_server_faults()
        for tag in WRITABLE:
            image.cells[image._row[tag] + _COMMAND] = values[tag]
        image.publish(values, tick=0, wall_s=0.0)
        return image

    def publish(self, values: dict[str, float], *, tick: int, wall_s: float) -> None:
        """Show what the instruments measured. Set points are not measured: they show their command."""
        for tag, value in values.items():
            if tag not in WRITABLE:
                self.cells[self._row[tag] + _VALUE] = value
        self.cells[1] = wall_s
        self.cells[0] = tick

    @property
    def tick(self) -> int:
        """Return how many steps the physics has made."""
        return int(self.cells[0])

    @property
    def wall_s(self) -> float:
        """Return the wall time of the last step."""
        return self.cells[1]

    def value(self, tag: str) -> float:
        """Return what a client reads."""
        return self.cells[self._row[tag] + (_COMMAND if tag in WRITABLE else _VALUE)]

    def command(self, tag: str, value: float) -> None:
        """Take a write as the device would: applied, ignored or clamped; the answer is the same."""
        row = self._row[tag]
        if not self.cells[row + _IGNORED]:
            limit = self.cells[row + _LIMIT]
            self.cells[row + _COMMAND] = value if math.isnan(limit) else min(value, limit)

    def ignore_writes(self, tag: str) -> None:
        """Let writes be acknowledged and forgotten."""
        self.cells[self._row[tag] + _IGNORED] = 1.0

    def clamp_writes(self, tag: str, limit: float) -> None:
        """Let writes be acknowledged and cut to a limit."""
        self.cells[self._row[tag] + _LIMIT] = limit

    @property
    def exception_address(self) -> int:
        """Return the register address that answers with exception 4, -1 if none."""
        return int(self.cells[2])

    @exception_address.setter
    def exception_address(self, address: int) -> None:
        self.cells[2] = address

    def clear_server_faults(self) -> None:
        """Let both servers be honest again."""
        self.exception_address = -1
        for tag in TAGS:
            self.cells[self._row[tag] + _IGNORED] = 0.0
            self.cells[self._row[tag] + _LIMIT] = math.nan


def commands(image: Image, tags: Iterable[str]) -> dict[str, float]:
    """Return what is commanded now, for the physics."""
    return {tag: image.value(tag) for tag in tags}
