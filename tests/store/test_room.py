"""Levels of fullness have a way in and a way back, and the nearer of quota and disk decides."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gatewayd.store.room import Level, Limits, Room, next_level

MB = 1_000_000
LIMITS = Limits()
FILLS = st.lists(st.floats(0.0, 1.2), max_size=60)


def room(**more: int) -> Room:
    return Room(
        **({"used": 10 * MB, "quota": 100 * MB, "refused": 95 * MB, "file": 12 * MB, "disk_free": 1000 * MB} | more)
    )


@pytest.mark.parametrize(
    ("before", "fill", "after"),
    [
        (Level.AMPLE, 0.699, Level.AMPLE),
        (Level.AMPLE, 0.70, Level.WARNING),
        (Level.WARNING, 0.66, Level.WARNING),
        (Level.WARNING, 0.649, Level.AMPLE),
        (Level.WARNING, 0.949, Level.WARNING),
        (Level.WARNING, 0.95, Level.MONITOR),
        (Level.AMPLE, 1.0, Level.MONITOR),
        (Level.MONITOR, 0.90, Level.MONITOR),
        (Level.MONITOR, 0.899, Level.WARNING),
        (Level.MONITOR, 0.1, Level.AMPLE),
    ],
)
def test_a_level_begins_at_its_limit_and_ends_below_another(before: Level, fill: float, after: Level) -> None:
    assert next_level(before, fill, LIMITS) is after


@given(FILLS)
def test_between_two_limits_nothing_ever_changes(fills: list[float]) -> None:
    """Each change of level has crossed the limit that belongs to it, whatever came before."""
    level = Level.AMPLE
    for fill in fills:
        before, level = level, next_level(level, fill, LIMITS)
        if before is not Level.MONITOR and level is Level.MONITOR:
            assert fill >= LIMITS.monitor
        if before is Level.MONITOR and level is not Level.MONITOR:
            assert fill < LIMITS.resume
        if before is Level.AMPLE and level is Level.WARNING:
            assert fill >= LIMITS.warn
        if before is not Level.AMPLE and level is Level.AMPLE:
            assert fill < LIMITS.warn_clear
        assert next_level(level, fill, LIMITS) is level, "the same fill again changes nothing"


@given(FILLS, st.floats(0.0, 0.0399))
def test_noise_smaller_than_the_way_back_never_makes_a_level_flicker(starts: list[float], noise: float) -> None:
    for start in starts:
        level = next_level(Level.AMPLE, start, LIMITS)
        changes = 0
        for fill in (start, start - noise, start) * 5:
            before, level = level, next_level(level, fill, LIMITS)
            changes += before is not level
        assert changes <= 1


def test_with_a_roomy_disk_the_quota_is_the_limit() -> None:
    assert (room().limit, room().is_disk_nearer, room().fill) == (100 * MB, False, pytest.approx(0.10))


def test_a_disk_that_others_fill_is_the_nearer_limit() -> None:
    crowded = room(disk_free=1 * MB)
    assert (crowded.limit, crowded.is_disk_nearer) == (13 * MB, True)
    assert crowded.fill == pytest.approx(10 / 13)


def test_a_disk_that_refused_more_counts_as_full_however_little_is_used() -> None:
    refused = room(is_disk_full=True)
    assert refused.is_disk_nearer
    assert next_level(Level.AMPLE, refused.fill, LIMITS) is Level.MONITOR


def test_where_ordinary_records_are_refused_the_fill_is_that_of_monitor() -> None:
    """The store may have learned that it is full before its quota is used: its free pages are scattered."""
    assert room(used=85 * MB, file=90 * MB, refused=85 * MB).fill == pytest.approx(0.95)


def test_the_recorder_gives_room_before_automatic_writes_end() -> None:
    assert LIMITS.resume < LIMITS.shed < LIMITS.monitor


def test_a_disk_without_space_is_full_however_much_the_store_has_allocated_ahead() -> None:
    """Others fill it; what is around the store cannot write any more."""
    before = next_level(Level.AMPLE, room(floor=4 * MB, disk_free=8 * MB).fill, LIMITS)
    assert before is Level.AMPLE
    warned = next_level(before, room(floor=4 * MB, disk_free=7 * MB, file=100 * MB).fill, LIMITS)
    assert warned is Level.WARNING
    full = next_level(warned, room(floor=4 * MB, disk_free=3 * MB, file=100 * MB).fill, LIMITS)
    assert full is Level.MONITOR
    assert next_level(full, room(floor=4 * MB, disk_free=7 * MB, file=100 * MB).fill, LIMITS) is Level.MONITOR
    assert next_level(full, room(floor=4 * MB, disk_free=8 * MB).fill, LIMITS) is Level.AMPLE
