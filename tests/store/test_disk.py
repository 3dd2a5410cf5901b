"""Files that are there after a power cut, with the blocks they were promised."""

from __future__ import annotations

import errno

import pytest

from gatewayd.store.disk import allocate, disk_error, sync_folder, touch_durably


def test_an_allocated_file_has_its_blocks(tmp_path):
    allocate(tmp_path / "ballast", 65_536)
    status = (tmp_path / "ballast").stat()
    assert (status.st_size, status.st_mode & 0o777) == (65_536, 0o600)
    assert status.st_blocks * 512 >= 65_536


def test_a_touched_file_is_there_and_no_one_elses(tmp_path):
    touch_durably(tmp_path / "running")
    assert (tmp_path / "running").stat().st_mode & 0o777 == 0o600
    touch_durably(tmp_path / "running")


def test_only_folders_can_be_synced(tmp_path):
    sync_folder(tmp_path)
    (tmp_path / "file").touch()
    with pytest.raises(NotADirectoryError):
        sync_folder(tmp_path / "file")


def test_an_error_of_the_disk_says_what_to_check():
    told = disk_error("cannot write in /data", OSError(errno.ENOSPC, "No space left on device"))
    assert "No space left" in told.message
    assert "storage.path" in told.remedy
