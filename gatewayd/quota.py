"""Watches how full the store and its disk are: warns, gives blocks up, stops automatic writes, and lets them come back.

What follows from how full it is stands in `store/room.py`; here it is measured once a second and acted on. A disk that
others fill is found before a write meets it.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Final, Protocol

from gatewayd.clock import Clock
from gatewayd.errors import StoreError
from gatewayd.inhibits import Inhibit
from gatewayd.journal.blocks.recorder import Expired
from gatewayd.model.config import Storage
from gatewayd.model.record import AlarmEvent, Body, Gap
from gatewayd.model.view import StorageStream, StorageView
from gatewayd.observe.events import EventLog
from gatewayd.storage import STATE_SHARE
from gatewayd.store.room import Level, Limits, Room, next_level
from gatewayd.store.tables import Table

LOOK_NS: Final = 1_000_000_000
READERS_EVERY: Final = 60  # looks
QUOTA_EVERY: Final = 5  # looks
ALARM: Final = "gateway/storage"

BLOCKS: Final = (Table.BLOCK, Table.BLOCK_INDEX)
STATE: Final = (Table.SAVE, Table.INTENT, Table.CURSOR)


class MeasuredStore(Protocol):
    """What the watch needs of the store."""

    quota_bytes: int

    def room(self) -> Room:
        """Measure."""
        ...

    def table_bytes(self) -> dict[str, int]:
        """Return bytes by table."""
        ...

    def clear_stale_readers(self) -> int:
        """Give the slots of dead readers free."""
        ...


class Blocks(Protocol):
    """What the watch needs of the flight recorder."""

    @property
    def quota_bytes(self) -> int:
        """Return how many bytes of blocks are kept at most."""
        ...

    async def make_room(self) -> Expired | None:
        """Give up a few blocks, those first in whose cycles nothing was decided."""
        ...


class Brake(Protocol):
    """What the watch needs of the cycle."""

    def note(self, body: Body) -> None:
        """Journal something."""
        ...

    def inhibit(self, inhibit: Inhibit, reason: str) -> None:
        """Stop automatic writes."""
        ...

    def permit(self, inhibit: Inhibit, reason: str) -> None:
        """Let them come back."""
        ...


class StorageWatch:
    """Looks at the room once a second.

    Args:
        store: that is measured.
        blocks: the flight recorder, which gives room to the journal.
        brake: the cycle.
        limits: where levels begin and end.
        clock: for the pace.
        log: where each change of level is told, with what to do.

    Attributes:
        level: the last one.
        quota_wanted: returns the quota that the configuration has now, bytes; 0 = nobody knows.
        enlarge: lets the store go on under a larger one.
    """

    def __init__(
        self, store: MeasuredStore, blocks: Blocks, brake: Brake, limits: Limits, *, clock: Clock, log: EventLog
    ) -> None:
        self._store = store
        self._blocks = blocks
        self._brake = brake
        self._limits = limits
        self._clock = clock
        self._log = log
        self._looks = 0
        self.level = Level.AMPLE
        self.quota_wanted: Callable[[], int] = lambda: 0
        self.enlarge: Callable[[int], Awaitable[None]] = _enlarge_nothing

    async def run(self) -> None:
        """Look for as long as the task lives."""
        while True:
            await self.look()
            await self._clock.sleep_until(self._clock.monotonic_ns() + LOOK_NS)

    async def look(self) -> None:
        """Measure once, and act. A store that failed says nothing here; the cycle deals with it."""
        try:
            if self.level is not Level.AMPLE and self._looks % QUOTA_EVERY == 0:
                await self._follow_quota()
            room = self._store.room()
            if room.own_fill >= self._limits.shed:
                await self._shed()
                room = self._store.room()
            self._looks += 1
            if self._looks % READERS_EVERY == 0:
                self._store.clear_stale_readers()
        except StoreError:
            return
        fill = max(room.fill, self._limits.warn) if room.lacks_inodes else room.fill
        before, self.level = self.level, next_level(self.level, fill, self._limits)
        if self.level is not before:
            self._tell(before, room)

    async def _follow_quota(self) -> None:
        """Take a larger quota from the configuration, so that nobody must restart a plant's gateway to give it room."""
        before, wanted = self._store.quota_bytes, self.quota_wanted()
        if wanted <= before:
            return
        await self.enlarge(wanted)
        text = f"storage.quota_mb was raised from {before / 1e6:.0f} to {wanted / 1e6:.0f}"
        self._brake.note(AlarmEvent(alarm=ALARM, state="unack", priority="high", text=text))
        self._log.event("quota_raised", before_mb=before // 10**6, after_mb=wanted // 10**6)

    async def _shed(self) -> None:
        """Give blocks up before automatic writes end; what was shed is told as a gap."""
        expired = await self._blocks.make_room()
        if expired is not None:
            reason = "given up before their time: the store is nearly full"
            self._brake.note(Gap("blocks", expired.first_cycle, expired.last_cycle, expired.blocks, reason))
            self._log.event("blocks_shed", level="warning", blocks=expired.blocks, bytes=expired.size)

    def _tell(self, before: Level, room: Room) -> None:
        """Journal and log a change of level, and stop automatic writes or let them come back."""
        text = words(room)
        if self.level is Level.AMPLE:
            self._brake.note(AlarmEvent(alarm=ALARM, state="normal", priority="high", text=text))
            self._log.event("storage_roomy_again", fill=round(room.fill, 3))
        else:
            priority = "critical" if self.level is Level.MONITOR else "high"
            self._brake.note(AlarmEvent(alarm=ALARM, state="unack", priority=priority, text=text))
            level = "error" if self.level is Level.MONITOR else "warning"
            self._log.event("storage_filled", level=level, problem=text, remedy=remedy(room))
        if self.level is Level.MONITOR:
            self._brake.inhibit(Inhibit.STORAGE, text)
        elif before is Level.MONITOR:
            self._brake.permit(Inhibit.STORAGE, "storage has room again")

    def view(self) -> StorageView | None:
        """Return what people see, measured now; None while the store does not answer."""
        try:
            room, tables = self._store.room(), self._store.table_bytes()
        except StoreError:
            return None
        return StorageView(
            level=self.level.value,
            fill=room.fill,
            used_bytes=room.used,
            limit_bytes=room.limit,
            disk_free_bytes=room.disk_free,
            is_disk_nearer=room.is_disk_nearer,
            remedy="" if self.level is Level.AMPLE else remedy(room),
            streams=streams(tables, room, self._limits, blocks_bytes=self._blocks.quota_bytes),
        )


async def _enlarge_nothing(_: int) -> None:
    return


def limits_of(storage: Storage) -> Limits:
    """Return the limits of a configuration."""
    return Limits(
        warn=storage.warn_percent / 100,
        warn_clear=storage.warn_clear_percent / 100,
        monitor=storage.monitor_percent / 100,
        resume=storage.resume_percent / 100,
    )


def words(room: Room) -> str:
    """Return how full it is, for people."""
    if room.is_disk_full:
        return f"the disk is full: {room.disk_free / 1e6:.1f} MB free"
    if room.disk_free < 2 * room.floor:
        return f"the disk is nearly full: {room.disk_free / 1e6:.1f} MB free"
    if room.lacks_inodes and not room.is_disk_nearer:
        return f"the file system takes only {room.inodes_free} more files"
    of = "of what its disk has for it" if room.is_disk_nearer else "of its quota"
    return f"the store has used {room.fill:.0%} {of}, {room.used / 1e6:.1f} of {room.limit / 1e6:.1f} MB"


def remedy(room: Room) -> str:
    """Return what people can do."""
    if room.is_disk_nearer or room.lacks_inodes:
        return "Delete what is not needed from the disk of storage.path; the gateway goes on by itself."
    return "Let the cloud catch up and prune, or raise storage.quota_mb: it is taken within seconds."


def streams(tables: Mapping[str, int], room: Room, limits: Limits, *, blocks_bytes: int) -> tuple[StorageStream, ...]:
    """Return the streams that share the store, each with its limit and what happens there.

    Args:
        tables: bytes by table.
        room: of the whole.
        limits: of the whole.
        blocks_bytes: quota of the flight recorder.
    """
    blocks, state = (sum(tables.get(table, 0) for table in of) for of in (BLOCKS, STATE))
    return (
        StorageStream(
            name="journal",
            used_bytes=room.used - blocks - state,
            limit_bytes=max(1, int(room.limit * limits.monitor) - blocks - state),
            when_full="automatic writes stop; people, fail-safes and last words use the reserve",
        ),
        StorageStream(
            name="blocks",
            used_bytes=blocks,
            limit_bytes=blocks_bytes,
            when_full="the oldest blocks are given up, first those in which nothing was decided",
        ),
        StorageStream(
            name="state",
            used_bytes=state,
            limit_bytes=int(room.quota * STATE_SHARE),
            when_full="what detectors learn is not saved any more; overrides and points are",
        ),
    )
