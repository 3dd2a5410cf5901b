"""What is signed in a journal, verified against its records: keys and their ranges, checkpoints, pruning, mirrors."""

from __future__ import annotations

from collections.abc import Iterator

from msgspec import Struct

from gatewayd.errors import GatewayError
from gatewayd.journal import tail
from gatewayd.journal.care.chain import Chain, chain_from, first_vkey, handovers
from gatewayd.journal.care.pruned import PrunedState, first_tree, pruned_state
from gatewayd.journal.care.rotation import OPEN_KEY
from gatewayd.journal.care.witness import cosigned_by
from gatewayd.journal.tiles.bundle import Entries
from gatewayd.model.record import KeyRotated, Leaf, Pruned
from gatewayd.proof.cosignature import CosignerKey
from gatewayd.proof.note import Checkpoint, NoteError, VerifierKey, open_checkpoint, split_note
from gatewayd.proof.tiles import TILE_WIDTH, TileNodes, Tree
from gatewayd.store.tables import Table, from_u64, u64
from gatewayd.store.transaction import Reading

NOTES_AT_ONCE = 256


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


class Bad(Exception):
    """Ends the verification with the first problem."""

    def __init__(self, seq: int, kind: str, what: str) -> None:
        super().__init__(what)
        self.problem = Problem(seq, kind, what)


class Signed:
    """Gathers what records say of keys and pruning, and compares it with what is signed.

    Args:
        given_key: one of the log's keys; None takes the journal's own word for it.

    Attributes:
        origin: the log's name, once it is known.
        chain: its keys, likewise.
        pruned: how far it was pruned when this began.
        checkpoints: signed ones that verified.
        cosigned: of those, such as others have cosigned.
    """

    def __init__(self, given_key: VerifierKey | None) -> None:
        self._given_key = given_key
        self._named: dict[int, str] = {}  # size -> verifier key that the record before it names
        self._last_pruned: Pruned | None = None
        self._roots: dict[int, bytes] = {}  # of sizes that are signed, as far as they were easy to have
        self.origin = ""
        self.chain: Chain | None = None
        self.pruned = PrunedState()
        self.checkpoints = 0
        self.cosigned = 0

    def begin(self, reading: Reading) -> Tree:
        """Return the tree of the records that were pruned, which the signed roots will prove or not.

        Raises:
            Bad: the log does not begin with the given key, or its keys do not follow each other.
        """
        self.pruned = pruned_state(reading)
        if self.pruned.end:
            self.trust(reading, first_vkey(reading) or "", self.pruned.end)
        return first_tree(reading)

    def trust(self, reading: Reading, vkey: str, seq: int) -> None:
        """Take the key that record `seq` says the log began with, and those it was handed over to.

        Raises:
            Bad: the given key is not among them, or they do not follow each other.
        """
        try:
            self.chain = chain_from(reading, VerifierKey.parse(vkey))
        except GatewayError as error:
            raise Bad(seq, "genesis", error.message) from error
        self.origin = self.chain.newest.name
        if self._given_key is not None and self._given_key not in self.chain.keys:
            raise Bad(seq, "genesis", f"the journal was begun with the key {vkey}, not with the one given")

    def take(self, leaf: Leaf) -> None:
        """Remember what a record says of keys or pruning."""
        if isinstance(leaf.body, KeyRotated):
            self._named[leaf.seq + 1] = leaf.body.vkey
        elif isinstance(leaf.body, Pruned):
            self._last_pruned = leaf.body

    def expect(self, reading: Reading, tree: Tree, nodes: TileNodes) -> None:
        """Work out the roots that checkpoints within a full tile must sign, while its nodes are at hand.

        Args:
            reading: the transaction.
            tree: of the records before the tile.
            nodes: of the tile.
        """
        first, below = u64(tree.size + 1), u64(tree.size + TILE_WIDTH + 1)
        for table in (Table.CHECKPOINT, Table.COSIGNED):
            for key, _ in reading.scan(table, first=first, below=below, limit=TILE_WIDTH):
                size = from_u64(key)
                self._roots[size] = tree.root_within(nodes, size - tree.size)

    def check(self, reading: Reading, tree: Tree) -> None:
        """Compare everything that is signed with the tree of the records.

        Raises:
            Bad: the first thing that is wrong.
        """
        if pruned_state(reading).end == self.pruned.end:  # else the running daemon has pruned since this began
            self._check_pruned(reading)
        self._check_handovers(reading, tree)
        for table in (Table.CHECKPOINT, Table.COSIGNED):
            self._check_checkpoints(reading, tree, table)

    def _check_pruned(self, reading: Reading) -> None:
        """See that a record tells how far the log was pruned, and that a mirror has cosigned what is gone."""
        told, end = self._last_pruned, self.pruned.end
        if (told.end if told else 0) != end:
            raise Bad(end, "pruned", f"records before {end} are not here, and no record says that they were pruned")
        if told is None:
            return
        row = reading.get(Table.COSIGNED, u64(told.mirrored_size)) or b""
        if end > told.mirrored_size or not cosigned_by(row, [CosignerKey.parse(told.mirror)]):
            raise Bad(end, "pruned", f"no checkpoint proves that the mirror {told.mirror} has the records before {end}")

    def _check_handovers(self, reading: Reading, tree: Tree) -> None:
        """Compare the keys that were handed over with the records that name them, and with the roots that both signed."""
        for size, handover in handovers(reading):
            if size > tree.size and stored_size(reading) >= size:
                return  # by the running daemon since the last chunk
            if size < self.pruned.end:
                continue  # it stands by itself: the chain has checked it
            if size > self.pruned.end and self._named.pop(size, None) != handover.vkey:
                raise Bad(size - 1, "key_rotated", "the journal is handed over to a key that this record does not name")
            if tail.root_at(reading, tree, size) != Checkpoint.parse(split_note(handover.note)[0]).root:
                raise Bad(size - 1, "checkpoint", f"the root of {size} records that two keys signed is not theirs")
        for size in self._named:
            if reading.get(Table.META, OPEN_KEY) != u64(size - 1):
                raise Bad(size - 1, "key_rotated", "the proof that the key it names was handed over is missing")
        if self.chain is not None:
            self.chain = chain_from(reading, self.chain.keys[0])  # a running daemon may have handed over meanwhile

    def _check_checkpoints(self, reading: Reading, tree: Tree, table: Table) -> None:
        for size, note in _notes(reading, table):
            if size > tree.size and stored_size(reading) >= size:
                return  # signed by the running daemon since the last chunk
            try:
                checkpoint = open_checkpoint(note, self._key_at(size))
            except NoteError as error:
                raise Bad(size - 1, "checkpoint", error.message) from error
            if checkpoint.size != size or size > tree.size:
                raise Bad(size - 1, "checkpoint", f"{checkpoint.size} records were signed, {tree.size} are here")
            if size >= self.pruned.end and self._root_at(reading, tree, size) != checkpoint.root:
                raise Bad(size - 1, "checkpoint", f"the signed root of {size} records is not that of the records")
            self.checkpoints += 1
            self.cosigned += table is Table.COSIGNED

    def _root_at(self, reading: Reading, tree: Tree, size: int) -> bytes:
        root = self._roots.get(size)
        return tail.root_at(reading, tree, size) if root is None else root

    def _key_at(self, size: int) -> VerifierKey:
        if self.chain is None:
            raise Bad(size - 1, "checkpoint", "a checkpoint without records or key")
        return self.chain.at(size)


def stored_size(reading: Reading) -> int:
    """Return how many records a store says it holds."""
    return Entries(reading).size()


def _notes(reading: Reading, table: Table) -> Iterator[tuple[int, str]]:
    """Yield (size, note), smallest first."""
    first = b""
    while rows := reading.scan(table, first=first, limit=NOTES_AT_ONCE):
        for key, note in rows:
            yield from_u64(key), note.decode("utf-8", "replace")
        first = rows[-1][0] + b"\x00"
