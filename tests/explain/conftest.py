"""A gateway's storage, opened on an empty folder."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from gatewayd.journal.keys import create_identity
from gatewayd.model.config import Gateway, GatewayFile
from gatewayd.model.config import Storage as StorageConfig
from gatewayd.storage import Storage
from tests.clock import ManualClock

NAME = "test.example/gw/one"


@pytest.fixture
def storage(tmp_path: Path):
    create_identity(tmp_path, NAME)
    config = GatewayFile(gateway=Gateway(name=NAME), storage=StorageConfig(path=str(tmp_path), quota_mb=16))
    storage = Storage.open(config, ManualClock())
    yield storage
    storage.close()


@pytest.fixture(autouse=True)
def _plain_surroundings(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The reader's time zone and width are part of the text: fix them."""
    monkeypatch.setenv("TZ", "UTC")
    monkeypatch.setenv("COLUMNS", "80")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()
