"""Everything durable of a gateway, opened together on a real disk."""

from __future__ import annotations

from pathlib import Path

import pytest

from gatewayd.errors import StoreError, StoreLocked
from gatewayd.journal.keys import create_identity
from gatewayd.model.config import Gateway, GatewayFile
from gatewayd.model.config import Storage as StorageConfig
from gatewayd.model.decision import NewRecord
from gatewayd.model.record import Stopped
from gatewayd.storage import Storage
from tests.clock import ManualClock

NAME = "test.example/gw/one"


def config(folder: Path, name: str = NAME) -> GatewayFile:
    return GatewayFile(gateway=Gateway(name=name), storage=StorageConfig(path=str(folder), quota_mb=16))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    create_identity(tmp_path, NAME)
    return tmp_path


def test_a_gateway_that_was_not_initialised_says_how_to(tmp_path: Path) -> None:
    with pytest.raises(StoreError) as refused:
        Storage.open(config(tmp_path), ManualClock())
    assert "gatewayd init" in refused.value.remedy


def test_the_storage_of_another_gateway_is_refused(folder: Path) -> None:
    with pytest.raises(StoreError, match="is the storage of"):
        Storage.open(config(folder, name="test.example/gw/two"), ManualClock())


def test_a_second_daemon_is_refused_and_harms_nothing(folder: Path) -> None:
    first = Storage.open(config(folder), ManualClock())
    with pytest.raises(StoreLocked):
        Storage.open(config(folder), ManualClock())
    assert first.journal.healthy
    first.close()


async def test_cursors_and_records_survive_a_restart(folder: Path) -> None:
    storage = Storage.open(config(folder), ManualClock())
    await storage.journal.commit((NewRecord(body=Stopped(reason="test")),))
    await storage.cursors.put("journal", b"17")
    size = storage.journal.size
    storage.close()
    again = Storage.open(config(folder), ManualClock())
    assert again.was_clean
    assert again.journal.size == size
    assert again.cursors.get("journal") == b"17"
    assert again.cursors.get("other") is None
    again.close()
