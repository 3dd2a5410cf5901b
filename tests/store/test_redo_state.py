"""Whoever looks at a store from outside is told what its redo file lacks."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from gatewayd.store.env import Store
from gatewayd.store.lock import OwnerLock
from gatewayd.store.redo import PAGE_BYTES
from gatewayd.store.redo_state import RedoState, redo_state
from gatewayd.store.tables import Table
from gatewayd.store.transaction import Batch

QUOTA = 4 << 20
BATCHES = 5


@pytest.fixture
def killed(tmp_path: Path) -> Path:
    """A store with five batches in its redo file, as a kill leaves it."""
    store = Store.open(tmp_path / "store", QUOTA)
    for number in range(BATCHES):
        batch = Batch()
        batch.put(Table.SAVE, b"key %d" % number, b"value")
        store.write_ahead(batch)
    copied = tmp_path / "copied"
    copied.mkdir()
    for file in (tmp_path / "store").iterdir():
        (copied / file.name).write_bytes(file.read_bytes())
    store.close()
    return copied


def spoil(folder: Path, batch: int) -> None:
    with (folder / "redo").open("r+b") as file:
        file.seek(batch * PAGE_BYTES + 80)
        byte = file.read(1)[0]
        file.seek(batch * PAGE_BYTES + 80)
        file.write(bytes([byte ^ 1]))


def test_a_whole_file_says_nothing(killed):
    state = redo_state(killed)
    assert state == RedoState(batches=BATCHES)
    assert state.words() == ""
    assert not state.may_lack_acknowledged


def test_a_file_that_was_cut_says_how_much_and_that_records_may_be_missing(killed):
    size = (killed / "redo").stat().st_size
    os.truncate(killed / "redo", 2 * PAGE_BYTES)
    state = redo_state(killed)
    assert (state.batches, state.missing_bytes) == (2, size - 2 * PAGE_BYTES)
    assert state.may_lack_acknowledged
    assert state.is_certain
    assert state.words() == (
        f"it was cut short by {size - 2 * PAGE_BYTES} bytes; acknowledged records of the last second or two may be missing"
    )


def test_a_file_that_is_gone_is_cut_to_nothing(killed):
    size = (killed / "redo").stat().st_size
    (killed / "redo").unlink()
    assert redo_state(killed).missing_bytes == size


def test_a_torn_last_batch_is_told_though_a_loss_of_power_explains_it(killed):
    spoil(killed, BATCHES - 1)
    state = redo_state(killed)
    assert state.batches == BATCHES - 1
    assert 0 < state.torn_bytes < PAGE_BYTES
    assert state.may_lack_acknowledged
    assert not state.is_certain


def test_batches_behind_a_damaged_one_are_known_to_be_missing(killed):
    spoil(killed, 1)
    state = redo_state(killed)
    assert (state.batches, state.lost_batches) == (1, BATCHES - 1)
    assert state.is_certain
    assert "acknowledged records are missing" in state.words()


def test_after_a_stop_nothing_is_missing_however_short_the_file_is(tmp_path):
    Store.open(tmp_path / "store", QUOTA).close()
    os.truncate(tmp_path / "store" / "redo", 0)
    state = redo_state(tmp_path / "store")
    assert state.missing_bytes > 0
    assert not state.may_lack_acknowledged
    assert "nothing is missing" in state.words()


def test_beside_a_running_daemon_nothing_is_judged(tmp_path):
    Store.open(tmp_path / "store", QUOTA).close()
    (tmp_path / "store" / "redo").write_bytes(b"half of a batch")
    lock = OwnerLock.take(tmp_path / "store")
    try:
        assert redo_state(tmp_path / "store") == RedoState(is_live=True)
    finally:
        lock.release()
