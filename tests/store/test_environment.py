"""LMDB is opened so that nothing acknowledged is lost, and what is wrong is said in our words."""

from __future__ import annotations

import pytest

from gatewayd.errors import StoreDamaged, StoreError
from gatewayd.store.environment import TABLES, open_environment
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
