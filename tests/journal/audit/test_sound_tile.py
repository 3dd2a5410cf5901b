"""256 records checked at once: what is said of them is what a look at each of them says."""

from __future__ import annotations

import asyncio

import msgspec
import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st

from gatewayd.compiled import load_kernels
from gatewayd.journal.audit import verify
from gatewayd.journal.audit.index_check import index_problem, times_problem
from gatewayd.journal.audit.sound_tile import sound_tile
from gatewayd.journal.leaf import decode_leaf
from gatewayd.journal.tiles import index
from gatewayd.journal.tiles.bundle import Entries, slices_key
from gatewayd.journal.tiles.scan import TileScan
from gatewayd.store.tables import Table, u64
from tests.clock import ManualClock
from tests.journal.samples import SIGNER, command, deciding, decision, gap, open_journal, open_store, outcome

TABLES = (Table.BUNDLE, Table.TILE, Table.EVIDENCE, Table.INDEX, Table.PERSONAL)


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    """1,100 records: decisions with texts and evidence, some with tags, their outcomes, gaps."""

    async def fill(journal):
        for first in range(1, 401, 50):
            ids = range(first, first + 50)
            records = [decision(n) if n % 2 else deciding(n, tags=("a.t",), rule="r", uid=7) for n in ids]
            await journal.commit(records, intents=[command(n) for n in ids])
            await journal.commit([outcome(n) for n in ids], resolves=ids)
            await journal.commit([gap()] * 38)

    store = open_store(tmp_path_factory.mktemp("bulk"))
    journal = open_journal(store, ManualClock())
    asyncio.run(fill(journal))
    journal.close()
    store.settle()
    yield store
    store.close()


def report(store, *, at_once=True):
    with pytest.MonkeyPatch.context() as patch:
        if not at_once:
            patch.setattr(verify, "sound_tile", lambda *_: None)
        return verify.verify_store(store, SIGNER.vkey)


def rows_of(store, table):
    return store.read(lambda reading: reading.scan(table, limit=10_000))


def test_a_sound_journal_is_reported_the_same_and_full_tiles_are_checked_at_once(store):
    assert report(store) == report(store, at_once=False)
    assert report(store).problem is None
    scan = TileScan(load_kernels())
    for tile in range(4):
        assert store.read(lambda reading, tile=tile: sound_tile(reading, scan, tile)) is not None
    assert store.read(lambda reading: sound_tile(reading, scan, 4)) is None, "it is not full"


@settings(deadline=None, max_examples=40)
@given(st.data())
def test_a_changed_byte_is_reported_as_by_a_look_at_each_record(store, data):
    table = data.draw(st.sampled_from(TABLES))
    rows = rows_of(store, table)
    key, sound = rows[data.draw(st.integers(0, len(rows) - 1))]
    changed = bytearray(sound) or bytearray(b"?")
    changed[data.draw(st.integers(0, len(changed) - 1))] ^= data.draw(st.integers(1, 255))
    store.write(lambda writing: writing.put(table, key, bytes(changed)))
    try:
        assert report(store) == report(store, at_once=False)
    finally:
        store.write(lambda writing: writing.put(table, key, sound))


@pytest.mark.parametrize("table", [Table.PERSONAL, Table.EVIDENCE])
def test_what_was_redacted_or_pruned_is_counted_the_same(store, table):
    rows = rows_of(store, table)
    key, sound = rows[len(rows) // 2]
    store.write(lambda writing: writing.delete(table, key))
    try:
        assert report(store) == report(store, at_once=False)
        assert report(store).problem is None
    finally:
        store.write(lambda writing: writing.put(table, key, sound))


@pytest.mark.parametrize("moves_to", [1, 3])
def test_evidence_at_another_place_is_not_taken_for_pruned(store, moves_to):
    """At a record without evidence, and at one that has its own."""
    key = slices_key(1)
    sound = store.get(Table.EVIDENCE, key)
    slices = store.read(lambda reading: Entries(reading).slices(1))
    places = [place for place in range(256) if (place in slices) == (moves_to == 3)]
    first = next(iter(slices))
    to = next(place for place in places if place > first)
    moved = {to if place == first else place: slice_ for place, slice_ in slices.items() if place != to}
    packed = zstandard.ZstdCompressor().compress(msgspec.msgpack.encode(dict(sorted(moved.items()))))
    store.write(lambda writing: writing.put(Table.EVIDENCE, key, packed))
    try:
        assert report(store) == report(store, at_once=False)
        assert report(store).problem is not None
    finally:
        store.write(lambda writing: writing.put(Table.EVIDENCE, key, sound))


async def test_what_a_signed_journal_should_never_hold_is_reported_the_same(tmp_path):
    """An outcome before its decision, and decision ids that fall: signed by the gateway itself, so only order tells."""
    for number, records in enumerate(([outcome(700), decision(700)], [decision(9), decision(8)])):
        store = open_store(tmp_path / str(number))
        journal = open_journal(store, ManualClock())
        await journal.commit([gap()] * 300 + records + [gap()] * 300)
        journal.close()
        store.settle()
        assert report(store) == report(store, at_once=False)
        assert report(store).problem is not None
        store.close()


def test_times_that_would_hide_256_tiles_are_named(store):
    row = store.get(Table.INDEX, index.span_key(0, 1))
    spans = [row for key, row in rows_of(store, Table.INDEX) if key.startswith(b"t")]
    above = index.span_over(spans)
    for stored, is_sound in ((above, True), (u64(5) + row[8:], False)):
        store.write(lambda writing, stored=stored: writing.put(Table.INDEX, index.span_key(1, 0), stored))
        assert (store.read(lambda reading: times_problem(reading, 0)) == "") == is_sound
    store.write(lambda writing: writing.delete(Table.INDEX, index.span_key(1, 0)))
    assert store.read(lambda reading: times_problem(reading, 0)) == "", "256 tiles are not full yet"


def test_the_index_of_other_records_is_not_theirs(store):
    def problem(reading):
        leaves = [decode_leaf(data) for data in Entries(reading).leaves(256, 256)]
        return index_problem(reading, 2, leaves, {})

    assert "not theirs" in store.read(problem)
