"""Keeps what detectors have learned: in the store every ten minutes and at a stop, back in the tables at a start."""

from __future__ import annotations

import asyncio
from typing import Final, Protocol

import zstandard

from gatewayd.clock import Clock
from gatewayd.core.detect.asset_memory import KIND, learned_assets, restore_assets
from gatewayd.core.detect.memory import Places, Restored, learned, places_of, restore_learned
from gatewayd.core.site import NS, Site
from gatewayd.core.state import State
from gatewayd.errors import StoreError
from gatewayd.observe.events import EventLog

EVERY_NS: Final = 600 * NS
PLAIN_BYTES_MAX: Final = 256 << 20


class LearnedRows(Protocol):
    """What the store keeps of it; the journal."""

    def learned(self) -> dict[str, bytes]:
        """Return what was kept, kind -> bytes; a row that is not as it was kept is empty."""
        ...

    async def keep_learned(self, rows: dict[str, bytes]) -> None:
        """Make rows durable in place of those of the same kinds."""
        ...


class DetectorMemory:
    """Saves and restores what the detectors of one state have learned.

    Args:
        state: whose tables they are; read between cycles only.
        site: its configuration.
        rows: where it is kept.
        clock: for the time between.
        log: for what could not be kept or taken up.
    """

    def __init__(self, state: State, site: Site, rows: LearnedRows, *, clock: Clock, log: EventLog) -> None:
        self._state = state
        self._site = site
        self._rows = rows
        self._clock = clock
        self._log = log
        self._places: tuple[Places, ...] | None = None

    def restore(self) -> Restored:
        """Take up what an earlier run kept; call it before the first cycle."""
        kept = {kind: _unpack(packed) for kind, packed in self._rows.learned().items()}
        if not kept:
            return Restored()
        self._places = places_of(self._state, self._site)
        restored = self._with_assets(restore_learned(self._state, self._places, kept), kept.get(KIND))
        level = "warning" if restored.damaged else "info"
        damaged = ", ".join(restored.damaged)
        self._log.event("detectors_restored", level=level, count=restored.taken, damaged=damaged)
        return restored

    def _with_assets(self, restored: Restored, kept: bytes | None) -> Restored:
        if kept is None:
            return restored
        taken = restore_assets(self._state, self._site, kept)
        if taken is None:
            return restored._replace(damaged=(*restored.damaged, KIND))
        return restored._replace(taken=restored.taken + taken)

    async def run(self) -> None:
        """Save every ten minutes, for ever."""
        while True:
            await self._clock.sleep_until(self._clock.monotonic_ns() + EVERY_NS)
            await self.save()

    async def save(self) -> None:
        """Save now. The tables are copied at once, the rest happens beside the loop; failing costs a warm-up, no more."""
        if self._places is None:
            self._places = await asyncio.to_thread(places_of, self._state, self._site)
        plain = learned(self._state, self._places) | learned_assets(self._state, self._site)
        if not plain:
            return
        try:
            await self._rows.keep_learned(await asyncio.to_thread(_pack, plain))
        except StoreError as error:
            self._log.event("detectors_not_saved", level="warning", error=error.message, remedy=error.remedy)


def _pack(plain: dict[str, bytes]) -> dict[str, bytes]:
    return {kind: zstandard.ZstdCompressor(level=1).compress(content) for kind, content in plain.items()}


def _unpack(packed: bytes) -> bytes:
    """Return the plain bytes, none if they are damaged."""
    try:
        if not 0 < zstandard.frame_content_size(packed) <= PLAIN_BYTES_MAX:
            return b""
        return zstandard.ZstdDecompressor(max_window_size=PLAIN_BYTES_MAX).decompress(packed)
    except zstandard.ZstdError:
        return b""
