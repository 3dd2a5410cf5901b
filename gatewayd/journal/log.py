"""The provenance log: records in, durable; records out, checked.

Leaf, tree, indices, evidence, personal texts, intents and saved state of a commit are one batch, durable together. The
store writes a batch ahead with one fsync, and its tables take over many at once, here after a second or two. A
checkpoint is signed only over leaves that are durable and is stored with a later batch: losing it loses nothing, because
the same root is signed again at the next start.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import Literal

import msgspec

from gatewayd.clock import Clock
from gatewayd.errors import StoreError, StoreFull
from gatewayd.journal import blob, tail
from gatewayd.journal.batch import Extra, Item, apply_items, writes_of
from gatewayd.journal.care import rotation
from gatewayd.journal.care.chain import Chain, Handover, stored_chain
from gatewayd.journal.care.pruned import pruned_state
from gatewayd.journal.group import GroupCommit
from gatewayd.journal.leaf import Stamp, draft
from gatewayd.journal.owner import Identity as Identity
from gatewayd.journal.owner import check_owner, genesis_of, owner_rows
from gatewayd.journal.records import Records
from gatewayd.journal.reserve import Reserve
from gatewayd.journal.tiles import index
from gatewayd.journal.tiles.bundle import Bundler
from gatewayd.journal.tiles.scan import compiled_scan
from gatewayd.model.decision import Command, NewRecord
from gatewayd.model.record import ClockQuality, Kind
from gatewayd.proof.note import Checkpoint, Signer, VerifierKey, sign_checkpoint
from gatewayd.store.env import Store
from gatewayd.store.tables import Table, u64
from gatewayd.store.transaction import Batch, Writes

CommitMode = Literal["auto", "inline", "thread"]

CHECKPOINT_LEAVES = 256
CHECKPOINT_NS = 10_000_000_000
SETTLE_NS = 1_000_000_000  # how often somebody looks whether the tables lag behind what is durable
SETTLE_AFTER_NS = 750_000_000  # then they take over what has been waiting for this long,
SETTLE_WITH_OUTCOME_NS = 500_000_000  # or before, with an outcome: the next decision is farthest away then
AHEAD_EXTRA_BYTES_MAX = 65_536  # larger rows of others, such as sealed blocks, are not written twice
INLINE_FSYNC_NS_MAX = 2_000_000
MEASURED_COMMITS = 10
MEASURE_NS_MAX = 100_000_000


class Journal(Records):
    """The log of one gateway and epoch. Use `open`; one per store."""

    def __init__(self, store: Store, signer: Signer, clock: Clock, identity: Identity) -> None:
        super().__init__(store)
        self._signer = signer
        self._clock = clock
        self._identity = identity
        self._chain = Chain.of(VerifierKey.parse(signer.vkey))
        self._note = ""
        self._noted_size = 0  # leaves under the newest signed checkpoint
        self._noted_at_ns = 0
        self._note_is_stored = True
        self._is_sign_wanted = False
        self._may_sign = True
        self._is_signing_held = False
        self._checkpoint_sizes: deque[int] = deque()
        self._generation = store.generation
        self._settled_at_ns = 0
        self._failure: StoreError | None = None
        self._commit_ns: deque[int] = deque(maxlen=256)
        self._decided_cycles: deque[int] = deque(maxlen=4096)
        self._written_in: dict[bytes, int] = {}  # term of a point -> cycle of its last write
        self._bundler = Bundler(compiled_scan)
        self._group: GroupCommit[Item, tuple[int, ...]] = GroupCommit(self._commit_batch, threaded=False)
        self.commit_mode: Literal["inline", "thread"] = "inline"

    @classmethod
    def open(
        cls,
        store: Store,
        signer: Signer,
        clock: Clock,
        identity: Identity,
        *,
        commit: CommitMode = "auto",
        next_signer: Signer | None = None,
    ) -> Journal:
        """Open the store's journal, or begin it with a genesis record.

        Args:
            store: open for writing; stays the caller's to close.
            signer: holds the log's key; its name is the identity's origin.
            clock: for the records' times and the checkpoint interval.
            identity: whose log it is.
            commit: where transactions run; `auto` measures the disk.
            next_signer: holds a key that the log is about to be handed over to, or was just before the last run ended.

        Raises:
            JournalDamaged: the newest records, the tree and the last checkpoint do not agree.
            StoreError: the log is another gateway's or of another key, or the disk refuses.
        """
        journal = cls(store, rotation.signer_in_force(store, signer, next_signer), clock, identity)
        check_owner(store, identity.origin, journal.signer.vkey)
        store.rearrange = journal._bundler
        journal._load()
        if not journal.size:
            genesis = draft(NewRecord(genesis_of(identity, signer.vkey)))
            journal._commit_one(Item(drafts=(genesis,), extra=owner_rows(identity.origin, signer.vkey)))
        journal._finish_rotation(next_signer)
        journal._commit_one(Item(wants_checkpoint=True))
        journal._choose_mode(commit)
        return journal

    # --- writing ------------------------------------------------------------------------------------------------------

    async def commit(
        self,
        records: Sequence[NewRecord],
        *,
        saves: Mapping[str, bytes] | None = None,
        intents: Sequence[Command] = (),
        resolves: Sequence[int] = (),
        at_once: bool = False,
    ) -> tuple[int, ...]:
        """Make records and state durable in one transaction, shared with whoever else is waiting.

        Args:
            records: in order; their evidence and personal texts come with them.
            saves: key -> bytes that must survive a restart; empty bytes delete the key.
            intents: writes about to be sent, each with its decision among `records`; committed at once.
            resolves: decision ids whose write is no longer in doubt.
            at_once: do not wait for others who commit in the same turn of the loop; so it is with intents.

        Returns:
            The records' sequence numbers. Everything is durable, and only now may an intent be acted on.

        Raises:
            StoreFull: no room; nothing was written, may pass.
            StoreError: not durable. After a disk error every commit raises until `reopen`.
        """
        if not records and not saves and not intents and not resolves:
            return ()
        drafts = tuple(draft(record) for record in records)
        decided = {draft.decision_id for draft in drafts if draft.kind == Kind.DECISION}
        assert all(intent.decision_id in decided for intent in intents), "an intent without its decision"
        item = Item(drafts, dict(saves or {}), tuple(intents), tuple(resolves))
        return await self._group.submit(item, at_once=at_once or bool(intents))

    async def commit_with(self, records: Sequence[NewRecord], extra: Extra) -> tuple[int, ...]:
        """Commit records and let `extra` write rows of its own in the same transaction, given their sequence numbers.

        Args:
            records: may be empty.
            extra: gets the batch to write into, maybe in the writer thread; must be quick and must not keep it.
        """
        return await self._group.submit(Item(tuple(draft(record) for record in records), extra=extra), at_once=False)

    async def free(self, delete: Callable[[Writes], None], records: Sequence[NewRecord] = ()) -> None:
        """Let `delete` remove a few rows (about ten: each needs free pages), also when the store is full.

        Args:
            delete: gets the batch to write into.
            records: of the kinds that are written even then; they say what was removed.
        """
        drafts = tuple(draft(record) for record in records)
        item = Item(drafts, extra=lambda writing, _: delete(writing), gives_room=True)
        await self._group.submit(item, at_once=False)

    async def enlarge(self, quota_bytes: int) -> None:
        """Let the store go on under a larger quota, between two commits.

        Raises:
            StoreError: it cannot be opened so; every commit raises until `reopen`.
        """
        await self._group.submit(Item(quota_bytes=quota_bytes), at_once=False)

    async def put_blob(self, content: bytes) -> bytes:
        """Store bytes, compressed, under their SHA-256 and return it.

        Raises:
            StoreError: too large, or not durable.
        """
        digest, packed = blob.pack(content)
        if self._store.get(Table.BLOB, digest) != packed:
            await self.commit_with((), lambda writing, _: writing.put(Table.BLOB, digest, packed))
        return digest

    async def run(self) -> None:
        """In quiet times, too: settle what was written ahead, keep a signed checkpoint; for as long as the task lives."""
        while True:
            await self._clock.sleep_until(self._clock.monotonic_ns() + SETTLE_NS)
            is_unsigned = (self._may_sign and self._noted_size != self.size) or not self._note_is_stored
            waited_ns = self._clock.monotonic_ns() - self._noted_at_ns
            wants_checkpoint = is_unsigned and waited_ns >= CHECKPOINT_NS
            if not wants_checkpoint and not self._lags_since(SETTLE_AFTER_NS):
                continue
            try:
                item = Item(wants_checkpoint=wants_checkpoint, wants_settled=True)
                await self._group.submit(item, at_once=False)
            except StoreError:
                continue  # `healthy` says so, and whoever commits next is told

    async def reopen(self) -> None:
        """Open the store again after a failure and recover the journal from it.

        Raises:
            StoreError: as `Store.open` and `Journal.open`.
        """
        await asyncio.to_thread(self._store.reopen)  # checks the whole file
        self._load()

    def close(self) -> None:
        """Finish the transaction under way and store a last checkpoint. The store stays open."""
        self._group.close()
        if self._store.failure is None and self._failure is None:
            try:
                self._commit_one(Item(wants_checkpoint=True))
            except StoreFull:
                return  # the same checkpoint is signed again at the next start

    def _commit_one(self, item: Item) -> tuple[int, ...]:
        (result,) = self._commit_batch([item])
        if isinstance(result, Exception):
            raise result
        return result

    def _commit_batch(self, items: Sequence[Item]) -> Sequence[tuple[int, ...] | Exception]:
        """Commit what there is room for. Runs in the writer thread if there is one; never twice at a time."""
        if self._failure is not None:
            raise StoreError(self._failure.message, remedy=self._failure.remedy)
        if larger := max((item.quota_bytes for item in items), default=0):
            self._store.enlarge(larger)
        if self._generation != self._store.generation:
            self._load_again()
        least = self._least_reserve()
        is_full = least is not Reserve.NONE
        accepted = [item for item in items if item.reserve >= least]
        began_ns = self._clock.monotonic_ns()
        try:
            results = iter(self._write(accepted, use_reserve=is_full)) if accepted else iter(())
        except StoreFull:
            raise  # nothing was written; there may be room later
        except StoreError as error:
            self._failure = error
            raise
        self._commit_ns.append(self._clock.monotonic_ns() - began_ns)
        return [next(results) if item.reserve >= least else self._full() for item in items]

    def _least_reserve(self) -> Reserve:
        """Return what a record must be allowed to be written now."""
        if not self._store.is_full:
            return Reserve.NONE
        return Reserve.LAST_WORDS if self._store.is_exhausted else Reserve.PEOPLE

    def _full(self) -> StoreFull:
        return StoreFull(
            f"the journal is full ({self._store.fill():.0%} of its quota)",
            remedy="Raise storage.quota_mb or free disk space; automatic writes stay off until there is room.",
        )

    def _write(self, items: Sequence[Item], *, use_reserve: bool) -> list[tuple[int, ...]]:
        """Run the transaction, then move the tree on and sign it."""
        stamp = self._stamp()
        is_urgent = any(item.intents for item in items)
        if (self._is_sign_wanted and not is_urgent) or any(item.wants_checkpoint for item in items):
            self._sign()
        stored_size, batch = self._noted_size, Batch()
        if not self._note_is_stored:
            tail.store_checkpoint(batch, stored_size, self._note, self._superseded_checkpoint())
        grown, seqs = apply_items(batch, items, self._tree, stamp)
        if any(item.wants_settled or item.gives_room for item in items) or _is_bulky(batch, items):
            self._store.write(batch.apply, use_reserve=use_reserve)
            self._settled_at_ns = self._clock.monotonic_ns()
        elif batch.changes:
            self._store.write_ahead(batch, use_reserve=True)  # what may be written was chosen by who called
        if not self._note_is_stored:
            self._remember_stored_checkpoint(stored_size)
        self._tree = grown
        decided = [draft.cycle for item in items for draft in item.drafts if draft.kind == Kind.DECISION]
        self._decided_cycles.extend(decided)
        self._written_in.update(writes_of(items))
        if decided or self._is_checkpoint_due():
            self._want_signature()
        if not is_urgent and any(item.resolves for item in items) and self._lags_since(SETTLE_WITH_OUTCOME_NS):
            self._settle()
        return seqs

    def _settle(self) -> None:
        """Let the tables take over. What they have no room for is durable all the same, and stays ahead of them."""
        self._settled_at_ns = self._clock.monotonic_ns()
        with suppress(StoreFull):
            self._store.settle()

    def _lags_since(self, duration_ns: int) -> bool:
        return self._store.rows_ahead > 0 and self._clock.monotonic_ns() - self._settled_at_ns >= duration_ns

    def _stamp(self) -> Stamp:
        identity = self._identity
        return Stamp(self._clock.wall_ns(), self._clock.monotonic_ns(), identity.boot_id, identity.clock_quality)

    # --- checkpoints --------------------------------------------------------------------------------------------------

    def _is_checkpoint_due(self) -> bool:
        unsigned = self.size - self._noted_size
        waited_ns = self._clock.monotonic_ns() - self._noted_at_ns
        return unsigned >= CHECKPOINT_LEAVES or (unsigned > 0 and waited_ns >= CHECKPOINT_NS)

    def _want_signature(self) -> None:
        """Sign what has just become durable: at once in the writer thread, else when somebody looks or commits an outcome.

        On the loop a signature would stand between a decision and its write.
        """
        if self.commit_mode == "thread":
            self._sign()
        else:
            self._is_sign_wanted = True

    def _sign(self) -> None:
        """Sign the tree as it is, all of it durable."""
        self._is_sign_wanted = False
        if self._noted_size == self.size or not self.size or self._is_signing_held or not self._may_sign:
            return
        checkpoint = Checkpoint(self._identity.origin, self.size, self._tree.root())
        self._note = sign_checkpoint(checkpoint, self._signer)
        self._noted_size = self.size
        self._noted_at_ns = self._clock.monotonic_ns()
        self._note_is_stored = False

    def _superseded_checkpoint(self) -> int | None:
        """Return the stored checkpoint that a new one pushes out, unless it is the last one of its span."""
        sizes = self._checkpoint_sizes
        if len(sizes) < tail.CHECKPOINTS_KEPT:
            return None
        oldest, following = sizes[0], sizes[1]
        return oldest if oldest // tail.CHECKPOINT_SPAN == following // tail.CHECKPOINT_SPAN else None

    def _remember_stored_checkpoint(self, size: int) -> None:
        self._note_is_stored = True
        self._checkpoint_sizes.append(size)
        if len(self._checkpoint_sizes) > tail.CHECKPOINTS_KEPT:
            self._checkpoint_sizes.popleft()

    # --- opening ------------------------------------------------------------------------------------------------------

    def _finish_rotation(self, new: Signer | None) -> None:
        """Hand the log over to the key that a record names, if the last run ended in between; before anything is signed."""
        seq = rotation.open_rotation(self._store)
        if seq is not None:
            handover = rotation.made_handover(self, seq, new)
            self._commit_one(Item(extra=rotation.handover_rows(seq + 1, handover), gives_room=True))
            self._signer = new or self._signer
            self._load()

    def _load(self) -> None:
        self._chain = self._store.read(lambda reading: stored_chain(reading, self._chain))
        self.begin_at(self._store.read(pruned_state))
        recovered = self._store.read(lambda reading: tail.recover(reading, self.key_at))
        self._tree = recovered.tree
        self._note = recovered.note
        self._noted_size = recovered.checkpoint_size
        self._noted_at_ns = self._clock.monotonic_ns()
        self._note_is_stored = True
        self._checkpoint_sizes = deque(recovered.checkpoint_sizes)
        self._generation = self._store.generation
        self._failure = None

    def _load_again(self) -> None:
        """Load what the store holds after it was opened anew; a commit that failed may still have come through."""
        try:
            self._load()
        except StoreError as error:
            self._failure = error
            raise

    def _choose_mode(self, wanted: CommitMode) -> None:
        is_slow = wanted == "auto" and self._measured_commit_ns() > INLINE_FSYNC_NS_MAX
        self.commit_mode = "thread" if wanted == "thread" or is_slow else "inline"
        self._group = GroupCommit(self._commit_batch, threaded=self.commit_mode == "thread")

    def _measured_commit_ns(self) -> int:
        """Return the median duration of a few small commits."""
        durations: list[int] = []
        began_ns = self._clock.monotonic_ns()
        while len(durations) < MEASURED_COMMITS:
            start_ns = self._clock.monotonic_ns()
            batch = Batch()
            batch.put(Table.META, b"measure", u64(len(durations)))
            self._store.write_ahead(batch, use_reserve=True)
            durations.append(self._clock.monotonic_ns() - start_ns)
            if len(durations) >= 3 and self._clock.monotonic_ns() - began_ns > MEASURE_NS_MAX:
                break
        return sorted(durations)[len(durations) // 2]

    # --- state --------------------------------------------------------------------------------------------------------

    def checkpoint(self) -> str:
        """Return the newest signed checkpoint; everything under it is durable."""
        if self._is_sign_wanted:
            self._sign()
        return self._note

    def stop_signing(self) -> None:
        """Sign nothing more in this run: whatever is signed from now on would be a fork."""
        self._may_sign = False

    def key_at(self, size: int) -> VerifierKey:
        """Return the key that a checkpoint of so many records must be signed with."""
        return self._chain.at(size)

    @property
    def signer(self) -> Signer:
        """Return who holds the key in force."""
        return self._signer

    def sign_with(self, signer: Signer, size: int, handover: Handover) -> None:
        """Go on with the key that the log has just been handed over to, from `size` on."""
        self._chain = self._chain.grown(size, handover)
        self._signer = signer
        self._is_signing_held = False
        self._is_sign_wanted = True

    def hold_signing(self) -> None:
        """Sign nothing until `sign_with`: the next key is not settled."""
        self._is_signing_held = True

    def resume_signing(self) -> None:
        """Go on with the key that was in force: nothing came of the next one."""
        self._is_signing_held = False

    @property
    def origin(self) -> str:
        """Return the log's name."""
        return self._identity.origin

    @property
    def epoch(self) -> int:
        """Return which log of this gateway it is, from 1."""
        return self._identity.epoch

    @property
    def checkpoint_wall_ns(self) -> int:
        """Return about when the newest checkpoint was signed, 0 = there is none."""
        if not self._note:
            return 0
        return self._clock.wall_ns() - (self._clock.monotonic_ns() - self._noted_at_ns)

    @property
    def problem(self) -> str:
        """Return why nothing can be committed, empty = it can."""
        failure = self._failure or self._store.failure
        return failure.message if failure is not None else ""

    @property
    def healthy(self) -> bool:
        """Say whether a decision could be committed now; while False no automatic write may happen."""
        if self._failure is not None or self._store.failure is not None:
            return False
        return not self._store.is_full

    @property
    def store(self) -> Store:
        """Return the store, for readers of other tables."""
        return self._store

    def set_clock_quality(self, quality: ClockQuality) -> None:
        """Say how far wall time can be believed from now on."""
        self._identity = msgspec.structs.replace(self._identity, clock_quality=quality)

    def commit_durations_ns(self) -> list[int]:
        """Return the durations of the newest commits, at most 256, oldest first."""
        return list(self._commit_ns)

    def decided_in(self, first_cycle: int, last_cycle: int) -> bool:
        """Say whether one of the newest decisions was made in one of these cycles."""
        return any(first_cycle <= cycle <= last_cycle for cycle in self._decided_cycles)

    def written_in(self, point: str) -> int:
        """Return the cycle of the last write to a point that this run journalled, 0 = none."""
        return self._written_in.get(index.point_term(point), 0)


def _is_bulky(batch: Batch, items: Sequence[Item]) -> bool:
    return batch.size > AHEAD_EXTRA_BYTES_MAX and any(item.extra is not None for item in items)
