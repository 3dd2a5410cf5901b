"""What has become damaged on the disk is journalled as a gap, once."""

from __future__ import annotations

import asyncio

import pytest

from gatewayd.errors import StoreDamaged
from gatewayd.journal.scrub import RECORDS_AT_ONCE, scrub
from gatewayd.model.record import Gap, Kind
from gatewayd.store.tables import Table, u64
from tests.journal.samples import decision


def spoil(store, *seqs):
    for seq in seqs:
        leaf = bytearray(store.get(Table.ENTRY, u64(seq)))
        leaf[-1] ^= 1
        store.write(lambda writing, seq=seq, leaf=leaf: writing.put(Table.ENTRY, u64(seq), bytes(leaf)))


def gaps(journal):
    return [record.leaf.body for record in journal.newest(Kind.GAP, 10)][::-1]


@pytest.fixture
async def filled(journal):
    await journal.commit([decision(number) for number in range(1, 101)])
    return journal


async def test_a_sound_journal_is_left_as_it_is(filled, clock):
    size = filled.size
    assert await scrub(filled, clock, pause_ns=0) == 0
    assert filled.size == size


async def test_each_damaged_range_becomes_a_gap_that_names_its_records(filled, store, clock):
    spoil(store, 31, 32, 60)  # 31 and 32 are read apart
    assert await scrub(filled, clock, pause_ns=0) == 3
    assert [(gap.stream, gap.first, gap.last, gap.count) for gap in gaps(filled)] == [
        ("journal", 31, 32, 2),
        ("journal", 60, 60, 1),
    ]
    assert "record 31: its bytes do not have the hash" in gaps(filled)[0].reason


async def test_a_damaged_range_is_told_once_not_at_every_start(filled, store, clock):
    spoil(store, 7)
    await scrub(filled, clock, pause_ns=0)
    size = filled.size
    assert await scrub(filled, clock, pause_ns=0) == 1
    assert filled.size == size


async def test_what_belongs_to_a_record_is_looked_at_too(filled, store, clock):
    store.write(lambda writing: writing.put(Table.PERSONAL, u64(5), b"no text"))
    assert await scrub(filled, clock, pause_ns=0) == 1
    assert isinstance(gaps(filled)[0], Gap)


async def test_a_record_whose_page_lmdb_cannot_read_is_told_like_any_other(filled, clock, monkeypatch):
    """Only a few pages of the table are damaged: all the rest can be read and written."""
    record = filled.record

    def read(seq):
        if seq == 9:
            raise StoreDamaged("Located page was wrong type", remedy="")
        return record(seq)

    monkeypatch.setattr(filled, "record", read)
    monkeypatch.setattr(filled, "are_sound", lambda first, count: not first <= 9 < first + count)
    assert await scrub(filled, clock, pause_ns=0) == 1
    assert (gaps(filled)[0].first, gaps(filled)[0].last) == (9, 9)


async def test_a_pause_lies_between_two_readings(filled, store, clock):
    """A decision's write must not wait for it: the loop is free after each few records."""
    spoil(store, 1, filled.size - 1)
    assert filled.size > 3 * RECORDS_AT_ONCE
    scrubbing = asyncio.ensure_future(scrub(filled, clock, pause_ns=10))
    readings = -(-filled.size // RECORDS_AT_ONCE)
    await clock.advance(10 * (readings - 1))
    assert [gap.first for gap in gaps(filled)] == [1]
    await clock.advance(10)
    assert await scrubbing == 2
