"""`journal verify`: what is sound passes, whatever was changed is named by its first bad record."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys

import msgspec
import pytest

from gatewayd.errors import StoreError
from gatewayd.journal.audit.verify import verify, verify_store
from gatewayd.journal.guarded import guard
from gatewayd.journal.tail import EDGE_KEY, partial_key, tile_key
from gatewayd.journal.tiles.bundle import slice_key, slices_key
from gatewayd.journal.tiles.index import (
    asset_term,
    decision_key,
    kind_term,
    outcomes_prefix,
    rule_term,
    span_key,
    tag_term,
    term_key,
)
from gatewayd.model.record import Kind
from gatewayd.model.wanted import Wanted
from gatewayd.proof.note import Checkpoint, NoteError, SeedSigner, open_checkpoint, sign_checkpoint
from gatewayd.proof.note import VerifierKey as Key
from gatewayd.store.tables import Table, u64
from tests.journal.samples import ORIGIN, SIGNER, command, deciding, decision, gap, open_journal, open_store, outcome


@pytest.fixture
async def sound(tmp_path, clock):
    """600 records: decisions at 1 to 299, outcomes of the first hundred at 300 to 399, gaps."""
    store = open_store(tmp_path / "s")
    journal = open_journal(store, clock)
    await journal.commit([decision(n) for n in range(1, 300)], intents=[command(299)], saves={"k": b"v"})
    await journal.commit([outcome(n) for n in range(1, 101)])
    await journal.commit([gap(n) for n in range(1, 201)])
    journal.close()
    store.settle()
    yield store
    store.close()


def problem(store, vkey: str | None = SIGNER.vkey):
    return verify_store(store, vkey).problem


def change(store, table, key, at=-1, bits=1):
    value = bytearray(store.get(table, key))
    value[at] ^= bits
    store.write(lambda writing: writing.put(table, key, bytes(value)))


def test_a_sound_journal_passes_and_is_counted(sound):
    seen = []
    report = verify_store(sound, SIGNER.vkey, progress=lambda done, size: seen.append((done, size)))
    assert report.problem is None
    counts = (report.size, report.decisions, report.outcomes, report.in_doubt, report.redacted, report.evidence_missing)
    assert counts == (600, 299, 100, 1, 0, 0)
    assert (report.origin, report.vkey, report.is_key_given) == (ORIGIN, SIGNER.vkey, True)
    newest = sound.read(lambda reading: reading.scan_back(Table.CHECKPOINT, limit=1))[0][1].decode()
    assert open_checkpoint(newest, Key.parse(SIGNER.vkey)) == Checkpoint(ORIGIN, 600, report.root)
    assert report.checkpoints == 3
    assert seen == [(256, 600), (512, 600), (600, 600)]


def test_without_a_key_the_journals_own_is_taken_and_the_report_says_so(sound):
    report = verify_store(sound, None)
    assert report.problem is None
    assert (report.vkey, report.is_key_given) == (SIGNER.vkey, False)


def test_another_key_does_not_verify(sound):
    found = problem(sound, SeedSigner(ORIGIN, bytes(32)).vkey)
    assert (found.seq, found.kind) == (0, "genesis")
    with pytest.raises(NoteError):
        verify_store(sound, "no key")


@pytest.mark.parametrize("seq", [512, 513, 550, 599])
def test_a_changed_young_record_is_named(sound, seq):
    change(sound, Table.ENTRY, u64(seq))
    assert problem(sound).seq == seq


@pytest.mark.parametrize("at", range(0, 4000, 97))
def test_a_changed_bundle_is_found(sound, at):
    size = len(sound.get(Table.BUNDLE, u64(0)))
    change(sound, Table.BUNDLE, u64(0), at=at % size)
    assert problem(sound).seq < 256


@pytest.mark.parametrize("seq", [512, 550, 599])
def test_a_missing_record_is_named(sound, seq):
    sound.write(lambda writing: writing.delete(Table.ENTRY, u64(seq)))
    found = problem(sound)
    assert found.seq == (598 if seq == 599 else seq)  # without its last record the tree is one leaf too long
    assert found.kind in ("unknown", "tree")


def test_a_missing_bundle_is_named(sound):
    sound.write(lambda writing: writing.delete(Table.BUNDLE, u64(0)))
    assert (problem(sound).seq, problem(sound).kind) == (0, "unknown")


def test_two_exchanged_records_are_found(sound):
    one, other = sound.get(Table.ENTRY, u64(520)), sound.get(Table.ENTRY, u64(521))
    sound.write(lambda w: (w.put(Table.ENTRY, u64(520), other), w.put(Table.ENTRY, u64(521), one)))
    found = problem(sound)
    assert (found.seq, found.kind) == (520, "gap")
    assert "record 521" in found.what


def test_two_exchanged_bundles_are_found(sound):
    one, other = sound.get(Table.BUNDLE, u64(0)), sound.get(Table.BUNDLE, u64(1))
    sound.write(lambda w: (w.put(Table.BUNDLE, u64(0), other), w.put(Table.BUNDLE, u64(1), one)))
    assert problem(sound).seq == 0


@pytest.mark.parametrize(
    ("table", "key", "seq", "kind"),
    [
        (Table.TILE, tile_key(0, 1), 511, "gap"),
        (Table.EDGE, EDGE_KEY, 599, "tree"),
        (Table.EDGE, partial_key(1), 599, "tree"),
        (Table.CHECKPOINT, u64(300), 299, "checkpoint"),
        (Table.PERSONAL, u64(17), 17, "decision"),
        (Table.INTENT, u64(299), 299, "intent"),
        (Table.SAVE, b"k", 0, "save"),
        (Table.INDEX, decision_key(1), 0, "genesis"),
        (Table.INDEX, term_key(kind_term(Kind.DECISION), 0), 256, "decision"),
        (Table.INDEX, term_key(rule_term("bearing-hot"), 0), 256, "decision"),
        (Table.INDEX, term_key(asset_term("pump_1"), 1), 256, "decision"),
        (Table.INDEX, span_key(0, 1), 256, "decision"),
        (Table.EVIDENCE, slices_key(0), 1, "decision"),
        (Table.EVIDENCE, slices_key(1), 256, "decision"),
    ],
)
def test_a_changed_row_beside_the_records_is_named(sound, table, key, seq, kind):
    change(sound, table, key)
    found = problem(sound)
    assert (found.seq, found.kind) == (seq, kind)


@pytest.mark.parametrize("at", [0, 1, 2, 20])
def test_an_index_row_that_hides_a_record_of_its_first_tile_is_named(sound, at):
    change(sound, Table.INDEX, term_key(rule_term("bearing-hot"), 0), at=at)
    assert (problem(sound).seq, problem(sound).kind) == (0, "genesis")


async def test_tags_that_were_read_are_compared_with_the_evidence_and_believed_once_it_was_pruned(tmp_path, clock):
    store = open_store(tmp_path / "tags")
    journal = open_journal(store, clock)
    await journal.commit([deciding(n, tags=("a.t",)) for n in range(1, 256)])
    store.settle()
    key = term_key(tag_term("a.t"), 0)
    row = store.get(Table.INDEX, key)
    store.write(lambda writing: writing.put(Table.INDEX, key, bytes((row[0], 1, 7))))
    assert problem(store).seq == 0
    store.write(lambda writing: writing.put(Table.INDEX, key, row))
    store.write(lambda writing: writing.delete(Table.EVIDENCE, slices_key(0)))
    assert problem(store) is None
    assert len(journal.decisions(300, wanted=Wanted(tag="a.t"))) == 255
    store.close()


def test_an_outcome_that_cannot_be_found_is_named(sound):
    sound.write(lambda writing: writing.delete(Table.INDEX, outcomes_prefix(1) + u64(300)))
    assert problem(sound).seq == 256


async def test_changed_evidence_is_named_and_pruned_evidence_counted(sound, clock):
    await open_journal(sound, clock).commit([decision(600)])
    change(sound, Table.EVIDENCE, slice_key(600))
    assert (problem(sound).seq, problem(sound).kind) == (600, "decision")
    sound.write(lambda writing: writing.delete(Table.EVIDENCE, slice_key(600)))
    report = verify_store(sound, SIGNER.vkey)
    assert (report.problem, report.evidence_missing) == (None, 1)
    sound.write(lambda writing: writing.delete(Table.EVIDENCE, slices_key(0)))
    report = verify_store(sound, SIGNER.vkey)
    assert (report.problem, report.evidence_missing) == (None, 256)


def test_a_redacted_journal_still_verifies(sound):
    sound.write(lambda writing: [writing.delete(Table.PERSONAL, u64(seq)) for seq in range(1, 11)])
    report = verify_store(sound, SIGNER.vkey)
    assert (report.problem, report.redacted) == (None, 20)


async def test_an_outcome_without_its_decision_is_named(sound, clock):
    journal = open_journal(sound, clock)
    await journal.commit([outcome(5000)])
    found = problem(sound)
    assert (found.seq, found.kind) == (600, "outcome")
    assert "5000" in found.what


async def test_an_outcome_before_its_decision_is_named(sound, clock):
    journal = open_journal(sound, clock)
    await journal.commit([outcome(5000), decision(5000)])
    assert (problem(sound).seq, problem(sound).kind) == (600, "outcome")


async def test_two_decisions_with_one_id_are_named(sound, clock):
    journal = open_journal(sound, clock)
    await journal.commit([decision(3)])
    assert (problem(sound).seq, problem(sound).kind) == (600, "decision")


def test_an_intent_without_its_decision_is_named(sound):
    """P-JOURNAL: an action without a durable decision must never be."""
    row = guard(u64(9999), msgspec.msgpack.encode(command(9999)))
    sound.write(lambda writing: writing.put(Table.INTENT, u64(9999), row))
    assert problem(sound).kind == "intent"


@pytest.mark.parametrize("checkpoint", [Checkpoint(ORIGIN, 700, bytes(32)), Checkpoint(ORIGIN, 400, bytes(32))])
def test_a_signed_history_that_is_not_this_one_is_found(sound, checkpoint):
    note = sign_checkpoint(checkpoint, SIGNER).encode()
    sound.write(lambda writing: writing.put(Table.CHECKPOINT, u64(checkpoint.size), note))
    found = problem(sound)
    assert (found.seq, found.kind) == (checkpoint.size - 1, "checkpoint")


def test_a_rewritten_tail_with_its_tree_recomputed_is_found_by_the_checkpoint(tmp_path, clock, sound):
    """Root on the gateway can recompute every hash, but not sign without the key."""
    import asyncio

    forged = open_store(tmp_path / "forged")
    journal = open_journal(forged, clock)
    asyncio.run(journal.commit([decision(n) for n in range(1, 600)]))
    journal.close()
    rows = sound.read(lambda reading: reading.scan(Table.CHECKPOINT, limit=99))
    forged.write(lambda w: [w.put(Table.CHECKPOINT, key, note) for key, note in rows])
    assert problem(forged).kind == "checkpoint"
    forged.close()


def test_verification_by_path_works_beside_the_running_daemon(sound):
    script = (
        "import sys; from pathlib import Path; from gatewayd.journal.audit.verify import verify\n"
        "report = verify(Path(sys.argv[1]), sys.argv[2]); print(report.size, report.problem)"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, str(sound.path), SIGNER.vkey], env={**os.environ, "PYTHONPATH": os.getcwd()},
        capture_output=True, text=True, timeout=60, check=True,
    )  # fmt: skip
    assert done.stdout.strip() == "600 None"


def test_there_must_be_a_journal_to_verify(tmp_path):
    with pytest.raises(StoreError, match="no store"):
        verify(tmp_path, SIGNER.vkey)


async def test_a_commit_damaged_in_the_redo_file_is_named(tmp_path, clock):
    """It was acknowledged and is not in the tables yet: nothing but the redo file has it."""
    store = open_store(tmp_path / "killed")
    journal = open_journal(store, clock)
    store.settle()
    for n in range(1, 4):
        await journal.commit([decision(n)])
    copy = tmp_path / "copy"
    shutil.copytree(store.path, copy)
    journal.close()
    store.close()
    assert verify(copy, SIGNER.vkey).size == 4
    content = bytearray((copy / "redo").read_bytes())
    content[4096 + 100] ^= 1
    (copy / "redo").write_bytes(content)
    report = verify(copy, SIGNER.vkey)
    assert report.size == 2
    assert report.problem is not None
    assert "redo file" in report.problem.what
