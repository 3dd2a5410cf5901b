"""A file of the store is whole or not there."""

from __future__ import annotations

import lmdb
import pytest

from gatewayd.store import files
from gatewayd.store.env import Store
from gatewayd.store.files import NEW_DATA_NAME, create_data_file
from gatewayd.store.probe import DATA_NAME, check_data_file


def test_a_new_data_file_is_a_sound_empty_store(tmp_path):
    create_data_file(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == [DATA_NAME]
    check_data_file(tmp_path, was_clean=False)
    with lmdb.open(str(tmp_path), create=False) as environment:
        assert environment.stat()["entries"] == 0


def test_the_data_file_gets_its_name_only_once_it_is_on_disk(tmp_path, monkeypatch):
    """Cut in between, the next start finds no data file, or a whole one."""

    def power_fails(_folder):
        raise OSError("power")

    monkeypatch.setattr(files, "sync_folder", power_fails)
    with pytest.raises(OSError, match="power"):
        create_data_file(tmp_path)
    (tmp_path / DATA_NAME).rename(tmp_path / NEW_DATA_NAME)  # the new name was not on disk yet
    (tmp_path / NEW_DATA_NAME).write_bytes(bytes(8192))  # nor was its content
    monkeypatch.undo()
    create_data_file(tmp_path)
    check_data_file(tmp_path, was_clean=False)


def test_a_new_store_is_mapped_as_large_as_its_quota_allows_and_no_larger(tmp_path):
    """Who opens it beside the daemon takes the size from the file; beyond its own the daemon could not read."""
    Store.open(tmp_path, 1 << 20).close()
    with lmdb.open(str(tmp_path), map_size=0, create=False) as environment:
        assert environment.info()["map_size"] < 1 << 20


def test_a_data_file_that_is_there_is_left_alone(tmp_path):
    (tmp_path / DATA_NAME).write_bytes(b"whatever")
    create_data_file(tmp_path)
    assert (tmp_path / DATA_NAME).read_bytes() == b"whatever"


def test_a_disk_that_refuses_is_an_error_of_the_disk(tmp_path):
    with pytest.raises(OSError, match="No such file"):
        create_data_file(tmp_path / "missing")
