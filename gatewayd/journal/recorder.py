"""The flight recorder: the raw inputs of every cycle, in compressed blocks under a byte quota.

A sealed block and the record that cites its SHA-256 are one transaction. When the quota is used up, blocks in whose
cycles nothing was decided go first, then the oldest. Beside some blocks, and with them, a snapshot of the core before their
first cycle is kept, so that they can be replayed: see `gatewayd.journal.states`.
"""

from __future__ import annotations

import asyncio
from collections import deque
from contextlib import suppress
from hashlib import sha256

import msgspec
import zstandard
from msgspec import Struct

from gatewayd.clock import Clock
from gatewayd.core.snapshot import Captured
from gatewayd.errors import JournalDamaged, StoreError
from gatewayd.journal.log import Journal
from gatewayd.journal.states import Camera, PackedState, StatePolicy, pack_state
from gatewayd.model.decision import Inputs, NewRecord, without_texts
from gatewayd.model.record import BlockSealed
from gatewayd.store.tables import Table, from_u64, u64
from gatewayd.store.transaction import SCAN_ROWS_MAX, Reading, Rows, Writes

BLOCK_BYTES_MAX = 2 << 20  # of inputs, before compression
PLAIN_BYTES_MAX = 32 << 20  # one cycle may be larger than a block should be, no more than this
CYCLES_MAX = 65_536  # per block
WAITING_BLOCKS_MAX = 4
COMPRESSION_LEVEL = 3
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


class _Plain(Struct, frozen=True, array_like=True):
    """A block before compression: `Inputs` of consecutive cycles, each as its own msgpack."""

    version: int
    cycles: list[msgspec.Raw]


_entry_decoder = msgspec.msgpack.Decoder(BlockEntry)
_plain_decoder = msgspec.msgpack.Decoder(_Plain)


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
        blocks_expired: blocks deleted for the quota.
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
            self._waiting.popleft()
            self.blocks_dropped += 1
            self._states.lose()
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
                    self.blocks_dropped += 1
                    self._states.lose()
                    await self._expire_for_room()
                if self._waiting and self._waiting[0] is block:
                    self._waiting.popleft()
            self._has_waiting.clear()

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
        content, digest = await asyncio.to_thread(_pack, block.cycles)
        is_cited = self._journal.decided_in(block.first_cycle, block.last_cycle)
        packed = await self._pack_state(block.before)
        state = self._states.choose(packed, is_cited=is_cited, is_first=block.before.is_first)
        size = len(content) + len(state.content)
        entry = BlockEntry(block.last_cycle, digest, size, is_cited, state.digest)
        expired = self._chosen_to_expire(size)
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

    def _chosen_to_expire(self, incoming_bytes: int) -> dict[bytes, BlockEntry]:
        """Choose blocks that must go so that `incoming_bytes` more fit: uncited before cited, oldest first."""
        excess = self.kept_bytes + incoming_bytes - self._quota_bytes
        if excess <= 0:
            return {}
        by_age = sorted(self._index, key=lambda key: (self._index[key].is_cited, key[8:]))
        chosen: dict[bytes, BlockEntry] = {}
        for key in by_age[:EXPIRED_PER_SEAL]:
            if excess <= 0:
                break
            chosen[key] = self._index[key]
            excess -= chosen[key].size
        return chosen

    async def _expire_for_room(self) -> None:
        """Give pages back to a store without room."""
        keys = sorted(self._index, key=lambda key: (self._index[key].is_cited, key[8:]))[:EXPIRED_PER_SEAL]
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
        with suppress(msgspec.MsgspecError):
            entries[key] = _entry_decoder.decode(value)
    return entries


def _stored_block(reading: Reading, cycle: int) -> tuple[bytes, bytes] | None:
    """Return digest and bytes of the newest block that holds a cycle."""
    rows = reading.scan_back(Table.BLOCK_INDEX, below=u64(cycle + 1), limit=LOOKED_BACK)
    found = [(key, entry) for key, entry in _readable(rows).items() if entry.last_cycle >= cycle]
    if not found:
        return None
    _, entry = max(found, key=lambda pair: from_u64(pair[0][8:]))
    content = reading.get(Table.BLOCK, entry.digest)
    return None if content is None else (entry.digest, content)


def _pack(cycles: list[bytes]) -> tuple[bytes, bytes]:
    """Return a block's stored bytes and their SHA-256."""
    plain = _encoder.encode(_Plain(1, [msgspec.Raw(encoded) for encoded in cycles]))
    content = zstandard.ZstdCompressor(level=COMPRESSION_LEVEL).compress(plain)
    return content, sha256(content).digest()


def unpack(content: bytes, digest: bytes) -> list[msgspec.Raw]:
    """Return the cycles of a block's stored bytes.

    Raises:
        JournalDamaged: they do not have the hash `digest`, would expand beyond every bound, or are malformed.
    """
    if sha256(content).digest() != digest:
        raise _damaged(digest, "it does not have the hash that the journal cites")
    try:
        claimed = zstandard.frame_content_size(content)
        if not 0 <= claimed <= PLAIN_BYTES_MAX:
            raise _damaged(digest, f"it claims to hold {claimed} bytes")
        plain = zstandard.ZstdDecompressor(max_window_size=PLAIN_BYTES_MAX).decompress(content)
        return _plain_decoder.decode(plain).cycles
    except (zstandard.ZstdError, msgspec.MsgspecError) as error:
        raise _damaged(digest, str(error)) from error


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


def _damaged(digest: bytes, what: str) -> JournalDamaged:
    return JournalDamaged(
        f"flight-recorder block {digest.hex()[:16]}: {what}",
        remedy="Decisions in its cycles are still explained by their own evidence; they cannot be replayed.",
    )
