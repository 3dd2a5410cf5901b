"""A log's whole life in any order: written, cut off, witnessed, pruned, handed over, restored from an old copy.

After each step it verifies, what was acknowledged is there or provably pruned, every kept record can be proved, and every
checkpoint that anybody ever saw is the beginning of what is there.
"""

from __future__ import annotations

import asyncio
import shutil
import tempfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from gatewayd.errors import RequestRefused
from gatewayd.journal.audit.verify import verify_store
from gatewayd.journal.care.chain import Chain, chain_from, first_vkey
from gatewayd.journal.care.pruned import RecordPruned
from gatewayd.journal.care.witness import LogSuperseded
from gatewayd.journal.keys import create_identity
from gatewayd.model.config import Gateway, GatewayFile
from gatewayd.model.config import Journal as JournalConfig
from gatewayd.model.config import Storage as StorageConfig
from gatewayd.model.record import Genesis
from gatewayd.proof.cosignature import Cosigner, Witness
from gatewayd.proof.merkle import leaf_hash, verify_consistency, verify_inclusion
from gatewayd.proof.note import Checkpoint, VerifierKey, open_checkpoint, split_note
from gatewayd.storage import Storage
from tests.clock import ManualClock
from tests.journal.samples import ANA, decision, gap

NAME = "acme.example/gw/site-7/gw-0042"
DAY_NS = 86_400 * 10**9
MIRROR = Cosigner("mirror.example/two", bytes(range(32)))
T_S = 1_750_000_000


class LogThroughItsLife(RuleBasedStateMachine):
    """The witness and mirror outside keeps the largest tree of each epoch that it was shown."""

    @initialize()
    def begin(self) -> None:
        self.root = tempfile.TemporaryDirectory()
        self.lives = 0
        self.clock = ManualClock()
        create_identity(self.folder, NAME, {})
        self.copy: tuple[Path, int, int] | None = None
        self.decided = 0
        self.start()
        self.new_epoch()

    @property
    def folder(self) -> Path:
        return Path(self.root.name) / f"life-{self.lives}"

    def start(self) -> None:
        config = GatewayFile(
            gateway=Gateway(name=NAME),
            storage=StorageConfig(path=str(self.folder), quota_mb=32, commit="inline"),
            journal=JournalConfig(mirrors=(MIRROR.key.text(),)),
        )
        self.storage = Storage.open(config, self.clock)
        self.journal = self.storage.journal

    def new_epoch(self) -> None:
        """Forget what was known of a log that has ended; of the new one its genesis is known."""
        self.hashes = [leaf_hash(self.journal.entries(0, 1)[0])]
        self.seen: list[Checkpoint] = []
        self.first_key = self.journal.signer.vkey
        self.witness = Witness(MIRROR, {self.journal.origin: VerifierKey.parse(self.first_key)})
        self.witnessed = 0
        self.decided = 0

    def learn(self) -> None:
        """Remember the hash of each record that is acknowledged and not known yet."""
        while len(self.hashes) < self.journal.size:
            self.hashes += map(leaf_hash, self.journal.entries(len(self.hashes), 1000))

    def chain(self) -> Chain:
        def read(reading):
            return chain_from(reading, VerifierKey.parse(first_vkey(reading)))

        return self.storage.store.read(read)

    # --- what happens to it -------------------------------------------------------------------------------------------

    @rule(count=st.integers(1, 20), signs=st.booleans())
    def append_decisions(self, count: int, signs: bool) -> None:
        asyncio.run(self.journal.commit([decision(self.decided + at) for at in range(1, count + 1)]))
        self.decided += count
        self.learn()
        if signs:
            self.publish()

    @rule(tiles=st.integers(1, 4), shows=st.booleans())
    def append_much_in_some_days(self, tiles: int, shows: bool) -> None:
        for _ in range(tiles):
            asyncio.run(self.journal.commit([gap(1)] * 256))
            asyncio.run(self.clock.advance(DAY_NS))
        self.storage.store.settle()
        self.learn()
        if shows:
            self.have_it_cosigned()

    def publish(self) -> None:
        note = self.journal.checkpoint()
        size = Checkpoint.parse(split_note(note)[0]).size
        self.seen.append(open_checkpoint(note, self.chain().at(size)))

    @rule()
    def have_it_cosigned(self) -> None:
        """The gateway shows what it signed, proves that it grew, and keeps what comes back."""
        note = self.journal.checkpoint()
        size = Checkpoint.parse(split_note(note)[0]).size
        if size < self.witnessed or 0 < self.witnessed < self.journal.first:
            return
        self.witness.trust(self.chain().at(size))
        proof = self.journal.prove_consistency(self.witnessed, size)
        answer = self.witness.add_checkpoint(self.witnessed, proof, note, time_s=T_S)
        assert answer.status == 200
        self.witnessed = size
        self.cosigned = note + answer.line
        asyncio.run(self.storage.care.cosign(self.cosigned))
        self.seen.append(Checkpoint.parse(split_note(note)[0]))

    @rule(days=st.integers(1, 3))
    def prune(self, days: int) -> None:
        before = self.journal.first
        try:
            asyncio.run(self.storage.care.prune(self.clock.wall_ns() - days * DAY_NS, ANA))
        except RequestRefused:
            assert not self.witnessed
        assert before <= self.journal.first <= self.witnessed
        self.learn()

    @rule()
    def rotate(self) -> None:
        before = self.journal.signer.vkey
        rotated = asyncio.run(self.storage.care.rotate_key(ANA))
        assert self.journal.signer.vkey == rotated.vkey != before
        self.learn()

    @rule()
    def crash(self) -> None:
        """The files as they are at this moment; nobody closes anything."""
        before = self.folder
        self.lives += 1
        shutil.copytree(before, self.folder)
        self.storage.close()
        shutil.rmtree(before)
        self.start()

    @rule()
    def stop(self) -> None:
        self.storage.close()
        self.start()

    @rule()
    def copy_the_disk(self) -> None:
        copy = Path(self.root.name) / "copy"
        shutil.rmtree(copy, ignore_errors=True)
        shutil.copytree(self.folder, copy)
        self.copy = (copy, self.storage.epoch, self.journal.size)

    @precondition(lambda self: self.copy and self.copy[1] == self.storage.epoch and self.copy[2] < self.witnessed)
    @rule()
    def restore_the_copy(self) -> None:
        """The witness has seen more than the copy holds: shown that, the log ends, and the next one names it."""
        assert self.copy is not None
        self.storage.close()
        shutil.rmtree(self.folder)
        self.lives += 1
        shutil.move(self.copy[0], self.folder)
        self.copy, origin, epoch = None, self.journal.origin, self.storage.epoch
        self.start()
        with pytest.raises(LogSuperseded):
            asyncio.run(self.storage.care.cosign(self.cosigned))
        self.storage.close()
        self.start()
        body = self.journal.record(0).leaf.body
        assert isinstance(body, Genesis)
        assert (self.storage.epoch, body.previous_origin, body.previous_checkpoint) == (
            epoch + 1,
            origin,
            self.cosigned,
        )
        self.new_epoch()

    # --- what holds all the time ----------------------------------------------------------------------------------------

    @invariant()
    def verifies(self) -> None:
        report = verify_store(self.storage.store, self.first_key)
        assert report.problem is None, report.problem
        assert (report.first, report.size) == (self.journal.first, self.journal.size)
        assert report.keys[-1][1] == self.journal.signer.vkey

    @invariant()
    def has_what_was_acknowledged_or_says_that_it_was_pruned(self) -> None:
        first, size = self.journal.first, self.journal.size
        assert size == len(self.hashes)
        found: list[bytes] = []
        while first + len(found) < size:
            found += map(leaf_hash, self.journal.entries(first + len(found), 1000))
        assert found == self.hashes[first:]
        assert self.journal.last_decision_id() == self.decided
        for seq in {0, first - 1} if first else set():
            with pytest.raises(RecordPruned):
                self.journal.record(seq)

    @invariant()
    def proves_every_record_that_is_here(self) -> None:
        first, size = self.journal.first, self.journal.size
        root = self.journal.root(size)
        step = max(1, (size - first) // 40)
        for seq in {*range(first, size, step), size - 1}:
            assert verify_inclusion(self.hashes[seq], seq, size, self.journal.prove_inclusion(seq, size), root)

    @invariant()
    def grew_out_of_every_checkpoint_that_anybody_saw(self) -> None:
        first, size = self.journal.first, self.journal.size
        root = self.journal.root(size)
        for checkpoint in [seen for seen in self.seen[-20:] if seen.size >= first]:
            assert self.journal.root(checkpoint.size) == checkpoint.root
            path = self.journal.prove_consistency(checkpoint.size, size)
            assert verify_consistency(checkpoint.size, size, path, checkpoint.root, root)

    def teardown(self) -> None:
        if hasattr(self, "storage"):
            self.storage.close()
            self.root.cleanup()


LogThroughItsLife.TestCase.settings = settings(
    max_examples=8, stateful_step_count=20, deadline=None, suppress_health_check=list(HealthCheck)
)
TestLogThroughItsLife = LogThroughItsLife.TestCase
