"""What was appended is found again, whole and in order; what was cut short is not; what the disk lost is counted."""

from __future__ import annotations

import errno
import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gatewayd.store.redo import MARK_BYTES, PAGE_BYTES, Frames, RedoFile, read_frames

MARK, OTHER = bytes(MARK_BYTES), b"\1" * MARK_BYTES
SIZE = 16 * PAGE_BYTES


@pytest.fixture
def path(tmp_path):
    return tmp_path / "redo"


@pytest.fixture
def redo(path):
    file = RedoFile(path, SIZE)
    yield file
    file.close()


def flip(path, at: int) -> None:
    with path.open("r+b") as file:
        file.seek(at)
        byte = file.read(1)[0]
        file.seek(at)
        file.write(bytes([byte ^ 1]))


def test_a_new_file_has_all_its_blocks_and_no_frames(path, redo):
    assert os.stat(path).st_size == SIZE
    assert os.stat(path).st_blocks * 512 >= SIZE
    assert os.stat(path).st_mode & 0o777 == 0o600
    assert redo.frames(MARK) == Frames((), 0, 0)


def test_a_file_that_grows_with_the_quota_keeps_its_frames(path, redo):
    """Full, killed, given more room: the frames are all there is of what was acknowledged."""
    redo.append(MARK, b"acknowledged")
    larger = RedoFile(path, 2 * SIZE)
    assert larger.frames(MARK) == Frames((b"acknowledged",), 1, 0)
    assert os.stat(path).st_size == 2 * SIZE
    larger.close()


def test_a_new_files_name_is_durable_before_anything_is_acknowledged(path, monkeypatch):
    synced = []
    fsync = os.fsync
    monkeypatch.setattr(
        os, "fsync", lambda descriptor: (synced.append(os.readlink(f"/proc/self/fd/{descriptor}")), fsync(descriptor))
    )
    RedoFile(path, SIZE).close()
    assert synced == [str(path), str(path.parent)]
    synced.clear()
    RedoFile(path, SIZE).close()
    assert synced == [], "an old file has its blocks and its name"


def test_payloads_come_back_in_order_and_the_next_one_goes_behind_them(path, redo):
    payloads = (b"", b"one", b"x" * PAGE_BYTES, b"y" * (3 * PAGE_BYTES))
    for payload in payloads:
        assert redo.append(MARK, payload)
    redo.close()
    again = RedoFile(path, SIZE)
    assert again.frames(MARK) == Frames(payloads, 8, 0)
    assert again.append(MARK, b"later")
    assert again.frames(MARK).payloads == (*payloads, b"later")
    redo._descriptor = os.dup(again._descriptor)
    again.close()


def test_a_frame_for_which_there_is_no_room_changes_nothing(redo):
    assert redo.append(MARK, b"x" * (14 * PAGE_BYTES))
    assert not redo.append(MARK, b"y" * PAGE_BYTES)
    assert redo.append(MARK, b"small")
    assert not redo.append(MARK, b"full now")
    assert redo.frames(MARK).payloads == (b"x" * (14 * PAGE_BYTES), b"small")


def test_frames_of_another_mark_are_void(redo):
    for payload in (b"1", b"2", b"3"):
        redo.append(MARK, payload)
    redo.rewind()
    redo.append(OTHER, b"new")
    assert redo.frames(OTHER) == Frames((b"new",), 1, 0)
    assert redo.frames(MARK).payloads == ()


@pytest.mark.parametrize("cut", [0, 1, 40, 71, 72, 90, 2000, PAGE_BYTES - 1, PAGE_BYTES, 2 * PAGE_BYTES])
def test_a_last_frame_cut_short_by_the_loss_of_power_never_was(path, redo, cut):
    """P-JOURNAL: it had not been acknowledged, and the ones before it lie on pages of their own."""
    redo.append(MARK, b"acknowledged")
    redo.append(MARK, b"z" * (2 * PAGE_BYTES))
    with path.open("r+b") as file:
        file.seek(PAGE_BYTES + cut)
        file.write(bytes(4 * PAGE_BYTES - cut))
    found = redo.frames(MARK)
    assert (found.payloads, found.lost) == ((b"acknowledged",), 0)


def test_a_damaged_frame_before_others_is_a_loss_that_is_counted(path, redo):
    for number in range(5):
        redo.append(MARK, b"payload %d" % number)
    flip(path, PAGE_BYTES + 75)
    assert redo.frames(MARK) == Frames((b"payload 0",), 1, 4)


def test_every_flipped_byte_of_the_only_frame_makes_it_void(path, redo):
    redo.append(MARK, b"payload")
    for at in range(72 + 7):
        flip(path, at)
        assert read_frames(path, MARK).payloads == (), f"byte {at}"
        flip(path, at)
    assert read_frames(path, MARK).payloads == (b"payload",)


def test_a_file_that_is_missing_or_absurd_has_no_frames(tmp_path):
    assert read_frames(tmp_path / "none", MARK) == Frames((), 0, 0)
    with (tmp_path / "huge").open("wb") as file:
        file.truncate(1 << 40)
    assert read_frames(tmp_path / "huge", MARK) == Frames((), 0, 0)


@given(st.binary(max_size=3 * PAGE_BYTES))
def test_any_bytes_are_read_without_complaint(tmp_path_factory, content):
    path = tmp_path_factory.mktemp("any") / "redo"
    path.write_bytes(content)
    assert read_frames(path, MARK).payloads == ()


def test_no_room_on_the_disk_is_no_room_and_any_other_error_is_told(redo, monkeypatch):
    def refuse(*_):
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(os, "pwrite", refuse)
    code = errno.ENOSPC
    assert not redo.append(MARK, b"x")
    code = errno.EIO
    with pytest.raises(OSError, match="Input/output"):
        redo.append(MARK, b"x")
    monkeypatch.undo()
    monkeypatch.setattr(os, "pwrite", lambda *_: 100)
    assert not redo.append(MARK, b"x")
    monkeypatch.undo()
    assert redo.frames(MARK).payloads == ()
