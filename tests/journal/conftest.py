from __future__ import annotations

import pytest

from tests.clock import ManualClock
from tests.journal.samples import open_journal, open_store


@pytest.fixture
def clock():
    return ManualClock()


@pytest.fixture
def store(tmp_path):
    store = open_store(tmp_path / "store")
    yield store
    store.close()


@pytest.fixture
def journal(store, clock):
    journal = open_journal(store, clock)
    yield journal
    journal.close()
