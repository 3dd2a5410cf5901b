"""Records of full tiles move into bundles, each exactly once, whatever of them the tables had already."""

from __future__ import annotations

import random

import pytest
import zstandard

from gatewayd.journal.audit.verify import verify_store
from gatewayd.journal.bundle import Entries, slice_key, slices_key
from gatewayd.store.tables import Table, u64
from tests.journal.samples import SIGNER, decision, gap, open_journal, open_store


def counts(store):
    return [store.read(lambda reading, table=table: reading.count(table)) for table in (Table.BUNDLE, Table.ENTRY)]


@pytest.mark.parametrize("seed", range(6))
async def test_however_commits_and_take_overs_fall_the_records_are_the_same(tmp_path, clock, seed):
    """Against the plain list of what was committed."""
    draw = random.Random(seed)
    store = open_store(tmp_path / "s")
    journal = open_journal(store, clock)
    committed = journal.entries(0, 1)
    while journal.size < 1200:
        records = [decision(journal.size + n) for n in range(draw.choice([1, 5, 100, 300]))]
        seqs = await journal.commit(records)
        committed += [leaf for first in range(seqs[0], journal.size, 1024) for leaf in journal.entries(first, 1024)]
        if draw.random() < 0.4:
            store.settle()
        if draw.random() < 0.2:  # rows that go straight into the tables
            await journal.free(lambda writing: None)
        if draw.random() < 0.2:
            journal.close()
            journal = open_journal(store, clock)
    store.settle()
    assert len(committed) == journal.size
    assert [leaf for first in range(0, journal.size, 1000) for leaf in journal.entries(first, 1000)] == committed
    await journal.commit([gap()])
    store.settle()
    assert counts(store) == [journal.size // 256, journal.size % 256]
    report = verify_store(store, SIGNER.vkey)
    assert (report.problem, report.size, report.evidence_missing) == (None, journal.size, 0)
    journal.close()
    store.close()


async def test_a_tile_that_lacks_a_record_is_left_as_it_is(tmp_path, clock):
    store = open_store(tmp_path / "s")
    journal = open_journal(store, clock)
    await journal.commit([gap() for _ in range(200)])
    store.write(lambda writing: writing.delete(Table.ENTRY, u64(100)))
    await journal.commit([gap() for _ in range(400)])
    store.settle()
    assert counts(store) == [1, 255 + journal.size - 512]
    assert store.read(lambda reading: len(Entries(reading).leaves(0, 256))) == 100
    store.close()


async def test_evidence_moves_with_its_records(tmp_path, clock):
    store = open_store(tmp_path / "s")
    journal = open_journal(store, clock)
    await journal.commit([decision(n) for n in range(1, 300)])
    store.settle()
    assert store.get(Table.EVIDENCE, slice_key(5)) is None
    assert store.get(Table.EVIDENCE, slice_key(260)) == decision(260).evidence
    packed = store.get(Table.EVIDENCE, slices_key(0))
    assert len(packed) < 255 * len(decision(5).evidence)
    assert store.read(lambda reading: Entries(reading).evidence(5)) == decision(5).evidence
    journal.close()
    store.close()


@pytest.mark.parametrize("content", [b"", b"\x28\xb5\x2f\xfd", b"no zstd at all"])
def test_what_is_no_bundle_is_refused(tmp_path, content):
    store = open_store(tmp_path / "s")
    store.write(lambda writing: writing.put(Table.BUNDLE, u64(0), content))
    store.write(lambda writing: writing.put(Table.EVIDENCE, slices_key(0), content))
    for look in (lambda entries: entries.leaves(0, 1), lambda entries: entries.evidence(0)):
        with pytest.raises(ValueError, match=r"."):
            store.read(lambda reading, look=look: look(Entries(reading)))
    store.close()


def test_evidence_that_stands_twice_at_one_place_is_refused(tmp_path):
    """The place of the first was changed: its own record would look as if its evidence had been pruned."""
    store = open_store(tmp_path / "s")
    twice = zstandard.ZstdCompressor().compress(b"\x82\x05\xc4\x01a\x05\xc4\x01b")
    store.write(lambda writing: writing.put(Table.EVIDENCE, slices_key(0), twice))
    with pytest.raises(ValueError, match="twice"):
        store.read(lambda reading: Entries(reading).evidence(5))
    store.close()


async def test_what_is_known_of_records_is_forgotten_once_they_are_bundled(journal, store):
    """Also of a batch that is too large for the redo file, and goes into the tables at once."""
    for first in range(1, 12_000, 500):
        await journal.commit([decision(number) for number in range(first, first + 500)])
    store.settle()
    assert len(journal._bundler._marks) < 256
