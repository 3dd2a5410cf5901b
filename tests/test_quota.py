"""The watch warns, gives blocks up, stops automatic writes and lets them come back; every change is told once."""

from __future__ import annotations

import asyncio
import io
import os
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from gatewayd.core.site import NS
from gatewayd.cycle import Cycle, Plant
from gatewayd.errors import StoreError
from gatewayd.inhibits import Inhibit
from gatewayd.journal.audit.verify import verify_store
from gatewayd.journal.blocks.recorder import Expired
from gatewayd.model.config import Storage as StorageConfig
from gatewayd.model.decision import Command, Mode, OutcomeResult, SetMode, SetOverride, WriteOutcome
from gatewayd.model.record import AlarmEvent, Body, Decision, Gap, ModeChanged
from gatewayd.observe.events import EventLog
from gatewayd.quota import ALARM, StorageWatch, limits_of, remedy, streams, words
from gatewayd.store.room import Level, Limits, Room
from gatewayd.store.tables import Table, u64
from tests.clock import ManualClock
from tests.core.scenario import ANA, Scenario, rule
from tests.journal.conftest import open_journal, open_store
from tests.journal.samples import SIGNER

MB = 1_000_000
ROOM = Room(used=0, quota=100 * MB, refused=95 * MB, file=10 * MB, disk_free=1000 * MB)


class HandStore:
    """A store that is as full as told."""

    def __init__(self) -> None:
        self.is_lost = False
        self.now = ROOM
        self.cleared = 0
        self.quota_bytes = ROOM.quota

    def room(self) -> Room:
        if self.is_lost:
            raise StoreError("disk error", remedy="look")
        return self.now

    def table_bytes(self) -> dict[str, int]:
        return {"entry": self.now.used}

    def clear_stale_readers(self) -> int:
        self.cleared += 1
        return 0


class HandBlocks:
    """A flight recorder with so many blocks that may go; each gives a percent back."""

    quota_bytes = 40 * MB

    def __init__(self, store: HandStore, blocks: int = 0) -> None:
        self._store = store
        self.blocks = blocks

    async def make_room(self) -> Expired | None:
        if not self.blocks:
            return None
        self.blocks -= 1
        self._store.now = msgspec.structs.replace(self._store.now, used=self._store.now.used - MB)
        return Expired(1, MB, 7, 9)


class HandBrake:
    """Keeps what it is told."""

    def __init__(self) -> None:
        self.told: list[Body] = []
        self.modes: list[str] = []

    def note(self, body: Body) -> None:
        self.told.append(body)

    def inhibit(self, inhibit: Inhibit, reason: str) -> None:
        self.modes.append(f"stop {inhibit.value}")

    def permit(self, inhibit: Inhibit, reason: str) -> None:
        self.modes.append(f"go {inhibit.value}")


class Bench:
    def __init__(self, blocks: int = 0) -> None:
        self.store, self.brake, self.clock, self.lines = HandStore(), HandBrake(), ManualClock(), io.StringIO()
        self.blocks = HandBlocks(self.store, blocks)
        log = EventLog(self.clock, self.lines)
        self.watch = StorageWatch(self.store, self.blocks, self.brake, Limits(), clock=self.clock, log=log)

    async def at(self, percent: float, **more: object) -> Level:
        self.store.now = msgspec.structs.replace(ROOM, used=round(percent * MB), **more)
        await self.watch.look()
        return self.watch.level

    def alarms_text(self) -> str:
        return " ".join(body.text for body in self.brake.told if isinstance(body, AlarmEvent))

    @property
    def alarms(self) -> list[tuple[str, str]]:
        return [(body.state, body.priority) for body in self.brake.told if isinstance(body, AlarmEvent)]


async def test_a_crossing_is_told_once_and_cleared_below_the_way_back() -> None:
    bench = Bench()
    levels = [await bench.at(percent) for percent in (10, 69, 70, 72, 68, 71, 66, 64, 69, 65)]
    assert [level.value for level in levels] == ["ample"] * 2 + ["warning"] * 5 + ["ample"] * 3
    assert bench.alarms == [("unack", "high"), ("normal", "high")]
    assert bench.brake.modes == []
    assert {body.alarm for body in bench.brake.told if isinstance(body, AlarmEvent)} == {ALARM}
    assert "storage.quota_mb" in bench.lines.getvalue(), "the log says what to do"


async def test_at_95_percent_automatic_writes_stop_and_come_back_below_90() -> None:
    bench = Bench()
    for percent in (80, 95, 94, 91, 90, 89.9, 92, 94.9):
        await bench.at(percent)
    assert bench.brake.modes == ["stop storage", "go storage"]
    assert bench.alarms == [("unack", "high"), ("unack", "critical"), ("unack", "high")]


async def test_a_disk_that_others_fill_is_found_before_a_write_meets_it() -> None:
    bench = Bench()
    assert await bench.at(10, disk_free=4 * MB) is Level.WARNING
    assert "what its disk has for it" in bench.alarms_text()
    assert await bench.at(10, disk_free=0) is Level.MONITOR
    assert await bench.at(10) is Level.AMPLE
    assert bench.brake.modes == ["stop storage", "go storage"]


async def test_a_file_system_without_inodes_is_a_warning_and_no_more() -> None:
    bench = Bench()
    assert await bench.at(10, inodes_free=3) is Level.WARNING
    assert "only 3 more files" in bench.alarms_text()
    assert await bench.at(10, inodes_free=100) is Level.AMPLE
    assert await bench.at(10, inodes_free=-1) is Level.AMPLE


async def test_blocks_go_before_automatic_writes_do_and_the_gap_is_told() -> None:
    bench = Bench(blocks=3)
    assert await bench.at(93) is Level.WARNING
    assert [body for body in bench.brake.told if isinstance(body, Gap)] == [
        Gap("blocks", 7, 9, 1, "given up before their time: the store is nearly full")
    ]
    assert await bench.at(92) is Level.WARNING
    assert bench.blocks.blocks == 2, "below that nothing is given up"
    assert await bench.at(95) is Level.WARNING, "94 once a block has gone"
    assert bench.brake.modes == []


async def test_blocks_do_not_go_for_a_disk_that_others_fill() -> None:
    """It would bring nothing: the file keeps its size, and its free pages help nobody else."""
    bench = Bench(blocks=3)
    assert await bench.at(10, disk_free=MB, floor=2 * MB, file=100 * MB) is Level.MONITOR
    assert bench.blocks.blocks == 3
    assert "1.0 MB free" in bench.alarms_text()


async def test_a_store_that_failed_changes_nothing_here() -> None:
    bench = Bench()
    await bench.at(80)
    bench.store.is_lost = True
    await bench.watch.look()
    assert (bench.watch.level, bench.watch.view()) == (Level.WARNING, None)


async def test_it_looks_once_a_second_and_clears_dead_readers_once_a_minute() -> None:
    bench = Bench()
    task = asyncio.ensure_future(bench.watch.run())
    await bench.clock.advance(121 * NS)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    assert bench.store.cleared == 2


def test_the_limits_of_a_configuration_are_shares() -> None:
    assert limits_of(StorageConfig()) == Limits()


def test_each_stream_has_its_bytes_its_limit_and_what_happens_there() -> None:
    tables = {"entry": 30 * MB, "block": 20 * MB, "block_index": MB, "save": 2 * MB, "cursor": MB}
    room = msgspec.structs.replace(ROOM, used=60 * MB)
    found = {one.name: one for one in streams(tables, room, Limits(), blocks_bytes=40 * MB)}
    assert {name: (one.used_bytes // MB, one.limit_bytes // MB) for name, one in found.items()} == {
        "journal": (36, 71), "blocks": (21, 40), "state": (3, 10),
    }  # fmt: skip
    assert all(one.when_full for one in found.values())
    assert sum(one.used_bytes for one in found.values()) == room.used, "every byte belongs to a stream"


def test_people_are_told_what_to_do() -> None:
    assert "quota_mb" in remedy(ROOM)
    assert "Delete" in remedy(msgspec.structs.replace(ROOM, disk_free=0))
    assert "disk is full" in words(msgspec.structs.replace(ROOM, is_disk_full=True))


# --- with a real store and a real cycle ---------------------------------------------------------------------------------


class Station:
    """A cycle on a journal in a store of 4 MiB, watched; time is moved by hand."""

    def __init__(self, folder: Path) -> None:
        self.plant = Scenario(rules=[rule("temp > 85", clear="temp < 75")], auto=False)
        self.clock = ManualClock(self.plant.wall_ns, self.plant.mono_ns)
        self.store = open_store(folder / "store", 4 << 20)
        self.journal = open_journal(self.store, self.clock)
        self.commands: list[float] = []
        self.cycle = Cycle(
            Plant(self.plant.state, self.plant.site, self.plant.kernels),
            self.journal,
            hand_over=self._carry_out,
            keep=lambda _: None,
            clock=self.clock,
            first_cycle=100,
        )
        log = EventLog(self.clock, io.StringIO())
        blocks = HandBlocks(HandStore())
        self.watch = StorageWatch(self.store, blocks, self.cycle, Limits(), clock=self.clock, log=log)
        self.watch.enlarge = self.journal.enlarge
        self.tasks = [asyncio.ensure_future(self.cycle.run()), asyncio.ensure_future(self.watch.run())]
        self.filler = 0

    def _carry_out(self, commands: tuple[Command, ...], _: int) -> None:
        for one in commands:
            self.commands.append(one.value)
            done = OutcomeResult.VERIFIED
            now_ns = self.clock.wall_ns()
            self.cycle.report(WriteOutcome(one.decision_id, one.point, done, one.value, one.value, now_ns, now_ns))

    async def sample(self, **values: float) -> None:
        self.plant.wall_ns, self.plant.mono_ns = self.clock.wall_ns(), self.clock.monotonic_ns()
        for name, value in values.items():
            self.cycle.deliver([self.plant.block(name, value)])
        await self.clock.settle()

    def fill_to(self, share: float) -> None:
        while self.store.room().fill < share:
            key = b"filler" + u64(self.filler)
            self.store.write(lambda writing, key=key: writing.put(Table.BLOB, key, os.urandom(3000)), use_reserve=True)
            self.filler += 1

    def empty_to(self, share: float) -> None:
        while self.store.room().fill > share:
            self.filler -= 1
            key = b"filler" + u64(self.filler)
            self.store.write(lambda writing, key=key: writing.delete(Table.BLOB, key), use_reserve=True)

    def bodies(self, kind: type[Body]) -> list[Body]:
        records = [self.journal.record(seq).leaf.body for seq in range(self.journal.size)]
        return [body for body in records if isinstance(body, kind)]

    async def close(self) -> None:
        for task in self.tasks:
            task.cancel()
        await asyncio.gather(*self.tasks, return_exceptions=True)
        self.store.close()


@pytest.fixture
async def station(tmp_path: Path) -> Iterator[Station]:
    station = Station(tmp_path)
    station.cycle.request(SetMode(mode=Mode.AUTO, reason="test"))
    await station.sample(temp=60.0, speed=80.0)
    yield station
    await station.close()


async def test_filled_to_the_last_page_it_only_watches_within_five_seconds_and_comes_back(station: Station) -> None:
    """P07: no corruption, no silent loss; people still act; no restart."""
    await station.sample(temp=90.0)
    assert station.commands, "policy acts"
    station.fill_to(0.96)
    await station.clock.advance(5 * NS)
    assert station.plant.state.mode is Mode.MONITOR
    before = len(station.commands)
    await station.sample(temp=60.0)
    await station.sample(temp=95.0)
    assert len(station.commands) == before, "policy does not act any more"
    assert station.plant.value("temp") == 95.0, "observation goes on"
    asking = asyncio.ensure_future(
        station.cycle.ask(SetOverride("pump.speed", 55.0, 60 * NS, "full", ANA, request_id="1"))
    )
    await station.clock.settle()
    assert (await asking).accepted
    assert [body.override_id for body in station.bodies(Decision)][-1] == 1
    lost = station.cycle.records_lost
    assert lost > 0
    station.empty_to(0.93)
    await station.clock.advance(10 * NS)
    assert station.plant.state.mode is Mode.MONITOR, "not before there is real room"
    station.empty_to(0.60)
    await station.clock.advance(10 * NS)
    assert station.plant.state.mode is Mode.AUTO
    assert station.cycle.records_lost == 0
    assert sum(gap.count for gap in station.bodies(Gap)) == lost, "dropped == journalled gaps"
    modes = [(body.mode, body.reason) for body in station.bodies(ModeChanged)]
    assert [mode for mode, _ in modes] == ["auto", "monitor", "auto"]
    assert "of its quota" in modes[1][1]
    assert modes[2][1] == "storage has room again"
    assert [body.state for body in station.bodies(AlarmEvent) if body.alarm == ALARM][-1] == "normal"


async def test_a_larger_quota_in_the_configuration_brings_automatic_writes_back_without_a_restart(
    station: Station,
) -> None:
    station.fill_to(0.96)
    await station.clock.advance(5 * NS)
    assert station.plant.state.mode is Mode.MONITOR
    size, before = station.journal.size, station.store.quota_bytes
    station.watch.quota_wanted = lambda: before
    await station.clock.advance(10 * NS)
    assert station.plant.state.mode is Mode.MONITOR, "the same quota changes nothing"
    station.watch.quota_wanted = lambda: 2 * before
    await station.clock.advance(15 * NS)
    assert station.plant.state.mode is Mode.AUTO
    assert (station.store.quota_bytes, station.journal.size > size) == (2 * before, True)
    raised = [body.text for body in station.bodies(AlarmEvent) if "was raised" in body.text]
    assert raised == ["storage.quota_mb was raised from 4 to 8"]
    await station.sample(temp=95.0)
    assert verify_store(station.store, SIGNER.vkey).problem is None
