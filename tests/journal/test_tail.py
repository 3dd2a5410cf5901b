"""A start takes nothing on trust: leaves, tail hashes, partial tiles, edge and checkpoint must agree."""

from __future__ import annotations

import pytest

from gatewayd.errors import JournalDamaged
from gatewayd.journal.tail import EDGE_KEY, partial_key, tile_key
from gatewayd.proof.note import Checkpoint, SeedSigner, sign_checkpoint
from gatewayd.store.tables import Table, u64
from tests.journal.samples import ORIGIN, SIGNER, decision, gap, open_journal, open_store


@pytest.fixture
async def closed(tmp_path, clock):
    """A journal of 600 records, closed: two full tiles and a tail of 88."""
    store = open_store(tmp_path / "s")
    journal = open_journal(store, clock)
    await journal.commit([gap(n) for n in range(1, 599)])
    await journal.commit([decision(1)])
    journal.close()
    store.settle()
    yield store
    store.close()


@pytest.mark.parametrize("count", [0, 1, 254, 255, 256, 257, 511, 512, 700])
async def test_a_journal_of_any_length_is_recovered_as_it_was(tmp_path, clock, count):
    store = open_store(tmp_path / "s")
    journal = open_journal(store, clock)
    for first in range(0, count, 97):
        await journal.commit([gap(n + 1) for n in range(first, min(count, first + 97))])
    tree = journal._tree
    journal.close()
    assert open_journal(store, clock)._tree == tree
    rows = store.read(lambda reading: reading.count(Table.EDGE))
    assert rows == len(tree.partial)
    store.close()


@pytest.mark.parametrize(
    ("table", "key", "at", "named"),
    [
        (Table.ENTRY, u64(599), -3, "record 599"),
        (Table.ENTRY, u64(512), -3, "record 512"),
        (Table.ENTRY, u64(599), 3, "record 599"),  # its hash
        (Table.BUNDLE, u64(1), -3, "record (2[5-9]|[345])"),
        (Table.BUNDLE, u64(1), 0, "record 256"),
        (Table.EDGE, EDGE_KEY, -3, "record 599"),
        (Table.EDGE, partial_key(1), -3, "record 599"),
        (Table.TILE, tile_key(0, 1), -3, "record 511"),
        (Table.CHECKPOINT, u64(600), -3, "record 599"),
    ],
)
def test_one_changed_bit_near_the_end_is_found_at_the_start(closed, clock, table, key, at, named):
    value = bytearray(closed.get(table, key))
    value[at] ^= 4
    closed.write(lambda writing: writing.put(table, key, bytes(value)))
    with pytest.raises(JournalDamaged, match=f"{named}[0-9]*:") as caught:
        open_journal(closed, clock)
    assert "verify" in caught.value.remedy


@pytest.mark.parametrize(
    ("table", "key"),
    [
        (Table.ENTRY, u64(599)),
        (Table.ENTRY, u64(520)),
        (Table.BUNDLE, u64(1)),
        (Table.EDGE, EDGE_KEY),
        (Table.EDGE, partial_key(1)),
        (Table.TILE, tile_key(0, 1)),
    ],
)
def test_a_missing_row_near_the_end_is_found_at_the_start(closed, clock, table, key):
    closed.write(lambda writing: writing.delete(table, key))
    with pytest.raises(JournalDamaged):
        open_journal(closed, clock)


def test_a_restored_older_image_is_found_by_the_checkpoint_it_lacks(closed, clock):
    """A checkpoint over more records than there are: the tail was cut off, or the disk set back."""
    note = sign_checkpoint(Checkpoint(ORIGIN, 700, bytes(32)), SIGNER)
    closed.write(lambda writing: writing.put(Table.CHECKPOINT, u64(700), note.encode()))
    with pytest.raises(JournalDamaged, match="700 records was signed, only 600"):
        open_journal(closed, clock)


def test_a_fork_is_found_by_the_root_that_was_signed(closed, clock):
    note = sign_checkpoint(Checkpoint(ORIGIN, 600, bytes(32)), SIGNER)
    closed.write(lambda writing: writing.put(Table.CHECKPOINT, u64(600), note.encode()))
    with pytest.raises(JournalDamaged, match="root of 600"):
        open_journal(closed, clock)


def test_a_checkpoint_of_a_stranger_is_refused(closed, clock):
    note = sign_checkpoint(Checkpoint(ORIGIN, 600, bytes(32)), SeedSigner(ORIGIN, bytes(32)))
    closed.write(lambda writing: writing.put(Table.CHECKPOINT, u64(600), note.encode()))
    with pytest.raises(JournalDamaged, match="not ours"):
        open_journal(closed, clock)
