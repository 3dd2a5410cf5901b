"""Verify a journal from its bytes alone: every leaf, the tree, the checkpoints, evidence, texts, intents, indices.

Nothing that the daemon computed is believed; the only trust is in the verifier key that is handed in.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from functools import partial
from hashlib import sha256
from itertools import islice
from pathlib import Path

import msgspec
from msgspec import Struct

from gatewayd.errors import UNDECODABLE, GatewayError, StoreError
from gatewayd.journal import tail
from gatewayd.journal.audit.index_check import index_problem
from gatewayd.journal.audit.signed import Bad, Problem, Signed, stored_size
from gatewayd.journal.audit.sound_tile import SoundTile, sound_tile
from gatewayd.journal.audit.tiles_ahead import TilesAhead, tiles_ahead
from gatewayd.journal.blocks.stored_block import unpack
from gatewayd.journal.care.pruned import pruned_state
from gatewayd.journal.guarded import unguard
from gatewayd.journal.leaf import PERSONAL_FIELDS, decode_leaf, decode_personal, wrong_personal_field
from gatewayd.journal.tiles import index
from gatewayd.journal.tiles.bundle import Entries
from gatewayd.journal.tiles.scan import compiled_scan
from gatewayd.model.decision import Command
from gatewayd.model.record import BlockSealed, Decision, Genesis, Leaf, Outcome, kind_of
from gatewayd.proof.merkle import HASH_SIZE, leaf_hash
from gatewayd.proof.note import VerifierKey
from gatewayd.proof.tiles import TILE_WIDTH, Tile, Tree
from gatewayd.store.env import QUOTA_BYTES_MIN, Store
from gatewayd.store.probe import DATA_NAME, claimed_bytes
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


class Report(Struct, frozen=True):
    """What verification found. The journal is sound if `problem` is None.

    Args:
        origin: the log's name.
        vkey: the verifier key that the log began with.
        keys: (first size, verifier key) of each key; from one to the next the journal proves the way.
        is_key_given: False if the key was taken from the journal itself, which proves consistency but no authorship.
        size: records that verified.
        root: of those records.
        decisions: how many of them are decisions.
        outcomes: how many are outcomes.
        checkpoints: signed checkpoints that verified.
        cosigned: of those, checkpoints that others have cosigned; whose cosignatures count is not the journal's to say.
        redacted: personal texts of which only the hash is left.
        evidence_missing: cited slices and blocks that are no longer kept.
        in_doubt: writes without an outcome.
        first: first record that is here; those before were pruned.
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
    keys: tuple[tuple[int, str], ...] = ()
    cosigned: int = 0
    first: int = 0


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
    with tiles_ahead(path, _store_bytes(path)) as ahead:
        store = Store.open(path, QUOTA_BYTES_MIN, readonly=True)
        try:
            return verify_store(store, vkey, progress=progress, ahead=ahead)
        finally:
            store.close()


def _store_bytes(path: Path) -> int:
    with suppress(OSError, StoreError):  # opening it will say
        return claimed_bytes(path / DATA_NAME)
    return 0


def verify_store(
    store: Store,
    vkey: str | None,
    *,
    progress: Progress | None = None,
    take: Take | None = None,
    ahead: TilesAhead | None = None,
) -> Report:
    """Verify the journal of an open store; see `verify`.

    Args:
        store: opened for reading.
        vkey: as in `verify`.
        progress: called after every 256 records.
        take: gets the records that verified, outside of any transaction; what hangs on them is checked after the last.
        ahead: processes that look at tiles beside this one; without `take`, since they keep the records to themselves.
    """
    assert ahead is None or take is None
    while True:
        verification = _Verification(store, vkey, ahead)
        problem = None
        try:
            verification.run(progress, take)
        except Bad as bad:
            problem = bad.problem
        except GatewayError as error:
            problem = Problem(verification.tree.size, "store", error.message)
        if problem is None or take is not None or not verification.was_overtaken():
            return verification.report(problem)


class _Verification:
    """One pass over the journal, with what has been counted so far."""

    def __init__(self, store: Store, vkey: str | None, ahead: TilesAhead | None) -> None:
        self._store = store
        self._ahead = ahead
        self._given_key = None if vkey is None else VerifierKey.parse(vkey)
        self._signed = Signed(self._given_key)
        self.tree = Tree()
        self._scan = compiled_scan()
        self._decisions = 0
        self._outcomes = 0
        self._redacted = 0
        self._evidence_missing = 0
        self._in_doubt = 0
        self._last_decision_id = 0
        self._recent: dict[int, int] = {}  # decision id -> its place, both rising

    def run(self, progress: Progress | None, take: Take | None = None) -> None:
        """Check everything in the order of the records, and hand each chunk over once it is checked.

        Raises:
            Bad: the first thing that is wrong.
        """
        self.tree = self._store.read(self._signed.begin)
        self._last_decision_id = self._signed.pruned.last_decision_id
        size = self._store.read(stored_size)
        if self._ahead is not None:
            young = self._store.read(lambda reading: Entries(reading).first_young())
            self._ahead.begin(max(1, self.tree.size // TILE_WIDTH), young // TILE_WIDTH)
        while self.tree.size < size:
            first = self.tree.size
            count = min(CHUNK, size - first)
            chunk = self._store.read(partial(self._check_chunk, first=first, count=count))
            if take is not None:
                take(chunk)
            if progress is not None:
                progress(self.tree.size, size)
        self._store.read(self._check_edge)
        self._store.read(lambda reading: self._signed.check(reading, self.tree))
        self._store.read(self._check_intents)
        self._store.read(_check_saves)
        if lost := self._store.redo_lost:
            raise Bad(size, "unknown", f"{lost} commits from here on are damaged in the redo file")

    def report(self, problem: Problem | None) -> Report:
        """Return what was found."""
        signed = self._signed
        ranges = signed.chain.ranges() if signed.chain else ()
        return Report(
            origin=signed.origin,
            vkey=ranges[0][1] if ranges else self._given_key.text() if self._given_key else "",
            is_key_given=self._given_key is not None,
            size=self.tree.size,
            root=self.tree.root(),
            decisions=self._decisions,
            outcomes=self._outcomes,
            checkpoints=signed.checkpoints,
            redacted=self._redacted,
            evidence_missing=self._evidence_missing,
            in_doubt=self._in_doubt,
            problem=problem,
            keys=ranges,
            cosigned=signed.cosigned,
            first=signed.pruned.end,
        )

    def was_overtaken(self) -> bool:
        """Say whether a running daemon has pruned since this verification began."""
        return self._store.read(pruned_state).end > self._signed.pruned.end

    # --- records ------------------------------------------------------------------------------------------------------

    def _check_chunk(self, reading: Reading, first: int, count: int) -> Chunk:
        """Check and return one tile's worth of records, tile boundaries aligned."""
        entries = Entries(reading)
        if first and count == TILE_WIDTH and first < entries.first_young():
            sound = self._sound_tile(reading, first // TILE_WIDTH)
            if sound is not None and self._fits(reading, sound):
                return self._take_tile(reading, first, sound)
        hashes: list[bytes] = []
        leaves: list[Leaf] = []
        expected = _stored_leaf_hashes(reading, entries, first, count)
        found = tail.leaves_of(entries, first, count)
        for seq, data in enumerate(found, start=first):
            hashes.append(leaf_hash(data))
            leaves.append(_checked_leaf(seq, data, hashes[-1], expected))
        slices: dict[int, bytes] = {}
        for leaf in leaves:
            if evidence := self._check_record(reading, entries, leaf):
                slices[leaf.seq - first] = evidence
        is_bundled = first < entries.first_young()
        if is_bundled and (what := index_problem(reading, first // TILE_WIDTH, leaves, slices)):
            raise _bad(leaves[0], what)
        if len(leaves) != count:
            raise Bad(first + len(leaves), "unknown", "the record is missing")
        if is_bundled:
            _check_places_of_slices(entries, leaves, slices)
        self.tree, full = self.tree.grown(hashes)
        _check_tiles(reading, first, full)
        return Chunk(first, found, hashes)

    def _sound_tile(self, reading: Reading, tile: int) -> SoundTile | None:
        sound = self._ahead.tile(tile) if self._ahead is not None else None
        if sound is None and self._scan is not None:
            sound = sound_tile(reading, self._scan, tile)
        return sound

    def _fits(self, reading: Reading, sound: SoundTile) -> bool:
        """Say whether a tile that is sound by itself follows from the records before it."""
        if next(iter(sound.decisions), self._last_decision_id + 1) <= self._last_decision_id:
            return False
        for decision_id, seq in sound.outcomes:
            place = sound.decisions.get(decision_id)
            if place is None:
                place = self._seq_of(reading, decision_id)
            if place is None or place >= seq:
                return False
        return True

    def _take_tile(self, reading: Reading, first: int, sound: SoundTile) -> Chunk:
        for leaf in sound.blocks:
            assert isinstance(leaf.body, BlockSealed)
            self._check_block(reading, leaf, leaf.body)
        for leaf in sound.log_care:
            self._signed.take(leaf)
        self._decisions += len(sound.decisions)
        self._outcomes += len(sound.outcomes)
        self._redacted += sound.redacted
        self._evidence_missing += sound.evidence_missing
        self._remember(sound.decisions)
        self._signed.expect(reading, self.tree, sound.nodes)
        self.tree, full = self.tree.grown_by_tile(sound.nodes)
        _check_tiles(reading, first, full)
        return Chunk(first, sound.entries, sound.hashes)

    def _remember(self, decisions: Mapping[int, int]) -> None:
        if not decisions:
            return
        self._recent.update(decisions)
        self._last_decision_id = next(reversed(self._recent))
        if len(self._recent) > 2 * RECENT:
            self._recent = dict(islice(self._recent.items(), RECENT, None))

    def _check_record(self, reading: Reading, entries: Entries, leaf: Leaf) -> bytes | None:
        """Check a record and what came with it, and return its evidence."""
        body = leaf.body
        if leaf.seq == 0:
            self._check_genesis(reading, leaf)
        if isinstance(body, Decision):
            self._check_decision(leaf, body)
        elif isinstance(body, Outcome):
            self._outcomes += 1
            self._check_outcome(reading, leaf, body)
        elif isinstance(body, BlockSealed):
            self._check_block(reading, leaf, body)
        self._signed.take(leaf)
        self._check_personal(reading, leaf)
        return self._check_evidence(entries, leaf)

    def _check_decision(self, leaf: Leaf, decision: Decision) -> None:
        self._decisions += 1
        if decision.decision_id <= self._last_decision_id:
            before = self._last_decision_id
            raise _bad(
                leaf, f"decision {decision.decision_id} comes after decision {before}: two records may claim its id"
            )
        self._remember({decision.decision_id: leaf.seq})

    def _check_genesis(self, reading: Reading, leaf: Leaf) -> None:
        body = leaf.body
        if not isinstance(body, Genesis):
            raise _bad(leaf, "the first record is not a genesis record")
        self._signed.trust(reading, body.vkey, leaf.seq)
        if self._signed.origin != body.origin:
            raise _bad(leaf, f"it begins {body.origin}, its key is one of {self._signed.origin}")

    def _check_outcome(self, reading: Reading, leaf: Leaf, outcome: Outcome) -> None:
        seq = self._seq_of(reading, outcome.decision_id)
        if seq is None and outcome.decision_id > self._signed.pruned.last_decision_id:
            raise _bad(
                leaf, f"it is the outcome of decision {outcome.decision_id}, which is not before it in the journal"
            )

    def _seq_of(self, reading: Reading, decision_id: int) -> int | None:
        """Return the place of a decision that has been verified, None if there was none with this id."""
        found = self._recent.get(decision_id)
        if found is not None or decision_id >= next(iter(self._recent), 0):
            return found
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

    def _check_evidence(self, entries: Entries, leaf: Leaf) -> bytes | None:
        digest = getattr(leaf.body, "evidence", b"")
        if not digest:
            return None
        try:
            evidence = entries.evidence(leaf.seq)
        except ValueError as error:
            raise _bad(leaf, f"the evidence of its tile cannot be unpacked: {error}") from error
        if evidence is None:
            self._evidence_missing += 1
        elif sha256(evidence).digest() != digest:
            raise _bad(leaf, "its evidence does not have the hash that it cites")
        return evidence

    def _check_personal(self, reading: Reading, leaf: Leaf) -> None:
        hashed = [field for field in PERSONAL_FIELDS if getattr(leaf.body, field, b"")]
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
        if from_u64(row) > self.tree.size and stored_size(reading) == from_u64(row):
            return
        if row != u64(self.tree.size) + b"".join(self.tree.edge):
            raise Bad(max(self.tree.size - 1, 0), "tree", "the stored right edge is not that of the records")
        for level, hashes in enumerate(self.tree.partial[1:], start=1):
            if (reading.get(Table.EDGE, tail.partial_key(level)) or b"") != hashes:
                raise Bad(
                    self.tree.size - 1, "tree", f"the stored partial tile of level {level} is not that of the records"
                )

    def _check_intents(self, reading: Reading) -> None:
        for key, stored in reading.scan(Table.INTENT, limit=4096):
            decision_id = from_u64(key)
            seq = self._seq_of(reading, decision_id)
            try:
                command = _command_decoder.decode(unguard(key, stored))
            except (GatewayError, *UNDECODABLE) as error:
                raise Bad(seq or 0, "intent", f"the intent of decision {decision_id} is damaged: {error}") from error
            if seq is None or command.decision_id != decision_id:
                raise Bad(seq or 0, "intent", f"a write of decision {decision_id} without that decision")
            self._in_doubt += 1


def _stored_leaf_hashes(reading: Reading, entries: Entries, first: int, count: int) -> list[bytes] | None:
    """Return the leaf hashes that the store keeps for a chunk; None if it keeps none that could be right."""
    tile = reading.get(Table.TILE, tail.tile_key(0, first // TILE_WIDTH))
    if tile is not None:
        hashes = [tile[at : at + HASH_SIZE] for at in range(0, len(tile), HASH_SIZE)]
    else:
        hashes = [hash_ for hash_, _ in entries.young(first, count)]
    return hashes if len(hashes) >= count else None


def _check_tiles(reading: Reading, first: int, full: Sequence[Tile]) -> None:
    for tile in full:
        if reading.get(Table.TILE, tail.tile_key(tile.level, tile.index)) != tile.hashes:
            raise Bad(first, "tree", f"the stored tile {tile.level}/{tile.index} is not that of the records")


def _check_places_of_slices(entries: Entries, leaves: Sequence[Leaf], cited: Mapping[int, bytes]) -> None:
    """See that no slice in a bundle was put at the place of a record that does not cite it: its own looks pruned then."""
    for place in entries.slices(leaves[0].seq // TILE_WIDTH):
        if place not in cited:
            leaf = leaves[min(place, len(leaves) - 1)]
            raise _bad(leaf, "evidence is kept at its place that it does not cite")


def _checked_leaf(seq: int, data: bytes, hash_: bytes, expected: list[bytes] | None) -> Leaf:
    try:
        leaf = decode_leaf(data)
    except ValueError as error:
        raise Bad(seq, "unknown", f"it cannot be decoded: {error}") from error
    kind = kind_of(leaf.body).name.lower()
    if leaf.seq != seq:
        raise Bad(seq, kind, f"it says it is record {leaf.seq}")
    if expected is not None and hash_ != expected[seq % TILE_WIDTH]:
        raise Bad(seq, kind, "its bytes do not have the hash that the tree holds for it")
    return leaf


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


def _check_saves(reading: Reading) -> None:
    for key, stored in reading.scan(Table.SAVE, limit=100_000):
        try:
            unguard(key, stored)
        except GatewayError as error:
            raise Bad(0, "save", error.message) from error


def _bad(leaf: Leaf, what: str) -> Bad:
    return Bad(leaf.seq, kind_of(leaf.body).name.lower(), what)
