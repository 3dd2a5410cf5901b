"""The flight recorder: the raw inputs of every cycle, in compressed blocks under a byte quota.

A sealed block and the record that cites its SHA-256 are one transaction. When the quota is used up, blocks in whose
cycles nothing was decided go first, then the oldest; what is open or retained rests on blocks that stay (`pins`). When
only those are left, new blocks are lost, as they are when sealing cannot keep up; the journal says which (`gaps`). Beside
some blocks, and with them, a snapshot of the core before their first cycle is kept, so that they can be replayed: see
`gatewayd.journal.blocks.states`.
"""

from __future__ import annotations

import asyncio
from collections import deque
from contextlib import suppress

import msgspec
from msgspec import Struct

from gatewayd.clock import Clock
from gatewayd.core.snapshot import Captured
from gatewayd.errors import UNDECODABLE, JournalDamaged, StoreError
from gatewayd.journal.blocks.columnar import Packer
from gatewayd.journal.blocks.gaps import NOT_SEALED, PINS_FILL, TOO_SLOW, Gaps, lost_tail
from gatewayd.journal.blocks.pins import Pins
from gatewayd.journal.blocks.states import Camera, PackedState, StatePolicy, pack_state
from gatewayd.journal.blocks.stored_block import CYCLES_MAX, pack
from gatewayd.journal.blocks.stored_block import unpack as unpack
from gatewayd.journal.log import Journal
from gatewayd.model.decision import Inputs, NewRecord, without_texts
from gatewayd.model.record import BlockSealed, Decision, Gap
from gatewayd.store.tables import Table, from_u64, u64
from gatewayd.store.transaction import SCAN_ROWS_MAX, Reading, Rows, Writes

BLOCK_BYTES_MAX = 2 << 20  # of inputs, before compression
WAITING_BLOCKS_MAX = 4
LOOKED_BACK = 16  # blocks with an earlier first cycle; cycle numbers may begin again after a start
EXPIRED_PER_SEAL = 8  # deletions per transaction: each needs free pages of its own

_encoder = msgspec.msgpack.Encoder()
_inputs_decoder = msgspec.msgpack.Decoder(Inputs)


class BlockEntry(Struct, frozen=True, array_like=True):
    """What the index knows of a sealed block."""

    last_cycle: int
    digest: bytes
    size: int  # bytes, compressed, its snapshot included
    is_cited: bool  # something was decided in its cycles
    state: bytes = b""  # SHA-256 of the snapshot of the core before its first cycle; empty = none


class Expired(Struct, frozen=True):
    """Blocks that were given up before their time, and the cycles from the first to the last of them."""

    blocks: int
    size: int  # bytes
    first_cycle: int
    last_cycle: int


_entry_decoder = msgspec.msgpack.Decoder(BlockEntry)


class _Before(Struct):
    """What is known of a block before its first cycle; one object from then on, whoever packs the state in it."""

    state: Captured | PackedState | None = None
    is_first: bool = False  # of a run, or of a site
    records: int = 0  # in the journal


class _Open(Struct):
    """A block that still grows, or waits to be sealed."""

    first_cycle: int
    began_ns: int
    plans_digest: bytes
    before: _Before
    last_cycle: int = 0
    samples: int = 0
    size: int = 0
    cycles: list[bytes] = []


class Recorder:
    """Keeps inputs of cycles. `take` is cheap and never waits; `run` seals.

    Args:
        journal: where block records go.
        clock: for the age of a block.
        quota_bytes: most compressed bytes to keep.
        block_s: seconds of inputs per block, at most.
        samples_per_plan: rows of each read plan, to count samples; may be empty.

    Attributes:
        camera: copies the core's state as it is after the cycle taken last; None = blocks get no snapshots.
        blocks_dropped: blocks lost before they were sealed, because sealing could not keep up or the store was full.
        blocks_expired: blocks deleted for the quota or for their age.
        kept_ns: how long blocks are kept, 0 = for as long as there is room.
        is_full_of_pins: blocks are being lost, because all that are kept must stay.
    """

    def __init__(
        self,
        journal: Journal,
        clock: Clock,
        quota_bytes: int,
        *,
        block_s: float = 60.0,
        samples_per_plan: tuple[int, ...] = (),
        plans_digest: bytes = b"",
    ) -> None:
        self._journal = journal
        self._clock = clock
        self._quota_bytes = quota_bytes
        self._block_ns = int(block_s * 1e9)
        self._samples_per_plan = samples_per_plan
        self._plans_digest = plans_digest
        self._open: _Open | None = None
        self._waiting: deque[_Open] = deque()
        self._has_waiting = asyncio.Event()
        self._sealing = asyncio.Lock()
        self._packer = Packer()
        self._pins = Pins(journal)
        self._gaps = Gaps()
        self.is_full_of_pins = False
        self.kept_ns = 0
        self.camera: Camera | None = None
        self._next = _Before()
        self._states = StatePolicy(quota_bytes)
        self.blocks_dropped = 0
        self.blocks_expired = 0
        self.kept_bytes, self._index = journal.store.read(_kept)

    def begin(self) -> None:
        """Look at the core before the first cycle of a run, which nothing but a snapshot knows in full."""
        self._look(is_first=True)

    def take(self, inputs: Inputs) -> None:
        """Keep the inputs of one cycle, without names and reasons. Call it once per cycle, before the next one begins."""
        encoded = _encoder.encode(_without_texts(inputs))
        now_ns = self._clock.monotonic_ns()
        if self._open is not None and not self._fits(self._open, len(encoded), inputs.cycle):
            self._rotate()
        if self._open is None:
            self._open = self._opened(inputs.cycle, now_ns)
        block = self._open
        block.cycles.append(encoded)
        block.last_cycle = inputs.cycle
        block.size += len(encoded)
        block.samples += sum(self._samples_of(read.plan, read.plans) for read in inputs.blocks)
        if self._is_due(block, len(encoded), now_ns):  # now, not with the next cycle: the state is as that will find it
            self._rotate()
            self._look()

    def change_site(self, digest: bytes) -> None:
        """Begin a block of its own for the cycles of another site; its read plans are the same."""
        if self._open is not None:
            self._rotate()
        self._plans_digest = digest
        self._look(is_first=True)

    async def run(self) -> None:
        """Seal blocks as they become due, for as long as the task lives."""
        while True:
            await self._has_waiting.wait()
            await self._seal_waiting()

    async def seal(self) -> None:
        """Seal everything that was taken, as before a stop."""
        await self._seal_waiting()
        if self._open is not None:
            self._rotate()
            await self._seal_waiting()
        self._gaps.end()
        await self._tell_gaps()

    @property
    def sealed_cycle(self) -> int:
        """Return the last cycle of the block that was sealed last, 0 = none is kept."""
        newest = max(self._index, key=lambda key: key[8:], default=None)
        return 0 if newest is None else self._index[newest].last_cycle

    def has(self, cycle: int) -> bool:
        """Say whether a cycle is recorded, sealed or not yet."""
        unsealed = [*self._waiting, *([self._open] if self._open else [])]
        if any(block.first_cycle <= cycle <= block.last_cycle for block in unsealed):
            return True
        return self._journal.store.read(lambda reading: _entry_of(reading, cycle)) is not None

    def lost_tail(self, run: int) -> Gap:
        """Return what an earlier run that did not end in order has lost: the block that was open, and those behind it."""
        newest = self._journal.decisions(1)
        body = newest[0].leaf.body if newest else None
        return lost_tail(run, self.sealed_cycle, body.cycle if isinstance(body, Decision) else 0)

    @property
    def quota_bytes(self) -> int:
        """Return how many bytes of blocks are kept at most."""
        return self._quota_bytes

    async def make_room(self) -> Expired | None:
        """Give up a few blocks for a journal that is nearly full; None if there is none that may go."""
        async with self._sealing:
            before = dict(self._index)
            await self._expire_for_room()
            gone = {key: entry for key, entry in before.items() if key not in self._index}
        if not gone:
            return None
        first = min(from_u64(key) for key in gone)
        last = max(entry.last_cycle for entry in gone.values())
        return Expired(len(gone), sum(entry.size for entry in gone.values()), first, last)

    async def read(self, cycle: int) -> Inputs:
        """Return the recorded inputs of a cycle.

        Raises:
            StoreError: the cycle was never recorded, or its block has expired.
            JournalDamaged: the block is not what was sealed.
        """
        for block in [*self._waiting, *([self._open] if self._open else [])]:
            if block.first_cycle <= cycle <= block.last_cycle:
                return _find(cycle, [msgspec.Raw(encoded) for encoded in block.cycles])
        stored = self._journal.store.read(lambda reading: _stored_block(reading, cycle))
        if stored is None:
            raise _not_recorded(cycle)
        digest, content = stored
        cycles = await asyncio.to_thread(unpack, content, digest)
        return _find(cycle, cycles)

    # --- taking -------------------------------------------------------------------------------------------------------

    def _fits(self, block: _Open, more_bytes: int, cycle: int) -> bool:
        is_big = block.size + more_bytes > BLOCK_BYTES_MAX or len(block.cycles) >= CYCLES_MAX
        return cycle > block.last_cycle and not is_big

    def _is_due(self, block: _Open, more_bytes: int, now_ns: int) -> bool:
        """Say whether a block is old enough, or another cycle of `more_bytes` would not fit."""
        return now_ns - block.began_ns >= self._block_ns or not self._fits(block, more_bytes, block.last_cycle + 1)

    def _opened(self, cycle: int, now_ns: int) -> _Open:
        before, self._next = self._next, _Before()
        return _Open(first_cycle=cycle, began_ns=now_ns, plans_digest=self._plans_digest, before=before)

    def _look(self, *, is_first: bool = False) -> None:
        """Copy the core's state for the block that the next cycle begins; packing it is not for the cycle."""
        if self.camera is not None:
            self._next = _Before(self.camera.look(), is_first, self._journal.size)
            self._has_waiting.set()

    def _rotate(self) -> None:
        assert self._open is not None
        if len(self._waiting) == WAITING_BLOCKS_MAX:
            self._lose(self._waiting.popleft(), TOO_SLOW)
        self._waiting.append(self._open)
        self._open = None
        self._has_waiting.set()

    def _samples_of(self, plan: int, plans: int) -> int:
        return sum(self._samples_per_plan[plan : plan + plans])

    # --- sealing ------------------------------------------------------------------------------------------------------

    async def _seal_waiting(self) -> None:
        async with self._sealing:
            for before in (self._next, self._open.before if self._open else _Before()):
                await self._pack_state(before)
            while self._waiting:
                block = self._waiting[0]
                try:
                    await self._seal_one(block)
                except JournalDamaged:
                    raise
                except StoreError:
                    self._lose(block, NOT_SEALED)
                    await self._expire_for_room()
                if self._waiting and self._waiting[0] is block:
                    self._waiting.popleft()
            self._has_waiting.clear()
            await self._tell_gaps()

    def _lose(self, block: _Open, reason: str) -> None:
        self.blocks_dropped += 1
        self._states.lose()
        self._gaps.lose(block.first_cycle, block.last_cycle, len(block.cycles), reason)

    async def _tell_gaps(self) -> None:
        if gaps := self._gaps.untold():
            try:
                await self._journal.commit([NewRecord(gap) for gap in gaps])
            except StoreError:
                gaps = ()  # they wait for the next block
            self._gaps.tell(gaps)

    async def _pack_state(self, before: _Before) -> PackedState | None:
        """Pack a copied state, which is several times smaller, beside the loop."""
        captured = before.state
        if not isinstance(captured, Captured):
            return captured
        before.state = packed = await asyncio.to_thread(pack_state, captured)
        if self.camera is not None:
            self.camera.take_back(captured)
        return packed

    async def _seal_one(self, block: _Open) -> None:
        content, digest = await asyncio.to_thread(pack, self._packer, block.cycles)
        is_cited = self._journal.decided_in(block.first_cycle, block.last_cycle)
        packed = await self._pack_state(block.before)
        state = self._states.choose(packed, is_cited=is_cited, is_first=block.before.is_first)
        size = len(content) + len(state.content)
        entry = BlockEntry(block.last_cycle, digest, size, is_cited, state.digest)
        expired = self._chosen_to_expire(size)
        self.is_full_of_pins = bool(self._index) and not expired and self._excess(size) > 0
        if self.is_full_of_pins:
            self._lose(block, PINS_FILL)
            return
        record = BlockSealed(
            digest=digest,
            first_cycle=block.first_cycle,
            last_cycle=block.last_cycle,
            samples=block.samples,
            size=len(content),
            plans_digest=block.plans_digest,
            state=state.digest,
            state_size=len(state.content),
            records=block.before.records,
        )

        def store_block(writing: Writes, seqs: tuple[int, ...]) -> None:
            _delete(writing, expired)
            writing.put(Table.BLOCK, digest, content)
            if state.digest:
                writing.put(Table.BLOCK, state.digest, state.content)
            writing.put(Table.BLOCK_INDEX, u64(block.first_cycle) + u64(seqs[0]), _encoder.encode(entry))

        (seq,) = await self._journal.commit_with([NewRecord(record)], store_block)
        self._forget(expired)
        self._index[u64(block.first_cycle) + u64(seq)] = entry
        self.kept_bytes += size
        self._states.sealed(state, size=len(content), is_cited=is_cited)
        self._gaps.end()

    def _excess(self, incoming_bytes: int) -> int:
        return self.kept_bytes + incoming_bytes - self._quota_bytes

    def _chosen_to_expire(self, incoming_bytes: int) -> dict[bytes, BlockEntry]:
        """Choose a few blocks that must go so that `incoming_bytes` more fit, and those that are too old."""
        excess = self._excess(incoming_bytes)
        if excess <= 0 and not self.kept_ns:
            return {}
        may_go = self._may_go()
        chosen = self._too_old(may_go) if self.kept_ns else {}
        excess -= sum(entry.size for entry in chosen.values())
        for key in may_go:
            if excess <= 0 or len(chosen) >= EXPIRED_PER_SEAL:
                break
            if key not in chosen:
                chosen[key] = self._index[key]
                excess -= chosen[key].size
        return chosen

    def _may_go(self) -> list[bytes]:
        """Return the blocks that need not stay: uncited before cited, oldest first."""
        pinned = self._pins.look()
        keys = [
            key
            for key, entry in self._index.items()
            if not pinned.holds(from_u64(key), entry.last_cycle, is_cited=entry.is_cited)
        ]
        return sorted(keys, key=lambda key: (self._index[key].is_cited, key[8:]))

    def _too_old(self, may_go: list[bytes]) -> dict[bytes, BlockEntry]:
        """Return a few of the blocks that were sealed too long ago; a block's record says when."""
        since_ns = self._clock.wall_ns() - self.kept_ns
        chosen: dict[bytes, BlockEntry] = {}
        for key in sorted(may_go, key=lambda key: key[8:])[:EXPIRED_PER_SEAL]:
            with suppress(StoreError):  # of a record that is damaged nobody knows the time
                if self._journal.record(from_u64(key[8:])).leaf.wall_ns > since_ns:
                    break
                chosen[key] = self._index[key]
        return chosen

    async def _expire_for_room(self) -> None:
        """Give pages back to a store without room."""
        keys = self._may_go()[:EXPIRED_PER_SEAL]
        expired = {key: self._index[key] for key in keys if not self._index[key].is_cited}
        if not expired:
            return
        try:
            await self._journal.free(lambda writing: _delete(writing, expired))
        except StoreError:
            return  # the journal says so itself
        self._forget(expired)

    def _forget(self, expired: dict[bytes, BlockEntry]) -> None:
        for key, entry in expired.items():
            del self._index[key]
            self.kept_bytes -= entry.size
            self.blocks_expired += 1


def _without_texts(inputs: Inputs) -> Inputs:
    if not inputs.requests:
        return inputs
    return msgspec.structs.replace(inputs, requests=tuple(without_texts(request) for request in inputs.requests))


def _delete(writing: Writes, expired: dict[bytes, BlockEntry]) -> None:
    for key, entry in expired.items():
        writing.delete(Table.BLOCK_INDEX, key)
        writing.delete(Table.BLOCK, entry.digest)
        if entry.state:
            writing.delete(Table.BLOCK, entry.state)


def _kept(reading: Reading) -> tuple[int, dict[bytes, BlockEntry]]:
    """Return the bytes of all kept blocks and the index."""
    entries = _readable(reading.scan(Table.BLOCK_INDEX, limit=SCAN_ROWS_MAX))
    return sum(entry.size for entry in entries.values()), entries


def _readable(rows: Rows) -> dict[bytes, BlockEntry]:
    """Return the index entries of rows; a damaged row hides its block, `journal verify` names it."""
    entries: dict[bytes, BlockEntry] = {}
    for key, value in rows:
        with suppress(*UNDECODABLE):
            entries[key] = _entry_decoder.decode(value)
    return entries


def _entry_of(reading: Reading, cycle: int) -> BlockEntry | None:
    """Return the newest block that holds a cycle."""
    rows = reading.scan_back(Table.BLOCK_INDEX, below=u64(cycle + 1), limit=LOOKED_BACK)
    found = [(key, entry) for key, entry in _readable(rows).items() if entry.last_cycle >= cycle]
    return max(found, key=lambda pair: from_u64(pair[0][8:]))[1] if found else None


def _stored_block(reading: Reading, cycle: int) -> tuple[bytes, bytes] | None:
    """Return digest and bytes of the newest block that holds a cycle."""
    entry = _entry_of(reading, cycle)
    content = None if entry is None else reading.get(Table.BLOCK, entry.digest)
    return None if entry is None or content is None else (entry.digest, content)


def _find(cycle: int, cycles: list[msgspec.Raw]) -> Inputs:
    for encoded in cycles:
        inputs = _inputs_decoder.decode(encoded)
        if inputs.cycle == cycle:
            return inputs
    raise _not_recorded(cycle)


def _not_recorded(cycle: int) -> StoreError:
    return StoreError(
        f"the inputs of cycle {cycle} are not recorded",
        remedy="They have expired (raise storage.evidence_mb), or power was cut before their block was sealed.",
    )
