"""The provenance log: what it acknowledges, in which order, and what it does when it cannot."""

from __future__ import annotations

import asyncio

import lmdb
import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from gatewayd.errors import JournalDamaged, StoreError, StoreFull
from gatewayd.journal.audit.verify import verify_store
from gatewayd.journal.log import CHECKPOINT_NS, Identity, Journal
from gatewayd.model.decision import NewRecord
from gatewayd.model.record import ClockQuality, Genesis, ModeChanged
from gatewayd.proof.merkle import leaf_hash, verify_consistency, verify_inclusion
from gatewayd.proof.note import SeedSigner, VerifierKey, open_checkpoint
from gatewayd.store.tables import Table, u64
from tests.clock import ManualClock
from tests.journal.samples import (
    EVIDENCE,
    IDENTITY,
    ORIGIN,
    SIGNER,
    command,
    decision,
    gap,
    open_journal,
    open_store,
    outcome,
)

KEY = VerifierKey.parse(SIGNER.vkey)


def signed(journal: Journal):
    return open_checkpoint(journal.checkpoint(), KEY)


def test_an_empty_store_begins_with_a_signed_genesis_record(journal):
    assert journal.size == 1
    leaf = journal.record(0).leaf
    assert leaf.body == Genesis(ORIGIN, 1, SIGNER.vkey)
    assert (leaf.boot_id, leaf.clock_quality) == (IDENTITY.boot_id, ClockQuality.NTP)
    assert signed(journal).size == 1
    assert signed(journal).root == leaf_hash(journal.entries(0, 1)[0])


async def test_a_commit_returns_places_and_everything_is_there_after_reopening(tmp_path, clock):
    store = open_store(tmp_path / "s")
    journal = open_journal(store, clock)
    seqs = await journal.commit([decision(1), gap()], saves={"k": b"v"}, intents=[command(1)])
    assert seqs == (1, 2)
    journal.close()
    store.close()
    store = open_store(tmp_path / "s")
    journal = open_journal(store, clock)
    record = journal.decision(1)
    assert record.seq == 1
    assert record.personal == {"reason_text": "because of 1", "actor_name": "ana"}
    assert record.evidence == EVIDENCE % 1
    assert journal.saves() == {"k": b"v"}
    assert journal.in_doubt() == [command(1)]
    assert journal.size == 3
    store.close()


async def test_an_outcome_ends_the_doubt_in_its_own_transaction(journal):
    await journal.commit([decision(1)], intents=[command(1)])
    await journal.commit([decision(2)], intents=[command(2)])
    await journal.commit([outcome(1)], resolves=[1])
    assert journal.in_doubt() == [command(2)]
    assert [record.leaf.body.result for record in journal.outcomes(1)] == ["verified"]


async def test_an_intent_without_its_decision_is_a_bug_that_is_caught(journal):
    """P-JOURNAL: no write without an earlier durable decision."""
    with pytest.raises(AssertionError, match="intent"):
        await journal.commit([decision(1)], intents=[command(2)])
    assert journal.in_doubt() == []


async def test_saves_are_overwritten_and_empty_ones_deleted(journal):
    await journal.commit([], saves={"a": b"1", "b": b"2"})
    await journal.commit([], saves={"a": b"", "b": b"3", "c": b""})
    assert journal.saves() == {"b": b"3"}
    assert journal.size == 1


async def test_nothing_to_commit_is_no_transaction(journal, store):
    before = store.rows_ahead
    assert await journal.commit([]) == ()
    assert store.rows_ahead == before


async def test_callers_who_wait_together_share_one_transaction(journal, store):
    before = store._redo._number
    seqs = await asyncio.gather(*(journal.commit([gap(n), gap(n)]) for n in range(1, 11)))
    assert seqs == [(2 * n - 1, 2 * n) for n in range(1, 11)]
    assert store._redo._number == before + 1


async def test_an_intent_takes_those_who_wait_with_it_and_does_not_wait_itself(journal, store):
    waiting = asyncio.ensure_future(journal.commit([gap()]))
    await asyncio.sleep(0)  # it has asked, its turn has not come
    acting = journal.commit([decision(1)], intents=[command(1)])
    assert (await acting)[0] in (1, 2)
    assert await waiting in ((1,), (2,))


async def test_a_commit_at_once_gives_nobody_else_a_turn_before_it_is_durable(journal, store):
    frames = store._redo._number
    turns = []
    asyncio.get_running_loop().call_soon(lambda: turns.append(store._redo._number))
    await journal.commit([gap()], at_once=True)
    await asyncio.sleep(0)
    assert turns == [frames + 1]


async def test_in_a_thread_the_loop_runs_while_the_disk_works(tmp_path, clock):
    store = open_store(tmp_path / "s")
    journal = open_journal(store, clock, commit="thread")
    assert journal.commit_mode == "thread"
    turns = 0
    waiting = asyncio.ensure_future(journal.commit([decision(n) for n in range(1, 400)]))
    while not waiting.done():
        await asyncio.sleep(0)
        turns += 1
    assert turns > 3
    assert await waiting == tuple(range(1, 400))
    assert await asyncio.gather(*(journal.commit([gap(n)]) for n in range(1, 50))) == [(399 + n,) for n in range(1, 50)]
    journal.close()
    assert verify_store(store, SIGNER.vkey).problem is None
    store.close()


async def test_a_fast_disk_commits_on_the_loop(store):
    """With a clock that stands still every disk is fast."""
    assert open_journal(store, commit="auto").commit_mode == "inline"


async def test_a_slow_disk_gets_a_thread(store):
    class SlowDisk(ManualClock):
        def monotonic_ns(self) -> int:
            self._monotonic_ns += 3_000_000
            return self._monotonic_ns

    journal = Journal.open(store, SIGNER, SlowDisk(), IDENTITY, commit="auto")
    assert journal.commit_mode == "thread"
    journal.close()


# --- checkpoints ------------------------------------------------------------------------------------------------------


async def test_a_decision_is_signed_at_once_routine_records_later(journal, clock):
    await journal.commit([gap()])
    assert signed(journal).size == 1
    await journal.commit([decision(1)])
    assert signed(journal).size == 3
    await journal.commit([gap(n) for n in range(1, 256)])
    assert signed(journal).size == 3
    await journal.commit([gap()])
    assert signed(journal).size == 259
    await journal.commit([gap()])
    clock._move_to(clock.monotonic_ns() + CHECKPOINT_NS)
    await journal.commit([gap()])
    assert signed(journal).size == journal.size == 261


async def test_in_quiet_times_a_checkpoint_comes_after_ten_seconds(journal, clock, store):
    await journal.commit([gap()])
    task = asyncio.ensure_future(journal.run())
    await clock.advance(CHECKPOINT_NS - 1)
    assert signed(journal).size == 1
    await clock.advance(2)
    assert signed(journal).size == 2
    assert store.get(Table.CHECKPOINT, u64(2)).decode() == journal.checkpoint()
    task.cancel()


async def test_a_checkpoint_lost_with_the_power_is_signed_again_the_same(tmp_path, clock):
    store = open_store(tmp_path / "s")
    journal = open_journal(store, clock)
    await journal.commit([decision(1)])
    published = journal.checkpoint()
    assert store.get(Table.CHECKPOINT, u64(2)) is None  # it goes with the next transaction, which never comes
    store.close()
    store = open_store(tmp_path / "s")
    assert open_journal(store, clock).checkpoint() == published
    assert store.get(Table.CHECKPOINT, u64(2)).decode() == published
    store.close()


async def test_checkpoints_do_not_pile_up(tmp_path, clock, monkeypatch):
    monkeypatch.setattr("gatewayd.journal.tail.CHECKPOINTS_KEPT", 4)
    monkeypatch.setattr("gatewayd.journal.tail.CHECKPOINT_SPAN", 10)
    store = open_store(tmp_path / "s")
    journal = open_journal(store, clock)
    for n in range(1, 36):
        await journal.commit([decision(n)])
    journal.close()
    sizes = [int.from_bytes(key, "big") for key, _ in store.read(lambda r: r.scan(Table.CHECKPOINT, limit=99))]
    assert sizes == [9, 19, 29, 33, 34, 35, 36]
    assert verify_store(store, SIGNER.vkey).checkpoints == len(sizes)
    store.close()


async def test_any_two_sizes_are_provably_one_history(journal):
    """P-PROOF: consistency between all sizes, inclusion of all records."""
    for n in range(1, 40):
        await journal.commit([decision(n)])
    roots = {size: journal.root(size) for size in range(1, 41)}
    for old in range(1, 41, 3):
        for new in range(old, 41, 4):
            assert verify_consistency(old, new, journal.prove_consistency(old, new), roots[old], roots[new])
    for seq, entry in enumerate(journal.entries(0, 40)):
        assert verify_inclusion(leaf_hash(entry), seq, 40, journal.prove_inclusion(seq, 40), roots[40])


# --- failure ----------------------------------------------------------------------------------------------------------


async def test_after_a_disk_error_no_waiter_is_acknowledged_until_reopened(journal, store, monkeypatch):
    await journal.commit([decision(1)])
    write = store.write_ahead

    def broken(batch, **options):
        raise store._fail(lmdb.Error("mdb_txn_commit: Input/output error", 5))

    monkeypatch.setattr(store, "write_ahead", broken)
    results = await asyncio.gather(*(journal.commit([gap()]) for _ in range(3)), return_exceptions=True)
    assert [type(result) for result in results] == [StoreError] * 3
    monkeypatch.setattr(store, "write_ahead", write)
    assert not journal.healthy
    with pytest.raises(StoreError, match="Input/output"):
        await journal.commit([gap()])
    await journal.reopen()
    assert journal.healthy
    assert await journal.commit([gap()]) == (2,)
    assert verify_store(store, SIGNER.vkey).problem is None


async def test_a_commit_that_came_through_although_it_was_refused_is_taken_up(journal, store, monkeypatch):
    """A failed fsync may have reached the disk: the tree is loaded again, not continued from memory."""
    write = store.write_ahead

    def applied_but_failed(batch, **options):
        write(batch, **options)
        raise store._fail(lmdb.Error("mdb_txn_commit: Input/output error", 5))

    monkeypatch.setattr(store, "write_ahead", applied_but_failed)
    with pytest.raises(StoreError):
        await journal.commit([gap()])
    monkeypatch.setattr(store, "write_ahead", write)
    await journal.reopen()
    assert journal.size == 2
    assert await journal.commit([gap()]) == (2,)
    assert verify_store(store, SIGNER.vkey).problem is None


async def test_a_full_journal_takes_no_decisions_but_last_words_and_recovers(tmp_path, clock):
    store = open_store(tmp_path / "s", 2 << 20)
    journal = open_journal(store, clock)
    acked = 0
    while journal.healthy:
        await journal.commit([decision(20 * acked + n) for n in range(1, 21)])
        acked += 1
    with pytest.raises(StoreFull):
        await journal.commit([decision(9998)])
    assert not journal.healthy
    mixed = await asyncio.gather(
        journal.commit([decision(9999)], intents=[command(9999)]),
        journal.commit([NewRecord(ModeChanged("monitor", "journal full")), gap()]),
        return_exceptions=True,
    )
    assert isinstance(mixed[0], StoreFull)
    assert mixed[1] == (20 * acked + 1, 20 * acked + 2)
    assert journal.decision(9999) is None
    assert journal.in_doubt() == []
    assert not journal.healthy

    def delete_some(table: Table, count: int) -> None:
        rows = store.read(lambda reading: reading.scan(table, limit=count))
        store.write(lambda writing: [writing.delete(table, key) for key, _ in rows], use_reserve=True)

    for _ in range(acked):
        delete_some(Table.EVIDENCE, 1)
        delete_some(Table.PERSONAL, 20)  # what takes most of the room here
    assert not store.is_full
    assert journal.healthy
    await journal.commit([decision(9999)], intents=[command(9999)])
    assert verify_store(store, SIGNER.vkey).problem is None
    store.close()


async def test_a_caller_who_gave_up_harms_nobody(journal):
    given_up = asyncio.ensure_future(journal.commit([gap(1)]))
    staying = asyncio.ensure_future(journal.commit([gap(2)]))
    await asyncio.sleep(0)
    given_up.cancel()
    assert await staying in ((1,), (2,))
    assert await journal.commit([gap(3)]) in ((2,), (3,))


# --- whose log it is --------------------------------------------------------------------------------------------------


def test_a_store_of_another_gateway_is_refused(store, clock):
    open_journal(store, clock)
    other = SeedSigner("acme.example/other/e1", bytes(32))
    with pytest.raises(StoreError, match="origin"):
        Journal.open(store, other, clock, Identity("acme.example/other/e1", 1, bytes(16)))
    with pytest.raises(StoreError, match="vkey"):
        Journal.open(store, SeedSigner(ORIGIN, bytes(32)), clock, IDENTITY)
    with pytest.raises(StoreError, match="named"):
        Journal.open(store, other, clock, IDENTITY)


async def test_configuration_bytes_are_kept_by_their_hash(journal, store):
    digest = await journal.put_blob(b"site")
    assert await journal.put_blob(b"site") == digest
    assert journal.get_blob(digest) == b"site"
    assert journal.get_blob(bytes(32)) is None
    store.write(lambda writing: writing.put(Table.BLOB, digest, b"sitf"))
    with pytest.raises(JournalDamaged):
        journal.get_blob(digest)
    with pytest.raises(StoreError, match="too large"):
        await journal.put_blob(bytes((64 << 20) + 1))


async def test_clock_quality_is_that_of_the_moment(journal):
    journal.set_clock_quality(ClockQuality.PTP)
    await journal.commit([gap()])
    assert [journal.record(seq).leaf.clock_quality for seq in (0, 1)] == [ClockQuality.NTP, ClockQuality.PTP]


async def test_decisions_of_recent_cycles_are_known_and_durations_are_kept(journal):
    await journal.commit([decision(1, cycle=100)])
    assert journal.decided_in(90, 100)
    assert not journal.decided_in(101, 110)
    assert len(journal.commit_durations_ns()) >= 2


# --- any order of things ----------------------------------------------------------------------------------------------


class JournalLife(RuleBasedStateMachine):
    """Appending, reopening and proving in any order never contradicts a list of what was acknowledged."""

    @initialize()
    def begin(self) -> None:
        import tempfile
        from pathlib import Path

        self.folder = tempfile.TemporaryDirectory()
        self.path = Path(self.folder.name) / "store"
        self.clock = ManualClock()
        self.roots: dict[int, bytes] = {}
        self.entries: list[bytes] = []
        self.decided = 0
        self.doubt: set[int] = set()
        self.store = open_store(self.path)
        self.open()

    def open(self) -> None:
        self.journal = open_journal(self.store, self.clock)
        self.entries = self.entries or self.journal.entries(0, 1)

    @rule(count=st.integers(1, 300), acts=st.booleans())
    def append(self, count: int, acts: bool) -> None:
        ids = range(self.decided + 1, self.decided + 1 + count)
        intents = [command(ids[-1])] if acts else []
        seqs = asyncio.run(self.journal.commit([decision(n) for n in ids], intents=intents))
        assert seqs == tuple(range(len(self.entries), len(self.entries) + count))
        self.decided += count
        self.doubt |= {intent.decision_id for intent in intents}
        for first in range(seqs[0], seqs[-1] + 1, 1024):
            self.entries += self.journal.entries(first, 1024)
        self.roots[self.journal.size] = self.journal.root(self.journal.size)

    @precondition(lambda self: self.doubt)
    @rule()
    def resolve(self) -> None:
        decision_id = self.doubt.pop()
        (seq,) = asyncio.run(self.journal.commit([outcome(decision_id)], resolves=[decision_id]))
        self.entries += self.journal.entries(seq, 1)

    @rule(clean=st.booleans())
    def reopen(self, clean: bool) -> None:
        if clean:
            self.journal.close()
        self.store.close()
        self.store = open_store(self.path)
        self.open()

    @rule(data=st.data())
    def prove(self, data: st.DataObject) -> None:
        size = len(self.entries)
        seq = data.draw(st.integers(0, size - 1))
        root = self.journal.root(size)
        assert verify_inclusion(leaf_hash(self.entries[seq]), seq, size, self.journal.prove_inclusion(seq, size), root)
        for old, old_root in self.roots.items():
            assert verify_consistency(old, size, self.journal.prove_consistency(old, size), old_root, root)

    @invariant()
    def remembers(self) -> None:
        assert self.journal.size == len(self.entries)
        assert self.journal.last_decision_id() == self.decided
        assert {intent.decision_id for intent in self.journal.in_doubt()} == self.doubt
        first = max(0, len(self.entries) - 300)
        assert self.journal.entries(first, 300) == self.entries[first:]

    def teardown(self) -> None:
        if hasattr(self, "journal"):
            self.journal.close()
            assert verify_store(self.store, SIGNER.vkey).problem is None
            self.store.close()
            self.folder.cleanup()


JournalLife.TestCase.settings = settings(
    max_examples=8, stateful_step_count=12, deadline=None, suppress_health_check=list(HealthCheck)
)
TestJournalLife = JournalLife.TestCase


async def test_the_tables_take_over_with_an_outcome_and_never_with_a_decision(journal, store, clock):
    """After an outcome the next decision is farthest away; it must not meet a transaction of several milliseconds."""
    await journal.commit([decision(1)], intents=[command(1)])
    await journal.commit([outcome(1)], resolves=[1])
    assert store.rows_ahead == 0, "nothing was ever taken over before"
    await clock.advance(400_000_000)
    await journal.commit([decision(2)], intents=[command(2)])
    await journal.commit([outcome(2)], resolves=[2])
    assert store.rows_ahead > 0, "only just"
    await clock.advance(200_000_000)
    await journal.commit([decision(3)], intents=[command(3)])
    assert store.rows_ahead > 0
    await journal.commit([outcome(3)], resolves=[3])
    assert store.rows_ahead == 0
    assert [record.leaf.body.result for record in journal.outcomes(3)] == ["verified"]
    assert journal.in_doubt() == []


async def test_an_outcome_is_durable_although_the_tables_have_no_room(journal, store, monkeypatch):
    def full() -> None:
        raise StoreFull("full", remedy="look")

    monkeypatch.setattr(store, "settle", full)
    await journal.commit([decision(1)], intents=[command(1)])
    await journal.commit([outcome(1)], resolves=[1])
    assert journal.in_doubt() == []
    assert store.rows_ahead > 0
    assert journal.healthy


async def test_the_tables_take_over_within_a_second_when_nobody_commits(journal, store, clock):
    await journal.commit([decision(1)], intents=[command(1)])
    assert store.rows_ahead > 0
    assert journal.decision(1) is not None, "what is durable is read, wherever it lies"
    task = asyncio.ensure_future(journal.run())
    await clock.advance(900_000_000)
    assert store.rows_ahead > 0
    await clock.advance(200_000_000)
    assert store.rows_ahead == 0
    assert [command.decision_id for command in journal.in_doubt()] == [1]
    task.cancel()
