"""Records of full tiles move into bundles, each exactly once, whatever of them the tables had already."""

from __future__ import annotations

import random

import pytest
import zstandard

from gatewayd.journal import log
from gatewayd.journal.audit.verify import verify_store
from gatewayd.journal.tiles.bundle import Entries, slice_key, slices_key
from gatewayd.journal.tiles.scan import compiled_scan
from gatewayd.model.decision import NewRecord
from gatewayd.store.tables import Table, u64
from tests.clock import ManualClock
from tests.journal.samples import SIGNER, deciding, decision, every_body, gap, open_journal, open_store, outcome


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


async def test_the_index_is_the_same_where_no_kernels_were_built(tmp_path, monkeypatch):
    """With evidence small, large and of no known kind, texts that are not ASCII, and other records in between."""
    found = []
    for scan in (compiled_scan, lambda: None):
        monkeypatch.setattr(log, "compiled_scan", scan)
        store = open_store(tmp_path / str(len(found)))
        journal = open_journal(store, ManualClock())
        records = [NewRecord(every_body()[kind]) for kind in ("mode", "device", "override", "retention")]
        for first in range(0, 600, 100):
            ids = range(first + 1, first + 101)
            records += [decision(n) if n % 2 else deciding(n, tags=("ä.t", "b.t") * (n % 60), rule="heiß") for n in ids]
            await journal.commit(records)
            await journal.commit([outcome(n) for n in ids])
            records = []
        store.settle()
        found.append(store.read(lambda reading: reading.scan(Table.INDEX, limit=10_000)))
        assert counts(store)[0] == 4
        assert verify_store(store, SIGNER.vkey).problem is None
        journal.close()
        store.close()
    assert found[0] == found[1]
