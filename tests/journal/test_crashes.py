"""Append, save, settle, sign, crash and start again in any order: what was acknowledged is there."""

from __future__ import annotations

import asyncio
import shutil
import tempfile
from pathlib import Path

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from gatewayd.journal.audit.verify import verify_store
from gatewayd.proof.note import VerifierKey, open_checkpoint
from tests.clock import ManualClock
from tests.journal.samples import SIGNER, command, decision, open_journal, open_store, outcome

KEY = VerifierKey.parse(SIGNER.vkey)


class JournalThroughCrashes(RuleBasedStateMachine):
    """A crash takes the files as they are at that moment; nobody closes anything."""

    @initialize()
    def begin(self) -> None:
        self.folder = tempfile.TemporaryDirectory()
        self.lives = 0
        self.clock = ManualClock()
        self.entries: list[bytes] = []
        self.saves: dict[str, bytes] = {}
        self.doubt: set[int] = set()
        self.decided = 0
        self.published: list[tuple[int, bytes]] = []
        self.start()
        self.entries = self.journal.entries(0, 1)

    @property
    def path(self) -> Path:
        return Path(self.folder.name) / f"life-{self.lives}"

    def start(self) -> None:
        self.store = open_store(self.path)
        self.journal = open_journal(self.store, self.clock)

    @rule(count=st.integers(1, 60), acts=st.booleans(), value=st.binary(min_size=1, max_size=8))
    def append(self, count: int, acts: bool, value: bytes) -> None:
        ids = range(self.decided + 1, self.decided + 1 + count)
        intents = [command(number) for number in ids if acts]
        records = [decision(number) for number in ids]
        seqs = asyncio.run(self.journal.commit(records, saves={"state": value}, intents=intents))
        self.decided, self.saves["state"] = ids[-1], value
        self.doubt |= {intent.decision_id for intent in intents}
        self.entries += self.journal.entries(seqs[0], len(seqs))

    @precondition(lambda self: self.doubt)
    @rule()
    def resolve(self) -> None:
        number = min(self.doubt)
        (seq,) = asyncio.run(self.journal.commit([outcome(number)], resolves=[number]))
        self.doubt.remove(number)
        self.entries += self.journal.entries(seq, 1)

    @rule()
    def settle(self) -> None:
        self.store.settle()
        assert self.store.rows_ahead == 0

    @rule()
    def publish(self) -> None:
        checkpoint = open_checkpoint(self.journal.checkpoint(), KEY)
        self.published.append((checkpoint.size, checkpoint.root))

    @rule()
    def crash(self) -> None:
        before = self.path
        self.lives += 1
        shutil.copytree(before, self.path)
        self.end()
        self.start()
        assert not self.store.was_clean

    @rule()
    def stop(self) -> None:
        self.end()
        self.start()
        assert self.store.was_clean

    @invariant()
    def has_all_that_was_acknowledged(self) -> None:
        first = max(0, len(self.entries) - 100)
        assert self.journal.size == len(self.entries)
        assert self.journal.entries(first, 100) == self.entries[first:]
        assert self.journal.last_decision_id() == self.decided
        assert self.journal.saves() == self.saves
        assert {intent.decision_id for intent in self.journal.in_doubt()} == self.doubt
        for size, root in self.published:
            assert self.journal.root(size) == root

    def end(self) -> None:
        self.journal.close()
        self.store.close()

    def teardown(self) -> None:
        if hasattr(self, "journal"):
            assert verify_store(self.store, SIGNER.vkey).problem is None
            self.end()
            self.folder.cleanup()


JournalThroughCrashes.TestCase.settings = settings(
    max_examples=8, stateful_step_count=14, deadline=None, suppress_health_check=list(HealthCheck)
)
TestJournalThroughCrashes = JournalThroughCrashes.TestCase
