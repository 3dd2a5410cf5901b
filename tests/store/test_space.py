"""A file has its blocks before it needs them, and the ballast is there to be given up."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from gatewayd.store import space as space_module
from gatewayd.store.space import BALLAST_BYTES_MAX, Space, ballast_bytes, disk_under, sizes_of

PAGE = 4096
MAP = 16 << 20
BALLAST = 256 << 10


class Disk:
    """A file system with so many bytes left, under a real folder."""

    def __init__(self, free: int) -> None:
        self.free = free
        self.sizes: dict[int, int] = {}

    def fallocate(self, descriptor: int, start: int, size: int) -> None:
        status = os.fstat(descriptor)
        more = max(0, start + size - status.st_size)
        if more > self.free:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        self.free -= more
        if more:
            os.truncate(descriptor, start + size)


@pytest.fixture
def disk(monkeypatch: pytest.MonkeyPatch) -> Disk:
    disk = Disk(MAP * 4)
    monkeypatch.setattr(os, "posix_fallocate", disk.fallocate)
    monkeypatch.setattr(space_module, "disk_under", lambda folder: space_module.Disk(disk.free, 4 * MAP, -1))
    return disk


@pytest.fixture
def space(tmp_path: Path) -> Space:
    (tmp_path / "data.mdb").write_bytes(bytes(2 * PAGE))
    return Space(tmp_path / "data.mdb", map_bytes=MAP, ballast=BALLAST)


def test_blocks_are_allocated_well_ahead_and_seldom(space: Space, disk: Disk) -> None:
    sizes = []
    for end in range(0, 4 << 20, PAGE):
        assert space.grow(end)
        assert space.file_bytes >= end + space.ahead_bytes
        sizes.append(space.file_bytes)
    assert len(set(sizes)) < 10


def test_the_file_never_grows_beyond_its_map(space: Space, disk: Disk) -> None:
    assert space.grow(MAP - PAGE)
    assert space.file_bytes == MAP


def test_a_disk_without_room_is_found_when_the_file_grows_and_not_later(space: Space, disk: Disk) -> None:
    assert space.grow(0)
    disk.free = 0
    assert not space.grow(2 * space.ahead_bytes)
    assert space.is_full
    assert space.file_bytes >= 2 * space.ahead_bytes, "what was allocated ahead is still there for last words"


def test_last_words_use_what_is_ahead_and_then_the_ballast(space: Space, disk: Disk) -> None:
    assert space.has_room_again(0)
    assert space.has_ballast
    disk.free = 0
    end = space.file_bytes - space.ahead_bytes + PAGE
    assert space.grow(end, need=PAGE, at_any_price=True)
    assert space.has_ballast, "not yet: there are blocks ahead"
    disk.free = BALLAST  # of the ballast, once it is given up
    size = space.file_bytes
    assert space.grow(size - PAGE, need=8 * PAGE, at_any_price=True)
    assert not space.has_ballast
    assert space.is_full
    assert space.file_bytes > size


def test_what_no_block_is_left_for_is_refused_before_a_page_is_written(space: Space, disk: Disk) -> None:
    """LMDB calls a page of which the disk took a part an input/output error, and fails."""
    assert space.has_room_again(0)
    disk.free = 0
    space.give_ballast_up()
    assert not space.grow(space.file_bytes - PAGE, need=2 * PAGE, at_any_price=True)
    assert space.grow(space.file_bytes - PAGE, need=PAGE, at_any_price=True)


def test_a_large_transaction_gets_blocks_for_all_of_it(space: Space, disk: Disk) -> None:
    assert space.grow(0, need=4 * space.ahead_bytes)
    assert space.file_bytes >= 4 * space.ahead_bytes


def test_the_ballast_is_made_again_only_when_there_is_room_for_more_than_it(space: Space, disk: Disk) -> None:
    space.give_ballast_up()
    disk.free = 2 * BALLAST - 1
    assert not space.has_room_again(0)
    assert not space.has_ballast
    disk.free = MAP
    assert space.has_room_again(0)
    assert space.has_ballast
    assert not space.is_full


def test_an_error_that_is_not_want_of_room_is_left_to_whoever_writes(
    space: Space, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: int) -> None:
        raise OSError(errno.EOPNOTSUPP, "not supported")

    monkeypatch.setattr(os, "posix_fallocate", refuse)
    assert space.grow(0)
    assert not space.is_full


def test_real_blocks_stand_behind_file_and_ballast(space: Space, tmp_path: Path) -> None:
    assert space.has_room_again(0)
    for name, size in (("data.mdb", space.ahead_bytes), ("ballast", BALLAST)):
        assert (tmp_path / name).stat().st_blocks * 512 >= size


def test_a_ballast_of_a_larger_quota_is_cut_to_its_size(space: Space, tmp_path: Path) -> None:
    (tmp_path / "ballast").write_bytes(bytes(4 * BALLAST))
    assert space.has_room_again(0)
    assert (tmp_path / "ballast").stat().st_size == BALLAST


@pytest.mark.parametrize(
    ("quota", "size"), [(1 << 20, 0), (2 << 20, 40_960), (1 << 30, BALLAST_BYTES_MAX), (1 << 40, BALLAST_BYTES_MAX)]
)
def test_the_ballast_is_a_fiftieth_of_the_quota_within_bounds(quota: int, size: int) -> None:
    assert ballast_bytes(quota, PAGE) == size


def test_without_a_ballast_there_is_room_again_at_once(tmp_path: Path) -> None:
    (tmp_path / "data.mdb").write_bytes(bytes(2 * PAGE))
    space = Space(tmp_path / "data.mdb", map_bytes=MAP, ballast=0)
    space.is_full = True
    assert space.has_room_again(0)
    assert not (tmp_path / "ballast").exists()


def test_a_disk_says_what_it_has_left(tmp_path: Path) -> None:
    disk = disk_under(tmp_path)
    assert 0 < disk.free <= disk.size
    assert disk.inodes != 0


def test_of_a_small_disk_a_fiftieth_is_the_floor_of_a_large_one_the_ballast(space: Space) -> None:
    assert space.floor_bytes(1 << 20) == (1 << 20) // 50
    assert space.floor_bytes(1 << 40) == BALLAST


@pytest.mark.parametrize("quota", [1 << 20, 4 << 20, 16_000_000, 1 << 30, 1 << 40])
def test_a_quota_is_divided_and_never_exceeded(quota: int) -> None:
    sizes = sizes_of(quota, PAGE)
    assert sizes.map + sizes.redo + sizes.ballast <= quota
    assert sizes.map > 0.9 * quota
    assert sizes.map // 2 <= sizes.full < sizes.map
    assert quota < 16_000_000 or sizes.full == pytest.approx(0.95 * sizes.map, rel=0.001)
