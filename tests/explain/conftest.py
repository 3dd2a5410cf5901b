"""A gateway's storage, opened on an empty folder."""

from __future__ import annotations

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
