"""Records out of the journal: every leaf is checked against the tree, every text and slice against the leaf."""

from __future__ import annotations

from hashlib import sha256

import msgspec
from msgspec import Struct

from gatewayd.journal import blob, index, tail
from gatewayd.journal.guarded import unguard
from gatewayd.journal.leaf import decode_leaf, decode_personal, wrong_personal_field
from gatewayd.model.decision import Command
from gatewayd.model.record import Kind, Leaf
from gatewayd.proof.merkle import HASH_SIZE, consistency_proof, inclusion_proof
from gatewayd.proof.tiles import TILE_WIDTH, Tree
from gatewayd.store.env import Store
from gatewayd.store.tables import Table, from_u64, u64
from gatewayd.store.transaction import Reading

READ_LIMIT_MAX = 1024
LEARNED = "learned/"  # then the kind of detector: keys of the saved state that may be damaged and do no harm

_command_decoder = msgspec.msgpack.Decoder(Command)


class StoredRecord(Struct, frozen=True):
    """A record as it stands in the journal, checked against the tree.

    Args:
        seq: its place, from 0.
        leaf: the record itself.
        personal: field -> plain text, as far as it has not been redacted.
        evidence: bytes of its evidence slice; None if it cites none or it was pruned.
    """

    seq: int
    leaf: Leaf
    personal: dict[str, str]
    evidence: bytes | None


class Records:
    """The reading half of a journal. Nothing past its tree, which is durable, is shown."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._tree = Tree()

    @property
    def size(self) -> int:
        """Return the number of durable records."""
        return self._tree.size

    def entries(self, first: int, limit: int) -> list[bytes]:
        """Return the bytes of up to `limit` (at most 1024) leaves from `first` on, each checked against the tree.

        Raises:
            JournalDamaged: a leaf is not what was journalled; it is named and nothing is returned.
        """
        tree = self._tree
        count = max(0, min(limit, READ_LIMIT_MAX, tree.size - first))
        return self._store.read(lambda reading: _checked_leaves(reading, tree, first, count))

    def record(self, seq: int) -> StoredRecord:
        """Return one record, with its personal texts and evidence.

        Raises:
            JournalDamaged: leaf, text or evidence is not what was journalled.
            IndexError: there is no such record.
        """
        tree = self._tree
        if not 0 <= seq < tree.size:
            raise IndexError(f"record {seq} of {tree.size}")
        return self._store.read(lambda reading: _stored_record(reading, tree, seq))

    def decision(self, decision_id: int) -> StoredRecord | None:
        """Return a decision's record, None if there is none."""
        seq = self._store.get(Table.INDEX, index.decision_key(decision_id))
        return None if seq is None else self.record(from_u64(seq))

    def outcomes(self, decision_id: int) -> list[StoredRecord]:
        """Return the outcome records of a decision, oldest first."""
        prefix = index.outcomes_prefix(decision_id)
        rows = self._store.read(lambda reading: reading.scan(Table.INDEX, first=prefix, below=_after(prefix), limit=64))
        return [self.record(from_u64(key[len(prefix) :])) for key, _ in rows]

    def decisions(self, limit: int, before: int | None = None, point: str | None = None) -> list[StoredRecord]:
        """Return up to `limit` (at most 1024) decisions, newest first.

        Args:
            limit: how many.
            before: only those with a smaller decision id.
            point: only those of this point.
        """
        prefix = index.DECISIONS if point is None else index.point_prefix(point)
        below = _after(prefix) if before is None else prefix + u64(before)
        rows = self._scan_back(prefix, below, limit)
        return [self.record(from_u64(seq)) for _, seq in rows]

    def newest(self, kind: Kind, limit: int) -> list[StoredRecord]:
        """Return up to `limit` (at most 1024) records of a kind, newest first."""
        prefix = index.kind_prefix(kind)
        rows = self._scan_back(prefix, _after(prefix), limit)
        return [self.record(from_u64(key[len(prefix) :])) for key, _ in rows]

    def last_decision_id(self) -> int:
        """Return the greatest decision id, 0 if nothing was decided yet."""
        rows = self._scan_back(index.DECISIONS, _after(index.DECISIONS), 1)
        return from_u64(rows[0][0][1:]) if rows else 0

    def in_doubt(self) -> list[Command]:
        """Return the writes whose outcome is not journalled, by decision id."""
        rows = self._store.read(lambda reading: reading.scan(Table.INTENT, limit=READ_LIMIT_MAX))
        return [_command_decoder.decode(unguard(key, value)) for key, value in rows]

    def saves(self) -> dict[str, bytes]:
        """Return the saved state, key -> bytes; without what detectors learned, which is read by itself."""
        rows = self._store.read(lambda reading: reading.scan(Table.SAVE, limit=100_000))
        return {key.decode(): unguard(key, row) for key, row in rows if not key.startswith(LEARNED.encode())}

    def get_blob(self, digest: bytes) -> bytes | None:
        """Return the bytes with this SHA-256, None if they are not kept.

        Raises:
            JournalDamaged: what is kept has another hash.
        """
        packed = self._store.get(Table.BLOB, digest)
        if packed is None:
            return None
        try:
            return blob.unpack(packed, digest)
        except ValueError as error:
            raise tail.damaged(0, f"the configuration bytes {digest.hex()[:16]} have changed: {error}") from error

    def prove_inclusion(self, seq: int, size: int) -> list[bytes]:
        """Return the audit path of record `seq` under the tree of `size` records."""
        tree = self._tree
        return self._store.read(lambda reading: inclusion_proof(seq, size, tail.nodes_of(reading, tree)))

    def prove_consistency(self, old_size: int, new_size: int) -> list[bytes]:
        """Return the proof that the tree of `new_size` records begins with the one of `old_size`."""
        tree = self._tree
        return self._store.read(lambda reading: consistency_proof(old_size, new_size, tail.nodes_of(reading, tree)))

    def root(self, size: int) -> bytes:
        """Return the root hash of the first `size` records."""
        tree = self._tree
        return self._store.read(lambda reading: tail.root_at(reading, tree, size))

    def _scan_back(self, prefix: bytes, below: bytes, limit: int) -> list[tuple[bytes, bytes]]:
        count = max(0, min(limit, READ_LIMIT_MAX))
        return self._store.read(lambda reading: reading.scan_back(Table.INDEX, floor=prefix, below=below, limit=count))


def _checked_leaves(reading: Reading, tree: Tree, first: int, count: int) -> list[bytes]:
    rows = reading.scan(Table.ENTRY, first=u64(first), limit=count)
    tiles: dict[int, bytes] = {}
    for seq, (key, leaf) in enumerate(rows, start=first):
        if from_u64(key) != seq:
            raise tail.damaged(seq, "it is missing")
        if seq // TILE_WIDTH not in tiles:
            tiles[seq // TILE_WIDTH] = tail.read_tile(reading, tree, 0, seq // TILE_WIDTH)
        start = seq % TILE_WIDTH * HASH_SIZE
        tail.check_leaf(leaf, seq, tiles[seq // TILE_WIDTH][start : start + HASH_SIZE])
    if len(rows) != count:
        raise tail.damaged(first + len(rows), "it is missing")
    return [leaf for _, leaf in rows]


def _stored_record(reading: Reading, tree: Tree, seq: int) -> StoredRecord:
    (data,) = _checked_leaves(reading, tree, seq, 1)
    leaf = decode_leaf(data)
    return StoredRecord(seq, leaf, _personal_texts(reading, seq, leaf), _evidence(reading, seq, leaf))


def _personal_texts(reading: Reading, seq: int, leaf: Leaf) -> dict[str, str]:
    row = reading.get(Table.PERSONAL, u64(seq))
    if row is None:
        return {}
    try:
        texts = decode_personal(row)
    except ValueError as error:
        raise tail.damaged(seq, f"its personal texts cannot be decoded: {error}") from error
    wrong = wrong_personal_field(leaf.body, texts)
    if wrong is not None:
        raise tail.damaged(seq, f"the text of {wrong} does not have the hash in the record")
    return {field: text for field, (_, text) in texts.items()}


def _evidence(reading: Reading, seq: int, leaf: Leaf) -> bytes | None:
    digest = getattr(leaf.body, "evidence", b"")
    evidence = reading.get(Table.EVIDENCE, digest) if digest else None
    if evidence is not None and sha256(evidence).digest() != digest:
        raise tail.damaged(seq, "its evidence does not have the hash that it cites")
    return evidence


def _after(prefix: bytes) -> bytes:
    """Return a key behind all keys that are this prefix and eight bytes."""
    return prefix + b"\xff" * 9
