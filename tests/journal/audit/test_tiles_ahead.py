"""Tiles looked at by other processes: the report is the same, whatever becomes of them."""

from __future__ import annotations

import asyncio
import errno
import os
import signal

import pytest

from gatewayd.journal.audit import tiles_ahead
from gatewayd.journal.audit.tiles_ahead import BYTES_MIN, TilesAhead, workers_for
from gatewayd.journal.audit.verify import verify, verify_store
from gatewayd.store.env import QUOTA_BYTES_MIN, Store
from gatewayd.store.tables import Table, u64
from tests.clock import ManualClock
from tests.journal.samples import SIGNER, deciding, open_journal, open_store, outcome

TILES = 12


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    """A stopped store of twelve full tiles and some."""

    async def fill(journal):
        for first in range(1, 128 * TILES + 64, 64):
            ids = range(first, first + 64)
            await journal.commit([deciding(n, tags=("a.t",), rule="r", uid=7) for n in ids])
            await journal.commit([outcome(n) for n in ids])

    path = tmp_path_factory.mktemp("ahead") / "store"
    store = open_store(path)
    journal = open_journal(store, ManualClock())
    asyncio.run(fill(journal))
    journal.close()
    store.settle()
    store.close()
    return path


def reports(path, *, harm=lambda _: None):
    """Verify alone, and with processes that are harmed once they have begun."""
    found = []
    with TilesAhead(path, 2) as ahead:
        harm(ahead)
        store = Store.open(path, QUOTA_BYTES_MIN, readonly=True)
        found = [verify_store(store, SIGNER.vkey, ahead=each) for each in (None, ahead, ahead)]
        store.close()
    return found


def test_the_report_is_the_same_and_tiles_come_from_the_processes(path, monkeypatch):
    monkeypatch.setattr(tiles_ahead, "TILES_AT_ONCE", 3)
    monkeypatch.setattr(tiles_ahead, "BATCHES_AHEAD", 1)
    alone, *ahead = reports(path)
    assert alone.problem is None
    assert alone.size > 256 * TILES
    assert ahead == [alone, alone]
    with TilesAhead(path, 2) as processes:
        processes.begin(1, TILES)
        tiles = [processes.tile(tile) for tile in range(1, TILES + 1)]
    assert all(tile is not None and not tile.entries for tile in tiles[:-1])
    assert tiles[-1] is None, "nobody was asked to look at it"


def test_a_process_that_is_killed_leaves_its_tiles_to_the_one_that_verifies(path):
    def kill(ahead):
        for pid in ahead._pool._processes:
            os.kill(pid, signal.SIGKILL)

    alone, *ahead = reports(path, harm=kill)
    assert ahead == [alone, alone]


def test_a_wrong_byte_is_named_as_by_one_process(path):
    store = Store.open(path, QUOTA_BYTES_MIN * 32)
    row = store.get(Table.INDEX, b"t\x00" + u64(7))
    store.write(lambda writing: writing.put(Table.INDEX, b"t\x00" + u64(7), bytes(16)))
    store.close()
    alone, *ahead = reports(path)
    assert alone.problem is not None
    assert ahead == [alone, alone]
    store = Store.open(path, QUOTA_BYTES_MIN * 32)
    store.write(lambda writing: writing.put(Table.INDEX, b"t\x00" + u64(7), row))
    store.close()


def test_a_store_is_worth_processes_if_it_is_large_and_there_are_processors(path, monkeypatch):
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0, 1, 2})
    assert [workers_for(size) for size in (0, BYTES_MIN - 1, BYTES_MIN)] == [0, 0, 3]
    monkeypatch.setattr(tiles_ahead, "BYTES_MIN", 0)
    assert verify(path, SIGNER.vkey).problem is None
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0})
    assert workers_for(BYTES_MIN) == 0


def test_where_there_are_no_more_processes_one_verifies(path, monkeypatch):
    def refuse(*_, **__):
        raise OSError(errno.EAGAIN, os.strerror(errno.EAGAIN))

    monkeypatch.setattr(tiles_ahead, "workers_for", lambda _: 2)
    monkeypatch.setattr(os, "fork", refuse)
    assert verify(path, SIGNER.vkey).problem is None


def test_a_folder_without_a_store_is_refused_by_the_one_that_verifies(tmp_path):
    with TilesAhead(tmp_path, 1) as ahead:
        ahead.begin(0, 3)
        assert ahead.tile(0) is None
