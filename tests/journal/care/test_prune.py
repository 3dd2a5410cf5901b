"""Old records go once a mirror has them: what goes, what stays, what still can be proved, and power cuts in between."""

from __future__ import annotations

import shutil
import subprocess
import sys

import pytest

from gatewayd.errors import JournalDamaged, RequestRefused, StoreError
from gatewayd.journal.audit.verify import verify_store
from gatewayd.journal.care import prune as pruning
from gatewayd.journal.care import pruned
from gatewayd.journal.care.prune import is_swept, plan, prune, sweep
from gatewayd.journal.care.pruned import RecordPruned
from gatewayd.journal.care.rotation import rotate
from gatewayd.journal.care.witness import Trusted, Witnesses, witness_request
from gatewayd.journal.export.export import Request, export_store
from gatewayd.model.decision import NewRecord
from gatewayd.model.record import Kind, OverrideEvent, Pruned
from gatewayd.proof.cosignature import Cosigner
from gatewayd.proof.merkle import leaf_hash, verify_consistency, verify_inclusion
from gatewayd.proof.note import SeedSigner, split_note
from gatewayd.store.tables import Table, u64
from tests.foreign.availability import require
from tests.foreign.go.build import build_verifier
from tests.journal.samples import ANA, ORIGIN, SIGNER, command, decision, gap, open_journal, open_store, outcome

DAY_NS = 86_400 * 10**9
MIRROR = Cosigner("mirror.example/two", bytes(range(32)))
TRUSTED = Trusted(mirrors=(MIRROR.key,))
SIZE = 1400  # five full tiles and a beginning
DECISIONS = 120
ALL = 1 << 62  # unsent from there on: the collector has everything


def cosigned(note: str) -> str:
    return note + MIRROR.line(split_note(note)[0], 1_750_000_000)


async def filled(journal, clock) -> None:
    """120 decisions with outcomes, then gaps; a tile a day."""
    for first in range(1, DECISIONS + 1, 40):
        ids = range(first, first + 40)
        await journal.commit([decision(number) for number in ids])
        await journal.commit([outcome(number) for number in ids])
    while journal.size < SIZE:
        await journal.commit([gap(1)] * min(256 - journal.size % 256, SIZE - journal.size))
        journal.store.settle()
        await clock.advance(DAY_NS)
    await journal.commit([decision(number) for number in range(500, 520)])


@pytest.fixture
async def old(journal, clock):
    """A journal of 1420 records in six days, all of which a mirror has cosigned."""
    await filled(journal, clock)
    await mirrored(journal)
    return journal


async def mirrored(journal):
    await Witnesses(journal, TRUSTED).add(cosigned(journal.checkpoint()))


async def planned(journal, clock, *, days: float = 1, unsent_from: int = ALL, trusted: Trusted = TRUSTED):
    return await plan(
        journal,
        Witnesses(journal, trusted).mirrored(),
        older_than_ns=clock.wall_ns() + 1 - round(days * DAY_NS),
        unsent_from=unsent_from,
        clock=clock,
    )


async def pruned_journal(journal, clock, **how):
    chosen = await planned(journal, clock, **how)
    await prune(journal, chosen, ANA, wall_ns=clock.wall_ns())
    await sweep(journal, clock)
    return chosen


def said(*command_line: object) -> tuple[int, str]:
    """Run a verifier; return its exit code and what it said."""
    done = subprocess.run([*map(str, command_line)], capture_output=True, text=True, timeout=60, check=False)
    assert done.stderr == ""
    return done.returncode, done.stdout


# --- the rule ------------------------------------------------------------------------------------------------------------


async def test_without_a_mirror_nothing_goes(old, clock):
    with pytest.raises(RequestRefused, match="no mirror has cosigned") as refused:
        await planned(old, clock, trusted=Trusted(witnesses=(MIRROR.key,)))
    assert "[journal] mirrors" in refused.value.remedy


async def test_the_newest_full_bundle_stays_whatever_its_age(old, clock):
    chosen = await planned(old, clock, days=0)
    assert (chosen.first, chosen.end, chosen.why) == (0, 1024, "the newest full bundle stays")


async def test_only_what_is_old_enough_goes(old, clock):
    """Tiles ended on the days 0, 1, 2, 3, 4; now it is day 6."""
    chosen = await planned(old, clock, days=3.5)
    assert chosen.end == 768
    assert "records from 768 on are not older than 2025-06-18" in chosen.why
    assert (await planned(old, clock, days=30)).end == 0


async def test_only_what_the_mirror_has_cosigned_goes(journal, clock):
    await journal.commit([gap(1)] * 699)
    await mirrored(journal)
    await filled(journal, clock)
    chosen = await planned(journal, clock, days=0)
    assert (chosen.end, chosen.why) == (512, "the mirror has 700 records")


async def test_only_what_the_collector_has_goes(old, clock):
    chosen = await planned(old, clock, days=0, unsent_from=600)
    assert (chosen.end, chosen.why) == (512, "the collector has 600 records")


async def test_what_an_open_override_refers_to_stays(journal, clock):
    await journal.commit([gap(1)] * 300)
    held = OverrideEvent(3, "set", "pump_1.speed", 25.0, 1, ANA)
    (seq,) = await journal.commit([NewRecord(held)])
    await filled(journal, clock)
    await mirrored(journal)
    chosen = await planned(journal, clock, days=0)
    assert (chosen.end, chosen.why) == (256, f"something that is still open refers to record {seq}")
    await journal.commit([NewRecord(OverrideEvent(3, "released", "pump_1.speed", 25.0, 1, ANA))])
    assert (await planned(journal, clock, days=0)).end == 1024


async def test_what_a_write_in_doubt_refers_to_stays(journal, clock):
    await journal.commit([gap(1)] * 300)
    (seq,) = await journal.commit([decision(1)], intents=[command(1)])
    for _ in range(4):
        await journal.commit([gap(1)] * 256)
    journal.store.settle()
    await mirrored(journal)
    assert f"refers to record {seq}" in (await planned(journal, clock, days=0)).why
    await journal.commit([outcome(1)], resolves=[1])
    assert (await planned(journal, clock, days=0)).end == 1024


# --- what is left ----------------------------------------------------------------------------------------------------------


async def test_a_record_says_who_pruned_what_and_who_has_it(old, clock):
    await pruned_journal(old, clock)
    (record,) = old.newest(Kind.PRUNED, 1)
    body = record.leaf.body
    assert isinstance(body, Pruned)
    assert (body.first, body.end, body.actor, body.mirror) == (0, 1024, ANA, MIRROR.key.text())
    assert (body.mirrored_size, body.last_decision_id) == (1420, DECISIONS)


async def test_every_row_of_what_was_pruned_is_gone_and_no_other(old, clock):
    before = {table: dict(old.store.read(lambda r, t=table: r.scan(t, limit=100_000))) for table in Table}
    await pruned_journal(old, clock)
    assert is_swept(old.store)
    after = {table: dict(old.store.read(lambda r, t=table: r.scan(t, limit=100_000))) for table in Table}
    for table in (Table.BUNDLE, Table.TILE, Table.PERSONAL, Table.EVIDENCE, Table.INDEX, Table.CHECKPOINT):
        gone = before[table].keys() - after[table].keys()
        kept = before[table].keys() & after[table].keys()
        assert all(before[table][key] == after[table][key] for key in kept), table
        if table in (Table.BUNDLE, Table.PERSONAL, Table.CHECKPOINT):
            limit = 4 if table is Table.BUNDLE else 1024
            assert gone == {key for key in before[table] if key < u64(limit)}, table
    assert {key[1:] for key in before[Table.TILE].keys() - after[Table.TILE].keys()} == {u64(n) for n in range(4)}
    assert not [key for key in after[Table.INDEX] if key[:1] in b"kp" and key[-8:] < u64(4)]
    assert not [key for key in after[Table.INDEX] if key[:1] == b"o" and key[-8:] < u64(1024)]
    assert after[Table.COSIGNED] == before[Table.COSIGNED]


async def test_what_can_be_proved_after_it_is_what_tlog_tiles_promises(old, clock):
    """Any root for a size of at least the first index, inclusion from it on, consistency between such sizes."""
    first = 1024
    sizes = [first, first + 1, 1279, 1280, 1281, 1399, 1420]
    roots = {size: old.root(size) for size in sizes}
    leaves = {seq: leaf_hash(old.entries(seq, 1)[0]) for seq in (first, first + 255, 1280, 1419)}
    await pruned_journal(old, clock)
    for size in sizes:
        assert old.root(size) == roots[size]
        for seq, leaf in leaves.items():
            if seq < size:
                assert verify_inclusion(leaf, seq, size, old.prove_inclusion(seq, size), roots[size])
        for larger in sizes:
            if size <= larger:
                path = old.prove_consistency(size, larger)
                assert verify_consistency(size, larger, path, roots[size], roots[larger])


async def test_what_is_asked_of_a_pruned_record_is_answered_with_how_far_and_who_has_it(old, clock):
    await pruned_journal(old, clock)
    words = "records 0 to 1023 were pruned on 2025-06-21; the mirror mirror.example/two has them"
    for ask in (
        lambda: old.record(7),
        lambda: old.entries(7, 3),
        lambda: old.decision(5),
        lambda: old.root(700),
        lambda: old.prove_inclusion(5, 1300),
        lambda: old.prove_consistency(700, 1300),
        lambda: witness_request(old.store, 700),
    ):
        with pytest.raises(RecordPruned) as refused:
            ask()
        assert words in refused.value.message
    assert old.decision(300) is None
    assert [record.leaf.body.decision_id for record in old.decisions(1000)] == list(range(519, 499, -1))
    assert old.outcomes(5) == []


async def test_no_decision_id_is_given_twice_when_all_decisions_were_pruned(journal, clock):
    await journal.commit([decision(number) for number in range(1, 9)])
    for _ in range(3):
        await journal.commit([gap(1)] * 256)
    journal.store.settle()
    await mirrored(journal)
    await pruned_journal(journal, clock, days=0)
    assert journal.decisions(1) == []
    assert journal.last_decision_id() == 8


async def test_the_next_start_knows_how_far_it_was_pruned(old, clock):
    await pruned_journal(old, clock)
    old.close()
    again = open_journal(old.store, clock)
    assert (again.first, again.last_decision_id()) == (1024, 519)
    await again.commit([decision(520)])
    with pytest.raises(RecordPruned):
        again.record(7)


async def test_it_goes_on_pruning_where_it_ended(old, clock):
    await pruned_journal(old, clock, days=3.5)
    assert old.first == 768
    chosen = await pruned_journal(old, clock, days=0)
    assert (chosen.first, chosen.end) == (768, 1024)
    assert (await planned(old, clock, days=0)).end == 1024
    old.close()
    assert verify_store(old.store, SIGNER.vkey).problem is None


# --- verification and export -----------------------------------------------------------------------------------------------


async def test_a_pruned_journal_verifies_from_its_first_record_on(old, clock):
    root = old.root(1420)
    await pruned_journal(old, clock)
    old.close()
    report = verify_store(old.store, SIGNER.vkey)
    assert (report.problem, report.first, report.size, report.origin) == (None, 1024, 1421, ORIGIN)
    assert old.root(1420) == root


async def test_records_that_are_gone_without_a_record_of_it_are_missed(old, clock):
    old.close()
    store = old.store
    for tile in range(4):
        store.write(lambda writing, at=tile: writing.delete(Table.BUNDLE, u64(at)))
    state = pruned.PrunedState(1024, DECISIONS, 1, "mirror.example/two")
    assert verify_store(store, SIGNER.vkey).problem.seq == 0
    store.write(lambda writing: writing.put(Table.META, pruned.KEY, pruned.state_row(state)))
    problem = verify_store(store, SIGNER.vkey).problem
    assert (problem.seq, problem.kind) == (1024, "pruned")
    assert "no record says" in problem.what


async def test_a_claim_of_the_mirror_that_it_never_signed_is_missed(old, clock):
    await pruned_journal(old, clock)
    old.close()
    old.store.write(lambda writing: writing.delete(Table.COSIGNED, u64(1420)))
    problem = verify_store(old.store, SIGNER.vkey).problem
    assert (problem.kind, "no checkpoint proves" in problem.what) == ("pruned", True)


async def test_a_changed_hash_above_what_was_pruned_is_missed(old, clock):
    """Nobody has the records below it; the signed root has them all."""
    await pruned_journal(old, clock)
    old.close()
    key = b"p\x01"
    hashes = bytearray(old.store.get(Table.EDGE, key))
    hashes[40] ^= 1
    old.store.write(lambda writing: writing.put(Table.EDGE, key, bytes(hashes)))
    assert verify_store(old.store, SIGNER.vkey).problem is not None


async def test_a_row_that_says_how_far_and_cannot_be_read_is_damage(old):
    old.store.write(lambda writing: writing.put(Table.META, pruned.KEY, b"\xc1"))
    with pytest.raises(JournalDamaged, match="how far the log was pruned"):
        old.store.read(pruned.pruned_state)


@pytest.fixture
async def audit(old, clock, tmp_path):
    """An export of a log that was pruned, and handed over before and after that."""
    keys = [SeedSigner(ORIGIN, bytes([number]) * 32) for number in (8, 9)]
    await pruned_journal(old, clock, days=3.5)
    await rotate(old, keys[0], ANA)
    await pruned_journal(old, clock, days=0)
    await rotate(old, keys[1], ANA)
    old.close()
    made = export_store(old.store, Request(folder=tmp_path / "audit"))
    return tmp_path / "audit", made, keys


async def test_an_export_begins_where_the_log_does_and_says_so(audit):
    folder, made, _ = audit
    assert (made.min_index, made.first, made.end, made.size) == (1024, 1024, 1424, 1424)
    assert not (folder / "tile/0/003").exists()
    assert (folder / "tile/entries/004").exists()


async def test_the_second_verifier_accepts_it(audit):
    folder, _, keys = audit
    for vkey in (SIGNER.vkey, keys[1].vkey):
        code, out = said(sys.executable, folder / "verify_export.py", folder, "--vkey", vkey)
        assert (code, "records 1024 to 1423 are here" in out) == (0, True), out


@pytest.mark.foreign
async def test_so_does_gos(audit):
    go = require(build_verifier)
    folder, _, keys = audit
    assert said(go, folder, keys[1].vkey) == (0, "Verified: records 1024 to 1423 of 1424, 20 proofs\n")
    tile = folder / "tile/1/000.p/5"
    content = bytearray(tile.read_bytes())
    content[40] ^= 1
    tile.write_bytes(bytes(content))
    assert said(go, folder)[0] == 1


async def test_a_changed_hash_above_what_was_pruned_is_missed_in_an_export_too(audit):
    folder, _, _ = audit
    tile = folder / "tile/1/000.p/5"
    content = bytearray(tile.read_bytes())
    content[40] ^= 1
    tile.write_bytes(bytes(content))
    code, out = said(sys.executable, folder / "verify_export.py", folder)
    assert (code, "do not have the root" in out) == (1, True)


async def test_what_was_pruned_cannot_be_exported(old, clock, tmp_path):
    await pruned_journal(old, clock)
    old.close()
    for wanted in ({"first": 300}, {"last": 300}):
        with pytest.raises(RecordPruned):
            export_store(old.store, Request(folder=tmp_path / "audit", **wanted))
    assert export_store(old.store, Request(folder=tmp_path / "audit")).min_index == 1024


# --- power cuts, a full store, much ------------------------------------------------------------------------------------------


class PowerCut(BaseException):
    """Nothing catches it."""


@pytest.mark.parametrize("transactions", [0, 1, 2, 3, 5, 8, 13, 17])
async def test_a_power_cut_at_any_transaction_loses_nothing_that_stays(tmp_path, clock, monkeypatch, transactions):
    monkeypatch.setattr(pruning, "ROWS_AT_ONCE", 20)
    store = open_store(tmp_path / "store")
    journal = open_journal(store, clock)
    await filled(journal, clock)
    await mirrored(journal)
    chosen = await planned(journal, clock, days=0)
    kept = journal.entries(1024, 300)
    left = transactions
    free = journal.free

    async def cut(*arguments) -> None:
        nonlocal left
        if not left:
            raise PowerCut
        left -= 1
        await free(*arguments)

    monkeypatch.setattr(journal, "free", cut)

    async def pruned_until_the_power_fails() -> None:
        await prune(journal, chosen, ANA, wall_ns=clock.wall_ns())
        await sweep(journal, clock)

    with pytest.raises(PowerCut):
        await pruned_until_the_power_fails()
    shutil.copytree(tmp_path / "store", tmp_path / "copy")
    journal.close()
    store.close()

    store = open_store(tmp_path / "copy")
    again = open_journal(store, clock)
    assert again.first == (1024 if transactions else 0)
    assert again.entries(1024, 300) == kept
    assert verify_store(store, SIGNER.vkey).problem is None
    await sweep(again, clock)
    assert is_swept(store)
    assert verify_store(store, SIGNER.vkey).problem is None
    again.close()
    store.close()


async def test_a_full_store_gets_its_room_back(tmp_path, clock):
    """Deleting needs free pages: the reserve has them."""
    store = open_store(tmp_path / "store", 8 << 20)
    journal = open_journal(store, clock)
    number = 0
    try:
        while True:
            records = [decision(number + at) for at in range(1, 251)]
            evidence = [NewRecord(r.body, r.personal, r.evidence) for r in records]
            await journal.commit(evidence)
            store.settle()
            number += 250
    except StoreError:
        pass
    assert not journal.healthy
    assert number > 5000
    await mirrored(journal)
    before = store.used_bytes
    await pruned_journal(journal, clock, days=0)
    assert journal.healthy
    assert store.used_bytes < before / 2
    await journal.commit([decision(number + 1000)])
    journal.close()
    assert verify_store(store, SIGNER.vkey).problem is None
    store.close()


@pytest.mark.slow
async def test_a_log_with_a_second_level_of_tiles_keeps_what_its_proofs_need(tmp_path, clock):
    """The first tile of the second level covers pruned records alone; the second, full, lies on both sides of the edge."""
    store = open_store(tmp_path / "store", 64 << 20)
    journal = open_journal(store, clock)
    while journal.size < 66_000:
        await journal.commit([gap(1)] * 1000)
        store.settle()
    await mirrored(journal)
    while journal.size < 2 * 65_536 + 600:
        await journal.commit([gap(1)] * 1000)
        store.settle()
    sizes = [65_792, 65_793, 66_000, 131_072, journal.size]
    roots = {size: journal.root(size) for size in sizes}
    await pruned_journal(journal, clock, days=0)
    assert journal.first == 65_792
    assert store.get(Table.TILE, b"\x01" + u64(0)) is None
    assert store.get(Table.TILE, b"\x01" + u64(1)) is not None
    for size in sizes:
        assert journal.root(size) == roots[size]
        path = journal.prove_consistency(size, sizes[-1])
        assert verify_consistency(size, sizes[-1], path, roots[size], roots[sizes[-1]])
    journal.close()
    assert verify_store(store, SIGNER.vkey).problem is None
    made = export_store(store, Request(folder=tmp_path / "audit"))
    assert made.min_index == journal.first
    assert said(sys.executable, tmp_path / "audit/verify_export.py", tmp_path / "audit")[0] == 0
    assert said(require(build_verifier), tmp_path / "audit")[0] == 0
    store.close()
