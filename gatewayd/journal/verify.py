"""Verify a journal from its bytes alone: every leaf, the tree, the checkpoints, evidence, texts, intents, indices.

Nothing that the daemon computed is believed; the only trust is in the verifier key that is handed in.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from functools import partial
from hashlib import sha256
from pathlib import Path

import msgspec
from msgspec import Struct

from gatewayd.errors import GatewayError
from gatewayd.journal import index, tail
from gatewayd.journal.bundle import Entries
from gatewayd.journal.guarded import unguard
from gatewayd.journal.leaf import decode_leaf, decode_personal, wrong_personal_field
from gatewayd.journal.recorder import unpack
from gatewayd.model.decision import Command
from gatewayd.model.record import BlockSealed, Decision, Genesis, Leaf, Outcome, kind_of
from gatewayd.proof.merkle import HASH_SIZE, leaf_hash
from gatewayd.proof.note import NoteError, VerifierKey, open_checkpoint
from gatewayd.proof.tiles import TILE_WIDTH, Tree
from gatewayd.store.env import QUOTA_BYTES_MIN, Store
from gatewayd.store.tables import Table, from_u64, u64
from gatewayd.store.transaction import Reading

RECENT = 65_536  # decisions whose places are remembered; older ones are looked up
CHUNK = TILE_WIDTH  # records per read transaction: short ones, so that a running daemon can reuse its pages

Progress = Callable[[int, int], None]  # (records done, records in all)


class Chunk(Struct, frozen=True):
    """Records that verified, in order.

    Args:
        first: seq of the first one, a multiple of 256.
        entries: bytes of each leaf, at most 256.
        hashes: leaf hash of each.
    """

    first: int
    entries: list[bytes]
    hashes: list[bytes]


Take = Callable[[Chunk], None]

_command_decoder = msgspec.msgpack.Decoder(Command)


class Problem(Struct, frozen=True):
    """The first bad record.

    Args:
        seq: its place; for a checkpoint the last record under it.
        kind: of the record, or "checkpoint", "tree", "intent", "save".
        what: what is wrong with it.
    """

    seq: int
    kind: str
    what: str


class Report(Struct, frozen=True):
    """What verification found. The journal is sound if `problem` is None.

    Args:
        origin: the log's name.
        vkey: the verifier key that was used.
        is_key_given: False if the key was taken from the journal itself, which proves consistency but no authorship.
        size: records that verified.
        root: of those records.
        decisions: how many of them are decisions.
        outcomes: how many are outcomes.
        checkpoints: signed checkpoints that verified.
        redacted: personal texts of which only the hash is left.
        evidence_missing: cited slices and blocks that are no longer kept.
        in_doubt: writes without an outcome.
        problem: the first thing that is wrong.
    """

    origin: str
    vkey: str
    is_key_given: bool
    size: int
    root: bytes
    decisions: int
    outcomes: int
    checkpoints: int
    redacted: int
    evidence_missing: int
    in_doubt: int
    problem: Problem | None


class _Bad(Exception):
    """Ends the verification with the first problem."""

    def __init__(self, seq: int, kind: str, what: str) -> None:
        super().__init__(what)
        self.problem = Problem(seq, kind, what)


def verify(path: Path, vkey: str | None, *, progress: Progress | None = None) -> Report:
    """Verify the journal in a store's folder, also beside a running daemon.

    Args:
        path: the store's folder.
        vkey: the verifier key that `gatewayd init` printed; None takes the journal's own word for it.
        progress: called after every 256 records.

    Raises:
        StoreError: the store cannot be opened.
        NoteError: the verifier key is malformed.
    """
    store = Store.open(path, QUOTA_BYTES_MIN, readonly=True)
    try:
        return verify_store(store, vkey, progress=progress)
    finally:
        store.close()


def verify_store(
    store: Store, vkey: str | None, *, progress: Progress | None = None, take: Take | None = None
) -> Report:
    """Verify the journal of an open store; see `verify`.

    Args:
        store: opened for reading.
        vkey: as in `verify`.
        progress: called after every 256 records.
        take: gets the records that verified, outside of any transaction; what hangs on them is checked after the last.
    """
    verification = _Verification(store, vkey)
    problem = None
    try:
        verification.run(progress, take)
    except _Bad as bad:
        problem = bad.problem
    except GatewayError as error:
        problem = Problem(verification.tree.size, "store", error.message)
    return verification.report(problem)


class _Verification:
    """One pass over the journal, with what has been counted so far."""

    def __init__(self, store: Store, vkey: str | None) -> None:
        self._store = store
        self._given_key = None if vkey is None else VerifierKey.parse(vkey)
        self._key = self._given_key
        self.tree = Tree()
        self._origin = ""
        self._decisions = 0
        self._outcomes = 0
        self._checkpoints = 0
        self._redacted = 0
        self._evidence_missing = 0
        self._in_doubt = 0
        self._last_decision_id = 0
        self._recent: list[tuple[int, int]] = []  # (decision id, its place), both rising

    def run(self, progress: Progress | None, take: Take | None = None) -> None:
        """Check everything in the order of the records, and hand each chunk over once it is checked.

        Raises:
            _Bad: the first thing that is wrong.
        """
        size = self._store.read(_stored_size)
        while self.tree.size < size:
            first = self.tree.size
            count = min(CHUNK, size - first)
            chunk = self._store.read(partial(self._check_chunk, first=first, count=count))
            if take is not None:
                take(chunk)
            if progress is not None:
                progress(self.tree.size, size)
        self._store.read(self._check_edge)
        self._store.read(self._check_checkpoints)
        self._store.read(self._check_intents)
        self._store.read(_check_saves)
        if lost := self._store.redo_lost:
            raise _Bad(size, "unknown", f"{lost} commits from here on are damaged in the redo file")

    def report(self, problem: Problem | None) -> Report:
        """Return what was found."""
        return Report(
            origin=self._origin,
            vkey=self._key.text() if self._key else "",
            is_key_given=self._given_key is not None,
            size=self.tree.size,
            root=self.tree.root(),
            decisions=self._decisions,
            outcomes=self._outcomes,
            checkpoints=self._checkpoints,
            redacted=self._redacted,
            evidence_missing=self._evidence_missing,
            in_doubt=self._in_doubt,
            problem=problem,
        )

    # --- records ------------------------------------------------------------------------------------------------------

    def _check_chunk(self, reading: Reading, first: int, count: int) -> Chunk:
        """Check and return one tile's worth of records, tile boundaries aligned."""
        entries = Entries(reading)
        hashes: list[bytes] = []
        leaves: list[Leaf] = []
        expected = _stored_leaf_hashes(reading, entries, first, count)
        found = tail.leaves_of(entries, first, count)
        for seq, data in enumerate(found, start=first):
            hashes.append(leaf_hash(data))
            leaves.append(_checked_leaf(seq, data, hashes[-1], expected))
        for leaf in leaves:
            self._check_record(reading, entries, leaf)
        if first < entries.first_young():
            _check_index(reading, first // TILE_WIDTH, leaves)
        if len(leaves) != count:
            raise _Bad(first + len(leaves), "unknown", "the record is missing")
        self.tree, full = self.tree.grown(hashes)
        for tile in full:
            if reading.get(Table.TILE, tail.tile_key(tile.level, tile.index)) != tile.hashes:
                raise _Bad(first, "tree", f"the stored tile {tile.level}/{tile.index} is not that of the records")
        return Chunk(first, found, hashes)

    def _check_record(self, reading: Reading, entries: Entries, leaf: Leaf) -> None:
        body = leaf.body
        if leaf.seq == 0:
            self._check_genesis(leaf)
        if isinstance(body, Decision):
            self._check_decision(leaf, body)
        elif isinstance(body, Outcome):
            self._outcomes += 1
            self._check_outcome(reading, leaf, body)
        elif isinstance(body, BlockSealed):
            self._check_block(reading, leaf, body)
        self._check_evidence(entries, leaf)
        self._check_personal(reading, leaf)

    def _check_decision(self, leaf: Leaf, decision: Decision) -> None:
        self._decisions += 1
        if decision.decision_id <= self._last_decision_id:
            before = self._last_decision_id
            raise _bad(
                leaf, f"decision {decision.decision_id} comes after decision {before}: two records may claim its id"
            )
        self._last_decision_id = decision.decision_id
        self._recent.append((decision.decision_id, leaf.seq))
        if len(self._recent) > 2 * RECENT:
            del self._recent[:RECENT]

    def _check_genesis(self, leaf: Leaf) -> None:
        body = leaf.body
        if not isinstance(body, Genesis):
            raise _bad(leaf, "the first record is not a genesis record")
        self._origin = body.origin
        try:
            own_key = VerifierKey.parse(body.vkey)
        except NoteError as error:
            raise _bad(leaf, error.message) from error
        if self._given_key is not None and self._given_key != own_key:
            raise _bad(leaf, f"the journal was begun with the key {body.vkey}, not with the one given")
        self._key = own_key

    def _check_outcome(self, reading: Reading, leaf: Leaf, outcome: Outcome) -> None:
        seq = self._seq_of(reading, outcome.decision_id)
        if seq is None:
            raise _bad(
                leaf, f"it is the outcome of decision {outcome.decision_id}, which is not before it in the journal"
            )

    def _seq_of(self, reading: Reading, decision_id: int) -> int | None:
        """Return the place of a decision that has been verified, None if there was none with this id."""
        at = bisect_left(self._recent, decision_id, key=lambda pair: pair[0])
        if at < len(self._recent) and self._recent[at][0] == decision_id:
            return self._recent[at][1]
        if at or not self._recent:
            return None
        return _seq_in_bundle(reading, decision_id)

    def _check_block(self, reading: Reading, leaf: Leaf, block: BlockSealed) -> None:
        content = reading.get(Table.BLOCK, block.digest)
        if content is None:
            self._evidence_missing += 1
            return
        try:
            cycles = unpack(content, block.digest)
        except GatewayError as error:
            raise _bad(leaf, error.message) from error
        if len(content) != block.size or not cycles:
            raise _bad(leaf, f"its block has {len(content)} bytes and {len(cycles)} cycles, not what it says")
        state = reading.get(Table.BLOCK, block.state) if block.state else b""
        if state is None:
            self._evidence_missing += 1
        elif state and (sha256(state).digest(), len(state)) != (block.state, block.state_size):
            raise _bad(leaf, "the snapshot beside its block does not have the hash that it cites")

    def _check_evidence(self, entries: Entries, leaf: Leaf) -> None:
        digest = getattr(leaf.body, "evidence", b"")
        if not digest:
            return
        try:
            evidence = entries.evidence(leaf.seq)
        except ValueError as error:
            raise _bad(leaf, f"the evidence of its tile cannot be unpacked: {error}") from error
        if evidence is None:
            self._evidence_missing += 1
        elif sha256(evidence).digest() != digest:
            raise _bad(leaf, "its evidence does not have the hash that it cites")

    def _check_personal(self, reading: Reading, leaf: Leaf) -> None:
        hashed = [field for field in ("reason_text", "actor_name") if getattr(leaf.body, field, b"")]
        row = reading.get(Table.PERSONAL, u64(leaf.seq))
        if row is None:
            self._redacted += len(hashed)
            return
        try:
            texts = decode_personal(row)
        except ValueError as error:
            raise _bad(leaf, f"its personal texts cannot be decoded: {error}") from error
        wrong = wrong_personal_field(leaf.body, texts)
        if wrong is not None:
            raise _bad(leaf, f"the text of {wrong} does not have the hash in the record")
        self._redacted += len(set(hashed) - set(texts))

    # --- the tree and what hangs on it --------------------------------------------------------------------------------

    def _check_edge(self, reading: Reading) -> None:
        # A running daemon may have gone on since the last chunk; then its edge is of a larger tree.
        row = reading.get(Table.EDGE, tail.EDGE_KEY) or u64(0)
        if from_u64(row) > self.tree.size and _stored_size(reading) == from_u64(row):
            return
        if row != u64(self.tree.size) + b"".join(self.tree.edge):
            raise _Bad(max(self.tree.size - 1, 0), "tree", "the stored right edge is not that of the records")
        for level, hashes in enumerate(self.tree.partial[1:], start=1):
            if (reading.get(Table.EDGE, tail.partial_key(level)) or b"") != hashes:
                raise _Bad(
                    self.tree.size - 1, "tree", f"the stored partial tile of level {level} is not that of the records"
                )

    def _check_checkpoints(self, reading: Reading) -> None:
        for size, note in _checkpoints(reading):
            if size > self.tree.size and _stored_size(reading) >= size:
                return  # signed by the running daemon since the last chunk
            try:
                checkpoint = open_checkpoint(note, self._required_key(size))
            except NoteError as error:
                raise _Bad(size - 1, "checkpoint", error.message) from error
            if checkpoint.size != size or size > self.tree.size:
                raise _Bad(size - 1, "checkpoint", f"{checkpoint.size} records were signed, {self.tree.size} are here")
            if tail.root_at(reading, self.tree, size) != checkpoint.root:
                raise _Bad(size - 1, "checkpoint", f"the signed root of {size} records is not that of the records")
            self._checkpoints += 1

    def _required_key(self, size: int) -> VerifierKey:
        if self._key is None:
            raise _Bad(size - 1, "checkpoint", "a checkpoint without records or key")
        return self._key

    def _check_intents(self, reading: Reading) -> None:
        for key, stored in reading.scan(Table.INTENT, limit=4096):
            decision_id = from_u64(key)
            seq = self._seq_of(reading, decision_id)
            try:
                command = _command_decoder.decode(unguard(key, stored))
            except (GatewayError, msgspec.MsgspecError) as error:
                raise _Bad(seq or 0, "intent", f"the intent of decision {decision_id} is damaged: {error}") from error
            if seq is None or command.decision_id != decision_id:
                raise _Bad(seq or 0, "intent", f"a write of decision {decision_id} without that decision")
            self._in_doubt += 1


def _stored_size(reading: Reading) -> int:
    return Entries(reading).size()


def _stored_leaf_hashes(reading: Reading, entries: Entries, first: int, count: int) -> list[bytes] | None:
    """Return the leaf hashes that the store keeps for a chunk; None if it keeps none that could be right."""
    tile = reading.get(Table.TILE, tail.tile_key(0, first // TILE_WIDTH))
    if tile is not None:
        hashes = [tile[at : at + HASH_SIZE] for at in range(0, len(tile), HASH_SIZE)]
    else:
        hashes = [hash_ for hash_, _ in entries.young(first, count)]
    return hashes if len(hashes) >= count else None


def _checked_leaf(seq: int, data: bytes, hash_: bytes, expected: list[bytes] | None) -> Leaf:
    try:
        leaf = decode_leaf(data)
    except ValueError as error:
        raise _Bad(seq, "unknown", f"it cannot be decoded: {error}") from error
    kind = kind_of(leaf.body).name.lower()
    if leaf.seq != seq:
        raise _Bad(seq, kind, f"it says it is record {leaf.seq}")
    if expected is not None and hash_ != expected[seq % TILE_WIDTH]:
        raise _Bad(seq, kind, "its bytes do not have the hash that the tree holds for it")
    return leaf


def _check_index(reading: Reading, tile: int, leaves: Sequence[Leaf]) -> None:
    """Compare what the index says of a tile with its records."""
    marks = ((place, index.marks_of(leaf.body)) for place, leaf in enumerate(leaves))
    for key, value in index.rows_of(tile, marks).items():
        if reading.get(Table.INDEX, key) != value:
            raise _bad(leaves[0], f"the index of the {len(leaves)} records from here on is not theirs")


def _seq_in_bundle(reading: Reading, decision_id: int) -> int | None:
    """Return the place of an old decision, by the index."""
    first = index.decision_key(0)
    rows = reading.scan_back(Table.INDEX, floor=first, below=index.decision_key(decision_id + 1), limit=1)
    if not rows:
        return None
    start = TILE_WIDTH * from_u64(rows[0][1])
    for seq, data in enumerate(tail.leaves_of(Entries(reading), start, TILE_WIDTH), start=start):
        with suppress(ValueError):
            body = decode_leaf(data).body
            if isinstance(body, Decision) and body.decision_id == decision_id:
                return seq
    return None


def _checkpoints(reading: Reading) -> Iterator[tuple[int, str]]:
    """Yield (size, note), smallest first."""
    first = b""
    while rows := reading.scan(Table.CHECKPOINT, first=first, limit=CHUNK):
        for key, note in rows:
            yield from_u64(key), note.decode("utf-8", "replace")
        first = rows[-1][0] + b"\x00"


def _check_saves(reading: Reading) -> None:
    for key, stored in reading.scan(Table.SAVE, limit=100_000):
        try:
            unguard(key, stored)
        except GatewayError as error:
            raise _Bad(0, "save", error.message) from error


def _bad(leaf: Leaf, what: str) -> _Bad:
    return _Bad(leaf.seq, kind_of(leaf.body).name.lower(), what)
