"""What detectors have learned outlives a restart, in a real store."""

from __future__ import annotations

import asyncio
import io
import math
import struct
from pathlib import Path

import pytest

from gatewayd.core.detect.memory import Restored, learned, places_of, restore_learned
from gatewayd.journal.guarded import guard
from gatewayd.journal.keys import create_identity
from gatewayd.learned import EVERY_NS, DetectorMemory
from gatewayd.model.config import Contract
from gatewayd.model.detectors import DETECTORS, Committee, Ewma, Seasonal
from gatewayd.observe.events import EventLog
from gatewayd.storage import Storage
from gatewayd.store.tables import Table
from tests.clock import ManualClock
from tests.core.scenario import MEMBERS, Scenario, rule
from tests.test_storage import NAME, config

WAVE = [60.0 + 0.1 * ((7 * i) % 11 - 5) for i in range(80)]
EVERY = {name: kind() for name, kind in DETECTORS.items()}


def plant_with(**contract: object) -> Scenario:
    return Scenario(rules=[rule("temp > 200")], contracts={**MEMBERS, "temp": Contract(units="degC", **contract)})


def warm(**contract: object) -> Scenario:
    plant = plant_with(**contract)
    for value in WAVE:
        plant.advance(1)
        plant.sample(temp=value)
    return plant


def memory_of(plant: Scenario) -> dict[str, bytes]:
    return learned(plant.state, places_of(plant.state, plant.site))


def restore(plant: Scenario, saved: dict[str, bytes]) -> Restored:
    return restore_learned(plant.state, places_of(plant.state, plant.site), saved)


def anomaly(plant: Scenario, value: float) -> int:
    plant.advance(1)
    plant.sample(temp=value)
    return int(plant.state.column("tag.anomaly")[plant.row["temp"]])


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    create_identity(tmp_path, NAME)
    return tmp_path


def memory(plant: Scenario, storage: Storage, log: io.StringIO | None = None) -> DetectorMemory:
    clock = ManualClock()
    events = EventLog(clock, log or io.StringIO())
    return DetectorMemory(plant.state, plant.site, storage.learned, clock=clock, log=events)


async def kept(plant: Scenario, folder: Path) -> None:
    storage = Storage.open(config(folder), ManualClock())
    await memory(plant, storage).save()
    storage.close()


async def test_a_warm_detector_alarms_right_after_a_restart(folder):
    await kept(warm(ewma=Ewma()), folder)
    after = plant_with(ewma=Ewma())
    storage = Storage.open(config(folder), ManualClock())
    assert memory(after, storage).restore() == (1, ())
    assert anomaly(after, 75.0) == 1
    assert storage.journal.saves() == {}
    storage.close()
    assert anomaly(plant_with(ewma=Ewma()), 75.0) == -1  # without its past it would not know


def test_every_kind_goes_on_exactly_where_it_was():
    before, after = warm(**EVERY), plant_with(**EVERY)
    saved = memory_of(before)
    assert restore(after, saved).taken == len(DETECTORS)
    assert memory_of(after) == saved
    after.mono_ns, after.wall_ns = before.mono_ns, before.wall_ns
    for value in (60.2, 75.0, 60.1):
        assert anomaly(after, value) == anomaly(before, value)
        assert memory_of(after) == memory_of(before)


def test_a_committee_keeps_hours_it_has_not_seen_and_times_from_before_1970():
    before, after = plant_with(committee=Committee()), plant_with(committee=Committee())
    before.wall_ns = -5_000_000_000
    before.sample(temp=60.0)
    assert math.isnan(before.state.column("clock.mean")[0])
    saved = memory_of(before)
    assert restore(after, saved).taken == 1
    assert memory_of(after) == saved


def test_a_committee_between_others_takes_its_ranges_and_its_day_with_it():
    before = warm(committee=Committee())
    others = {name: Contract(units="m", committee=Committee(clock_bins=6)) for name in MEMBERS if name != "temp"}
    after = Scenario(contracts={**others, "temp": Contract(units="degC", committee=Committee())})
    assert restore(after, memory_of(before)).taken == 1
    at = after.state.column("tag.committee_row")[after.row["temp"]]
    first = after.state.column("committee.clock_first")[at]
    assert (at, first) == (5, 30)
    for column, old, new, rows in (("channel.high", 0, 5 * at, 5), ("clock.deviation", 0, first, 48)):
        cells = list(before.state.column(column)[old : old + rows])
        assert any(cells)
        assert list(after.state.column(column)[new : new + rows]) == cells


def test_other_settings_start_that_detector_anew_and_no_other():
    saved = memory_of(before := warm(ewma=Ewma(), seasonal=Seasonal()))
    after = plant_with(ewma=Ewma(z_max=5.0), seasonal=Seasonal())
    assert restore(after, saved).taken == 1
    assert after.state.column("ewma.count")[0] == 0
    assert after.state.column("seasonal.samples")[0] == before.state.column("seasonal.samples")[0]


def test_a_tag_that_is_watched_since_then_moves_the_others_and_takes_nothing_from_them():
    before = warm(seasonal=Seasonal(), ewma=Ewma())
    others = {name: Contract(units="m", seasonal=Seasonal(bins=12), ewma=Ewma()) for name in MEMBERS if name != "temp"}
    after = Scenario(
        rules=[rule("temp > 200")],
        contracts={**MEMBERS, **others, "temp": Contract(units="degC", seasonal=Seasonal(), ewma=Ewma())},
    )
    assert restore(after, memory_of(before)).taken == 2
    for kind, column in (("ewma", "mean"), ("seasonal", "samples")):
        at = after.state.column(f"tag.{kind}_row")[after.row["temp"]]
        assert after.state.column(f"{kind}.{column}")[at] == before.state.column(f"{kind}.{column}")[0] != 0.0
        assert sum(count > 0 for count in after.state.column("ewma.count")) == 1
    first = after.state.column("seasonal.profile_first")[after.state.column("tag.seasonal_row")[after.row["temp"]]]
    bins = Seasonal().bins
    assert list(after.state.column("profile.level")[first : first + bins]) == list(
        before.state.column("profile.level")[:bins]
    )


def test_how_alarms_are_held_or_calibrated_may_change_and_a_tail_is_kept():
    before, after = warm(ewma=Ewma(tail=0.1)), plant_with(ewma=Ewma(tail=0.05, hold_s=5))
    restore(after, memory_of(before))
    assert after.state.column("detector.tail_total")[0] == before.state.column("detector.tail_total")[0] == 20
    assert list(after.state.column("tail.count")) == list(before.state.column("tail.count"))


@pytest.mark.parametrize("cut", [0, 1, 20, -1])
def test_bytes_that_are_cut_or_changed_are_told_and_count_for_nothing(cut):
    before, after = warm(ewma=Ewma()), plant_with(ewma=Ewma())
    packed = memory_of(before)["ewma"]
    assert restore(after, {"ewma": packed[:cut]}) == (0, ("ewma",))
    assert after.state.column("ewma.count")[0] == 0


def test_numbers_that_cannot_be_are_not_taken():
    before, after = warm(ewma=Ewma()), plant_with(ewma=Ewma())
    mean = struct.pack("=d", before.state.column("ewma.mean")[0])
    packed = memory_of(before)["ewma"].replace(mean, struct.pack("=d", float("inf")))
    assert restore(after, {"ewma": packed}).taken == 0
    assert after.state.column("ewma.mean")[0] == 0.0


async def test_a_damaged_row_of_the_store_is_told_and_stops_nothing(folder):
    await kept(warm(ewma=Ewma()), folder)
    storage, log = Storage.open(config(folder), ManualClock()), io.StringIO()
    await storage.journal.commit_with((), lambda writing, _: writing.put(Table.SAVE, b"learned/ewma", b"x" * 99))
    key = b"learned/seasonal"
    await storage.journal.commit_with((), lambda writing, _: writing.put(Table.SAVE, key, guard(key, b"not zstd")))
    after = plant_with(ewma=Ewma(), seasonal=Seasonal())
    assert memory(after, storage, log).restore() == (0, ("ewma", "seasonal"))
    assert "detectors_restored" in log.getvalue()
    assert anomaly(after, 60.0) == -1
    storage.close()


async def test_it_is_kept_every_ten_minutes(folder):
    storage, clock, plant = Storage.open(config(folder), ManualClock()), ManualClock(), warm(ewma=Ewma())
    told = io.StringIO()
    body = DetectorMemory(plant.state, plant.site, storage.learned, clock=clock, log=EventLog(clock, told)).run()
    await _one_turn(body, clock, storage)
    assert set(storage.learned.learned()) == {"ewma"}
    storage.close()


async def _one_turn(body, clock: ManualClock, storage: Storage) -> None:
    """Run until something is kept; the thread that packs it needs real time."""
    task = asyncio.get_running_loop().create_task(body)
    await clock.settle()
    await clock.advance(EVERY_NS)
    for _ in range(100_000):
        if storage.learned.learned():
            break
        await asyncio.sleep(0)
    task.cancel()
