"""Reading back: newest first, bounded, and never a byte that was not journalled."""

from __future__ import annotations

from contextlib import suppress
from hashlib import sha256

import msgspec
import pytest

from gatewayd.errors import JournalDamaged
from gatewayd.journal.tiles.bundle import slice_key
from gatewayd.model.decision import NewRecord
from gatewayd.model.record import Kind
from gatewayd.store.tables import Table, u64
from tests.journal.samples import command, decision, gap, outcome


async def ids(records):
    return [record.leaf.body.decision_id for record in records]


async def test_decisions_are_listed_newest_first_by_point_and_page(journal):
    for n in range(1, 11):
        await journal.commit([decision(n, point="a.x" if n % 2 else "a.y"), gap()])
    assert await ids(journal.decisions(3)) == [10, 9, 8]
    assert await ids(journal.decisions(3, before=8)) == [7, 6, 5]
    assert await ids(journal.decisions(9, point="a.y")) == [10, 8, 6, 4, 2]
    assert await ids(journal.decisions(2, before=8, point="a.y")) == [6, 4]
    assert await ids(journal.decisions(9, before=1)) == []
    assert await ids(journal.decisions(9, point="a")) == []
    assert journal.decisions(0) == []
    assert journal.last_decision_id() == 10
    assert [record.seq for record in journal.newest(Kind.GAP, 2)] == [20, 18]


async def test_outcomes_of_a_decision_stand_in_order_also_with_ids_at_a_byte_border(journal):
    await journal.commit([decision(255), decision(256), decision(65_535)])
    await journal.commit([outcome(255), outcome(256), outcome(255), outcome(65_535)])
    assert [record.seq for record in journal.outcomes(255)] == [4, 6]
    assert [record.seq for record in journal.outcomes(256)] == [5]
    assert [record.seq for record in journal.outcomes(65_535)] == [7]
    assert journal.outcomes(1) == []


async def test_entries_are_the_bytes_of_the_leaves_in_pages(journal):
    await journal.commit([gap(n) for n in range(1, 600)])
    pages = [journal.entries(first, 100) for first in range(0, 700, 100)]
    assert [len(page) for page in pages] == [100] * 6 + [0]
    assert len(journal.entries(0, 10_000)) == 600
    assert journal.entries(5, 0) == []


async def test_there_is_nothing_beyond_the_end(journal):
    assert journal.decision(1) is None
    assert journal.last_decision_id() == 0
    for seq in (-1, 1):
        with pytest.raises(IndexError):
            journal.record(seq)


async def test_a_redacted_text_leaves_a_record_that_still_verifies(journal, store):
    await journal.commit([decision(1)])
    store.write(lambda writing: writing.delete(Table.PERSONAL, u64(1)))
    assert journal.record(1).personal == {}
    assert journal.record(1).leaf.body.reason_text


async def test_pruned_evidence_is_none_not_an_error(journal, store):
    await journal.commit([decision(1)])
    store.write(lambda writing: writing.delete(Table.EVIDENCE, slice_key(1)))
    assert journal.record(1).evidence is None


def change(store, table, key, at=-1):
    """Flip one bit of a stored value."""
    value = bytearray(store.get(table, key))
    value[at] ^= 1
    store.write(lambda writing: writing.put(table, key, bytes(value)))


async def test_no_changed_leaf_is_served(journal, store):
    await journal.commit([decision(n) for n in range(1, 300)])
    store.settle()
    change(store, Table.ENTRY, u64(280))
    with pytest.raises(JournalDamaged, match="record 280:"):
        journal.record(280)
    with pytest.raises(JournalDamaged, match="record 280:"):
        journal.entries(278, 5)
    assert journal.record(281).seq == 281
    store.write(lambda writing: writing.delete(Table.ENTRY, u64(290)))
    with pytest.raises(JournalDamaged, match="record 290: it is missing"):
        journal.entries(285, 10)


@pytest.mark.parametrize("at", range(0, 700, 7))
async def test_no_record_of_a_changed_bundle_is_served_unless_it_is_as_it_was(journal, store, at):
    await journal.commit([decision(n) for n in range(1, 300)])
    store.settle()
    sound = journal.entries(0, 256)
    change(store, Table.BUNDLE, u64(0), at=at)
    for seq in (0, 3, 200, 255):
        with suppress(JournalDamaged):
            assert journal.entries(seq, 1) == [sound[seq]]
    with pytest.raises(JournalDamaged, match="record"):
        journal.entries(0, 256)


async def test_what_is_found_is_the_same_before_and_after_it_is_bundled(journal, store):
    records = [decision(n, point="a.x" if n % 3 else "a.y") for n in range(1, 400)]
    for first in range(0, 400, 50):
        await journal.commit(records[first : first + 50])
        await journal.commit([outcome(first + 1)])

    def seen():
        return [
            [record.seq for record in journal.decisions(1000)],
            [record.seq for record in journal.decisions(1000, before=200, point="a.y")],
            [record.seq for record in journal.newest(Kind.OUTCOME, 1000)],
            [[record.seq for record in journal.outcomes(n)] for n in (1, 51, 52, 351)],
            [journal.decision(n).evidence for n in (1, 77, 399)],
            [journal.decision(n) for n in (0, 400)],
            [record.personal for record in journal.decisions(3)],
            journal.entries(0, 1000),
        ]

    young = seen()
    store.settle()
    assert store.read(lambda reading: reading.count(Table.BUNDLE)) == 1
    assert store.read(lambda reading: reading.count(Table.ENTRY)) == journal.size - 256
    assert seen() == young


async def test_large_evidence_keeps_a_row_of_its_own(journal, store):
    large = bytes(range(256)) * 100
    body = msgspec.structs.replace(decision(1).body, evidence=sha256(large).digest(), reason_text=b"", actor_name=b"")
    await journal.commit([NewRecord(body, {}, large), *(decision(n) for n in range(2, 300))])
    store.settle()
    assert journal.decision(1).evidence == large
    assert store.get(Table.EVIDENCE, slice_key(1)) == large
    assert store.get(Table.EVIDENCE, slice_key(2)) is None
    assert journal.decision(2).evidence == decision(2).evidence


async def test_no_changed_text_evidence_intent_or_save_is_served(journal, store):
    await journal.commit([decision(1)], intents=[command(1)], saves={"key": b"value"})
    change(store, Table.PERSONAL, u64(1))
    with pytest.raises(JournalDamaged, match="record 1"):
        journal.record(1)
    change(store, Table.PERSONAL, u64(1))
    change(store, Table.EVIDENCE, slice_key(1))
    with pytest.raises(JournalDamaged, match="evidence"):
        journal.decision(1)
    change(store, Table.INTENT, u64(1))
    with pytest.raises(JournalDamaged):
        journal.in_doubt()
    change(store, Table.SAVE, b"key")
    with pytest.raises(JournalDamaged, match="key"):
        journal.saves()
    store.write(lambda writing: writing.put(Table.PERSONAL, u64(1), b"\xc1"))
    with pytest.raises(JournalDamaged, match="decoded"):
        journal.record(1)
