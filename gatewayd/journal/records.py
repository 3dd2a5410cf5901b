"""Records out of the journal: every leaf is checked against the tree, every text and slice against the leaf."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import suppress
from functools import partial
from itertools import islice

import msgspec
from msgspec import Struct

from gatewayd.errors import StoreError
from gatewayd.journal import blob, tail
from gatewayd.journal.care.pruned import PrunedState, refuse_pruned
from gatewayd.journal.guarded import unguard
from gatewayd.journal.leaf import decode_leaf, decode_personal, wrong_personal_field
from gatewayd.journal.tiles import finding, index
from gatewayd.journal.tiles.bundle import Entries
from gatewayd.model.decision import Command
from gatewayd.model.record import Decision, Kind, Leaf, Outcome
from gatewayd.model.wanted import EVERYTHING, Wanted
from gatewayd.proof.merkle import HASH_SIZE, consistency_proof, inclusion_proof
from gatewayd.proof.tiles import TILE_WIDTH, Tree
from gatewayd.store.env import Store
from gatewayd.store.tables import Table, from_u64, u64
from gatewayd.store.transaction import Reading

READ_LIMIT_MAX = 1024
OUTCOMES_MAX = 64
RECORDS_AT_ONCE = 64  # read in one transaction
_END = b"\xff" * 9  # behind eight bytes of any key
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
        self.pruned = PrunedState()

    @property
    def first(self) -> int:
        """Return the first record that is here; those before were pruned."""
        return self.pruned.end

    def begin_at(self, state: PrunedState) -> None:
        """Show nothing from before the place up to which the log was pruned."""
        self.pruned = state

    @property
    def size(self) -> int:
        """Return the number of durable records."""
        return self._tree.size

    def entries(self, first: int, limit: int) -> list[bytes]:
        """Return the bytes of up to `limit` (at most 1024) leaves from `first` on, each checked against the tree.

        Raises:
            JournalDamaged: a leaf is not what was journalled; it is named and nothing is returned.
            RecordPruned: the first one is not here any more.
        """
        if first < self.first:
            raise refuse_pruned(f"record {first}", self.pruned)
        count = max(0, min(limit, READ_LIMIT_MAX, self._tree.size - first))
        return self._store.read(lambda reading: self._search(reading).leaves(first, count))

    def record(self, seq: int) -> StoredRecord:
        """Return one record, with its personal texts and evidence.

        Raises:
            JournalDamaged: leaf, text or evidence is not what was journalled.
            IndexError: there is no such record.
            RecordPruned: it is not here any more.
        """
        if 0 <= seq < self.first:
            raise refuse_pruned(f"record {seq}", self.pruned)
        if not 0 <= seq < self._tree.size:
            raise IndexError(f"record {seq} of {self._tree.size}")
        return self._store.read(lambda reading: self._search(reading).record(seq))

    def are_sound(self, first: int, count: int) -> bool:
        """Say whether these records can be read, with all that came with them; many at once, for they share a bundle."""

        def read(reading: Reading) -> None:
            search = self._search(reading)
            for seq in range(first, min(first + count, self._tree.size)):
                search.record(seq)

        try:
            self._store.read(read)
        except StoreError:
            return False
        return True

    def decision(self, decision_id: int) -> StoredRecord | None:
        """Return a decision's record, None if there is none.

        Raises:
            RecordPruned: it is not here any more.
        """
        found = self._store.read(lambda reading: self._search(reading).decision(decision_id))
        if found is None and 0 < decision_id <= self.pruned.last_decision_id:
            raise refuse_pruned(f"decision {decision_id}", self.pruned)
        return found

    def outcomes(self, decision_id: int) -> list[StoredRecord]:
        """Return the outcome records of a decision, oldest first."""
        return self._store.read(lambda reading: self._search(reading).outcomes(decision_id))

    def outcomes_of(self, decision_ids: Sequence[int]) -> dict[int, list[StoredRecord]]:
        """Return the outcome records of many decisions, oldest first; of one without outcomes none."""
        return self._store.read(lambda reading: self._search(reading).outcomes_of(decision_ids))

    def decisions(
        self, limit: int, before: int | None = None, point: str | None = None, wanted: Wanted = EVERYTHING
    ) -> list[StoredRecord]:
        """Return up to `limit` (at most 1024) decisions, newest first.

        Args:
            limit: how many.
            before: only those with a smaller decision id.
            point: only those of this point.
            wanted: what else they must have in common; says `before` and `point` itself if they are not given.
        """
        asked = msgspec.structs.replace(wanted, before=before or wanted.before, point=point or wanted.point)
        return [record for some in self.find(asked, limit) for record in some]

    def find(self, wanted: Wanted, limit: int) -> Iterator[list[StoredRecord]]:
        """Yield up to `limit` (at most 1024) decisions, newest first, some at a time.

        Each piece is a short transaction of its own, and none is open while the caller has its turn. What becomes durable
        meanwhile is newer than what was found, so it is left out.
        """
        left = max(0, min(limit, READ_LIMIT_MAX))
        if not left:
            return
        found, tile = self._store.read(lambda reading: self._search(reading).young_decisions(wanted, left))
        yield found
        left -= len(found)
        rows = 1
        while left and tile:
            tiles, tile = self._store.read(partial(self._step, wanted=wanted, below=tile, rows=rows))
            rows = finding.ROWS_AT_ONCE
            places = (place for each, bits in tiles for place in finding.places_back(each, bits))
            while left and (some := list(islice(places, RECORDS_AT_ONCE))):
                found = self._store.read(partial(self._wanted_of, places=some, wanted=wanted, limit=left))
                yield found
                left -= len(found)
            yield []

    def _step(self, reading: Reading, *, wanted: Wanted, below: int, rows: int) -> finding.Step:
        times = finding.Times(reading, wanted.since_ns, wanted.until_ns)
        return finding.step(
            reading, finding.terms_of(wanted), times, finding.Span(self.first // TILE_WIDTH, below), rows
        )

    def _wanted_of(self, reading: Reading, *, places: list[int], wanted: Wanted, limit: int) -> list[StoredRecord]:
        return self._search(reading).wanted_of(places, wanted, limit)

    def newest(self, kind: Kind, limit: int) -> list[StoredRecord]:
        """Return up to `limit` (at most 1024) records of a kind, newest first."""
        count = max(0, min(limit, READ_LIMIT_MAX))
        return self._store.read(lambda reading: self._search(reading).newest(index.kind_term(kind), count))

    def last_decision_id(self) -> int:
        """Return the greatest decision id, 0 if nothing was decided yet."""
        last = self.decisions(1)
        found = last[0].leaf.body.decision_id if last and isinstance(last[0].leaf.body, Decision) else 0
        return max(found, self.pruned.last_decision_id)

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
        self._refuse_before(seq)
        return self._store.read(lambda reading: inclusion_proof(seq, size, tail.nodes_of(reading, tree)))

    def prove_consistency(self, old_size: int, new_size: int) -> list[bytes]:
        """Return the proof that the tree of `new_size` records begins with the one of `old_size`."""
        tree = self._tree
        self._refuse_before(old_size)
        return self._store.read(lambda reading: consistency_proof(old_size, new_size, tail.nodes_of(reading, tree)))

    def root(self, size: int) -> bytes:
        """Return the root hash of the first `size` records."""
        tree = self._tree
        self._refuse_before(size)
        return self._store.read(lambda reading: tail.root_at(reading, tree, size))

    def _refuse_before(self, seq: int) -> None:
        """Refuse a proof that begins in what was pruned; an empty tree begins nowhere."""
        if 0 < seq < self.first:
            raise refuse_pruned(f"what proves anything of {seq} records", self.pruned)

    def _search(self, reading: Reading) -> Search:
        return Search(reading, self._tree, self.first)


class Search:
    """Finds records in one transaction and checks each that it returns.

    Args:
        reading: the transaction.
        tree: nothing past it is shown.
        first: nothing before it is shown, either.
    """

    def __init__(self, reading: Reading, tree: Tree, first: int = 0) -> None:
        self._first = first
        self._reading = reading
        self._tree = tree
        self._entries = Entries(reading)
        self._first_young = min(self._entries.first_young(), tree.size)

    def leaves(self, first: int, count: int) -> list[bytes]:
        """Return the bytes of records that must be there, each checked."""
        leaves = tail.leaves_of(self._entries, first, count)
        tiles: dict[int, bytes] = {}
        for seq, leaf in enumerate(leaves, start=first):
            tile = seq // TILE_WIDTH
            if tile not in tiles:
                tiles[tile] = tail.read_tile(self._reading, self._tree, 0, tile)
            start = seq % TILE_WIDTH * HASH_SIZE
            tail.check_leaf(leaf, seq, tiles[tile][start : start + HASH_SIZE])
        if len(leaves) != count:
            raise tail.damaged(first + len(leaves), "it is missing")
        return leaves

    def record(self, seq: int) -> StoredRecord:
        """Return one record, with its personal texts and evidence."""
        return self._with_all(seq, decode_leaf(self.leaves(seq, 1)[0]))

    def _with_all(self, seq: int, leaf: Leaf) -> StoredRecord:
        return StoredRecord(seq, leaf, _personal_texts(self._reading, seq, leaf), self._evidence(seq, leaf))

    def newest(self, term: bytes, limit: int, before: int | None = None) -> list[StoredRecord]:
        """Return records that have a term, newest first; with `before`, only decisions with a smaller id."""
        found: list[StoredRecord] = []
        for seq in self._places(term, self._below(before)):
            if len(found) == limit:
                break
            record = self.record(seq)
            body = record.leaf.body
            if before is None or (isinstance(body, Decision) and body.decision_id < before):
                found.append(record)
        return found

    def decision(self, decision_id: int) -> StoredRecord | None:
        """Return a decision's record, None if there is none."""
        found = self.newest(index.kind_term(Kind.DECISION), 1, decision_id + 1)
        body = found[0].leaf.body if found else None
        return found[0] if isinstance(body, Decision) and body.decision_id == decision_id else None

    def outcomes(self, decision_id: int) -> list[StoredRecord]:
        """Return up to 64 outcomes of a decision, oldest first."""
        return self.outcomes_of([decision_id]).get(decision_id, [])

    def outcomes_of(self, decision_ids: Sequence[int]) -> dict[int, list[StoredRecord]]:
        """Return up to 64 outcomes of each decision that has some, oldest first; the young are looked at once for all."""
        places: dict[int, list[int]] = {decision_id: [] for decision_id in decision_ids}
        for decision_id, found in places.items():
            prefix = index.outcomes_prefix(decision_id)
            rows = self._reading.scan(Table.INDEX, first=prefix, below=prefix + _END, limit=OUTCOMES_MAX)
            found += [seq for key, _ in rows if (seq := from_u64(key[len(prefix) :])) >= self._first]
        for seq, leaf in self._young():
            if isinstance(leaf.body, Outcome) and leaf.body.decision_id in places:
                places[leaf.body.decision_id].append(seq)
        return {
            decision_id: [self.record(seq) for seq in found[:OUTCOMES_MAX]]
            for decision_id, found in places.items()
            if found
        }

    def young_decisions(self, wanted: Wanted, limit: int) -> tuple[list[StoredRecord], int]:
        """Return those of the records that are in no bundle, newest first, and the tile before which the others stand."""
        below = self._below(wanted.before or None)
        places = [seq for seq, leaf in self._young() if seq < below and finding.is_wanted(leaf, wanted)]
        tile = -(-min(below, self._first_young) // TILE_WIDTH)
        return self.wanted_of(list(reversed(places)), wanted, limit), tile

    def wanted_of(self, places: Sequence[int], wanted: Wanted, limit: int) -> list[StoredRecord]:
        """Return up to `limit` of the records at these places: those that are wanted."""
        found: list[StoredRecord] = []
        for seq in places:
            leaf = decode_leaf(self.leaves(seq, 1)[0])
            if finding.is_wanted(leaf, wanted) and self._has_read(seq, leaf, wanted.tag):
                found.append(self._with_all(seq, leaf))
                if len(found) == limit:
                    break
        return found

    def _has_read(self, seq: int, leaf: Leaf, tag: str) -> bool:
        """Say whether a decision read a tag; of one in a bundle whose evidence was pruned the index is believed."""
        if not tag:
            return True
        evidence = self._evidence(seq, leaf)
        return seq < self._first_young if evidence is None else tag in index.tags_of(evidence)

    def _evidence(self, seq: int, leaf: Leaf) -> bytes | None:
        digest = getattr(leaf.body, "evidence", b"")
        return tail.evidence_of(self._entries, seq, digest) if digest else None

    def _below(self, before: int | None) -> int:
        """Return a place behind every decision whose id is smaller; ids grow with places."""
        if before is None:
            return self._tree.size
        first = index.DECISIONS
        following = self._reading.scan(Table.INDEX, first=first + u64(before), below=first + _END, limit=1)
        return TILE_WIDTH * (from_u64(following[0][1]) + 1) if following else self._tree.size

    def _young(self) -> Iterator[tuple[int, Leaf]]:
        """Yield the records that are in no bundle, oldest first; what cannot be decoded is named where it is read."""
        leaves = tail.leaves_of(self._entries, self._first_young, self._tree.size - self._first_young)
        for seq, data in enumerate(leaves, start=self._first_young):
            with suppress(ValueError):
                yield seq, decode_leaf(data)

    def _places(self, term: bytes, below: int) -> Iterator[int]:
        """Yield where records that have a term stand, newest first."""
        if below > self._first_young:
            young = [seq for seq, leaf in self._young() if seq < below and term in index.marks_of(leaf.body).terms]
            yield from reversed(young)
        tile, floor = -(-min(below, self._first_young) // TILE_WIDTH), self._first // TILE_WIDTH
        anytime = finding.Times(self._reading, 0, 0)
        rows = 1
        while tile:
            tiles, tile = finding.step(self._reading, [term], anytime, finding.Span(floor, tile), rows)
            rows = finding.ROWS_AT_ONCE
            for each, bits in tiles:
                yield from finding.places_back(each, bits)


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
