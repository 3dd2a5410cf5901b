"""LMDB is opened so that nothing acknowledged is lost, and what is wrong is said in our words."""

from __future__ import annotations

import pytest

from gatewayd.errors import StoreDamaged, StoreError, StoreLocked
from gatewayd.store.environment import RUNNING_NAME, TABLES, check_for_reading, open_environment, take_folder
from gatewayd.store.tables import Table

MAP = 1 << 20


def test_every_table_is_a_database_of_its_own(tmp_path):
    environment, databases = open_environment(tmp_path, MAP, readonly=False)
    assert set(databases) == set(Table) == set(TABLES)
    environment.close()


def test_a_reader_creates_nothing(tmp_path):
    with pytest.raises(StoreError):
        open_environment(tmp_path / "nothing", MAP, readonly=True)
    assert not (tmp_path / "nothing").exists()


def test_a_file_that_is_no_data_file_is_damage(tmp_path):
    (tmp_path / "data.mdb").write_bytes(b"x" * 65_536)
    with pytest.raises(StoreDamaged):
        open_environment(tmp_path, MAP, readonly=False)


def test_a_folder_is_taken_by_one_and_says_how_the_last_one_left_it(tmp_path):
    lock, was_clean = take_folder(tmp_path / "store")
    assert was_clean
    assert (tmp_path / "store" / RUNNING_NAME).exists()
    with pytest.raises(StoreLocked):
        take_folder(tmp_path / "store")
    lock.release()
    lock, was_clean = take_folder(tmp_path / "store")
    assert not was_clean, "nobody closed it"
    lock.release()
    check_for_reading(tmp_path / "store")
