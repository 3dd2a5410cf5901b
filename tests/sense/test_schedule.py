"""Scan classes keep to a grid: lateness never adds up, and what was missed is counted."""

from __future__ import annotations

from gatewayd.model.block import Codec, ReadPlan
from gatewayd.sense.schedule import ScanSchedule, phase_ns

MS = 1_000_000


def plan(index: int, scan_class: str) -> ReadPlan:
    return ReadPlan(index, "plc", scan_class, Codec.MODBUS_REGISTERS, (), ())


def schedule() -> ScanSchedule:
    return ScanSchedule({"fast": 100 * MS, "slow": 1000 * MS}, [plan(0, "fast"), plan(1, "slow")], start_mono_ns=0)


def test_everything_is_due_at_the_start():
    assert [plan.index for plan in schedule().take_due(0)] == [0, 1]


def test_a_late_scan_does_not_shift_the_grid():
    classes = schedule()
    classes.take_due(0)
    assert [plan.index for plan in classes.take_due(130 * MS)] == [0]
    assert classes.lateness_ns == 30 * MS
    assert classes.next_due_ns == 200 * MS


def test_scans_that_never_happened_are_counted():
    classes = schedule()
    classes.take_due(0)
    classes.take_due(450 * MS)
    assert classes.overruns == 3
    assert classes.next_due_ns == 500 * MS


def test_a_scan_class_without_plans_is_never_due():
    only_fast = ScanSchedule({"fast": 100 * MS, "unused": 10 * MS}, [plan(0, "fast")], start_mono_ns=0)
    only_fast.take_due(0)
    assert only_fast.next_due_ns == 100 * MS


def test_a_device_without_plans_has_nothing_due():
    assert ScanSchedule({}, [], start_mono_ns=5).next_due_ns == 0


def test_many_devices_share_the_period_between_them_and_each_keeps_its_own_grid():
    """A thousand devices due at one instant would make the last of them late by all the others' scans."""
    grids = [
        ScanSchedule({"fast": 100 * MS}, [plan(0, "fast")], start_mono_ns=0, place=place, places=1000)
        for place in range(1000)
    ]
    assert [grid.next_due_ns for grid in grids] == [place * MS // 10 for place in range(1000)]
    grids[7].take_due(5 * MS)
    assert grids[7].next_due_ns == 100 * MS + 7 * MS // 10


def test_a_few_devices_start_almost_at_once_however_slow_they_are_scanned():
    assert [phase_ns(place, 3, 3_600_000 * MS) for place in range(3)] == [0, 5 * MS, 10 * MS]
    assert phase_ns(0, 1, 100 * MS) == 0
