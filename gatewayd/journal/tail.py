"""The tree's right edge as it stands in the store, and its recovery at a start.

Full tiles are immutable rows. Of the rest the store keeps: the leaf hashes past the last full tile, each with its leaf, the
partial tiles above, and the right-edge hashes. At a start they are recomputed from the newest leaves and from each other;
what does not agree is damage, and is named.
"""

from __future__ import annotations

from collections.abc import Callable
from hashlib import sha256

from msgspec import Struct

from gatewayd.errors import JournalDamaged
from gatewayd.journal.leaf import decode_leaf
from gatewayd.journal.tiles.bundle import Entries
from gatewayd.proof.merkle import HASH_SIZE, Nodes, edge_of_range, leaf_hash, range_hash
from gatewayd.proof.note import Checkpoint, NoteError, VerifierKey, open_checkpoint
from gatewayd.proof.tiles import TILE_HEIGHT, TILE_WIDTH, Tile, Tree, node_from_tiles
from gatewayd.store.tables import Table, from_u64, u64
from gatewayd.store.transaction import Reading, Writes

EDGE_KEY = b"e"
CHECKPOINTS_KEPT = 256  # newest ones; of older ones one in each span stays
CHECKPOINT_SPAN = 4096  # leaves


KeyAt = Callable[[int], VerifierKey]


class Recovered(Struct, frozen=True):
    """What a journal needs to go on."""

    tree: Tree
    note: str  # the newest stored checkpoint; empty = none
    checkpoint_size: int
    checkpoint_sizes: tuple[int, ...]  # of the newest stored checkpoints, ascending


def partial_key(level: int) -> bytes:
    """Return the edge-table key of the partial tile at a tile level above 0."""
    return b"p" + bytes([level])


def tile_key(level: int, index: int) -> bytes:
    """Return the tile-table key of a full tile."""
    return bytes([level]) + u64(index)


def damaged(seq: int, what: str) -> JournalDamaged:
    """Return the error for a record that is not what was journalled."""
    return JournalDamaged(
        f"journal record {seq}: {what}",
        remedy="Keep the store's folder for the auditor and run `gatewayd journal verify`; "
        "a damaged journal is continued only as a new epoch (`gatewayd init --new-epoch`).",
    )


def store_growth(writing: Writes, new: Tree, full: list[Tile]) -> None:
    """Write what has changed of the tree when it has grown to `new` and completed the tiles `full`."""
    for tile in full:
        writing.put(Table.TILE, tile_key(tile.level, tile.index), tile.hashes)
    if full:
        for level in range(1, len(new.partial)):
            writing.put(Table.EDGE, partial_key(level), new.partial[level])
    writing.put(Table.EDGE, EDGE_KEY, u64(new.size) + b"".join(new.edge))


def store_checkpoint(writing: Writes, size: int, note: str, superseded: int | None) -> None:
    """Write a checkpoint; drop the one it makes superfluous."""
    writing.put(Table.CHECKPOINT, u64(size), note.encode())
    if superseded is not None:
        writing.delete(Table.CHECKPOINT, u64(superseded))


def read_tile(reading: Reading, tree: Tree, level: int, index: int) -> bytes:
    """Return a tile's hashes: the tree's own partial one or a full one from the store."""
    return tree.tile(level, index, lambda *key: _full_tile(reading, *key))


def _full_tile(reading: Reading, level: int, index: int) -> bytes:
    hashes = reading.get(Table.TILE, tile_key(level, index))
    if hashes is None or len(hashes) != TILE_WIDTH * HASH_SIZE:
        raise damaged(index << TILE_HEIGHT * (level + 1), f"the tile {level}/{index} over it is missing or too short")
    return hashes


def root_at(reading: Reading, tree: Tree, size: int) -> bytes:
    """Return the root of the first `size` leaves, from tiles."""
    return range_hash(0, size, nodes_of(reading, tree))


def edge_at(reading: Reading, tree: Tree, size: int) -> list[bytes]:
    """Return the right-edge hashes of the first `size` leaves, largest subtree first, from tiles."""
    return edge_of_range(0, size, nodes_of(reading, tree))


def first_hashes(reading: Reading, tree: Tree, level: int, nodes: int) -> bytes:
    """Return the hashes in the tile that grows when a tile level has so many nodes."""
    count = nodes % TILE_WIDTH
    return read_tile(reading, tree, level, nodes // TILE_WIDTH)[: count * HASH_SIZE] if count else b""


def nodes_of(reading: Reading, tree: Tree) -> Nodes:
    """Return the source of the tree's nodes, for proofs."""
    return lambda level, index: node_from_tiles(level, index, lambda *key: read_tile(reading, tree, *key))


def recover(reading: Reading, key_at: KeyAt) -> Recovered:
    """Return the journal's tail, every part of it checked against the others.

    Args:
        reading: the store.
        key_at: returns the key that a checkpoint of a size must be signed with.

    Raises:
        JournalDamaged: leaves, tiles, edge and last checkpoint do not agree; the message names the record.
    """
    entries = Entries(reading)
    size = entries.size()
    tree = _tree_of_store(reading, entries, size)
    _check_tail_leaves(reading, entries, tree)
    rows = reading.scan_back(Table.CHECKPOINT, limit=CHECKPOINTS_KEPT)
    sizes = tuple(from_u64(row[0]) for row in reversed(rows))
    if not rows:
        return Recovered(tree, "", 0, ())
    note = rows[0][1].decode("utf-8", "replace")
    checkpoint = _checked_checkpoint(reading, tree, note, key_at(sizes[-1]))
    return Recovered(tree, note, checkpoint.size, sizes)


def stored_tree(reading: Reading) -> Tree:
    """Return the tree of all records in the store.

    Raises:
        JournalDamaged: the stored hashes do not agree with each other.
    """
    entries = Entries(reading)
    return _tree_of_store(reading, entries, entries.size())


def _tree_of_store(reading: Reading, entries: Entries, size: int) -> Tree:
    """Return the tree of `size` leaves from the stored tail hashes and partial tiles, if the stored edge agrees."""
    row = reading.get(Table.EDGE, EDGE_KEY) or u64(0)
    if from_u64(row) != size:
        raise damaged(min(from_u64(row), size), f"the tree has {from_u64(row)} leaves, the journal {size} records")
    if not size:
        return Tree()
    tail = size % TILE_WIDTH
    partial = [b"".join(hash_ for hash_, _ in entries.young(size - tail, tail))]
    level = 1
    while size >> TILE_HEIGHT * level:
        partial.append(reading.get(Table.EDGE, partial_key(level)) or b"")
        level += 1
    for level, hashes in enumerate(partial):
        count = (size >> TILE_HEIGHT * level) % TILE_WIDTH
        if len(hashes) != count * HASH_SIZE:
            raise damaged(
                size - 1 - tail, f"the partial tile of level {level} has {len(hashes)} bytes for {count} hashes"
            )
    edge = edge_of_range(0, size, lambda level, at: node_from_tiles(level, at, lambda row, _: partial[row]))
    if row[8:] != b"".join(edge):
        raise damaged(size - 1, "the stored edge of the tree does not follow from the stored hashes")
    return Tree(size, tuple(edge), tuple(partial))


def _check_tail_leaves(reading: Reading, entries: Entries, tree: Tree) -> None:
    """Compare the newest leaves, back to one full tile before the tail, with their hashes."""
    first = max(0, tree.size - tree.size % TILE_WIDTH - TILE_WIDTH)
    leaves = leaves_of(entries, first, tree.size - first)
    for seq, leaf in enumerate(leaves, start=first):
        check_leaf(leaf, seq, expected_hash(reading, tree, seq))
    if first + len(leaves) != tree.size:
        raise damaged(first + len(leaves), "it is missing")


def leaves_of(entries: Entries, first: int, count: int) -> list[bytes]:
    """Return the bytes of records, up to the first that is missing.

    Raises:
        JournalDamaged: a bundle of theirs cannot be unpacked.
    """
    try:
        return entries.leaves(first, count)
    except ValueError as error:
        raise damaged(first, f"the bundle it stands in cannot be unpacked: {error}") from error


def evidence_of(entries: Entries, seq: int, digest: bytes) -> bytes | None:
    """Return the evidence that came with a record, which cites it by its hash; None if it was pruned.

    Raises:
        JournalDamaged: it cannot be unpacked, or has another hash.
    """
    try:
        evidence = entries.evidence(seq)
    except ValueError as error:
        raise damaged(seq, f"the evidence of its tile cannot be unpacked: {error}") from error
    if evidence is not None and sha256(evidence).digest() != digest:
        raise damaged(seq, "its evidence does not have the hash that it cites")
    return evidence


def expected_hash(reading: Reading, tree: Tree, seq: int) -> bytes:
    """Return the hash that the tree holds for a leaf."""
    hashes = read_tile(reading, tree, 0, seq >> TILE_HEIGHT)
    start = seq % TILE_WIDTH * HASH_SIZE
    return hashes[start : start + HASH_SIZE]


def check_leaf(leaf: bytes, seq: int, expected: bytes) -> None:
    """Refuse a leaf whose bytes are not those that the tree commits to, or that claims another place.

    Raises:
        JournalDamaged: so it is.
    """
    if leaf_hash(leaf) != expected:
        raise damaged(seq, "its bytes do not have the hash that the tree holds for it")
    try:
        claimed = decode_leaf(leaf).seq
    except ValueError as error:
        raise damaged(seq, f"it cannot be decoded: {error}") from error
    if claimed != seq:
        raise damaged(seq, f"it says it is record {claimed}")


def _checked_checkpoint(reading: Reading, tree: Tree, note: str, key: VerifierKey) -> Checkpoint:
    try:
        checkpoint = open_checkpoint(note, key)
    except NoteError as error:
        raise damaged(max(tree.size - 1, 0), f"the newest checkpoint is not ours: {error.message}") from error
    if checkpoint.size > tree.size:
        raise damaged(tree.size, f"a checkpoint of {checkpoint.size} records was signed, only {tree.size} are here")
    if root_at(reading, tree, checkpoint.size) != checkpoint.root:
        raise damaged(checkpoint.size - 1, f"the root of {checkpoint.size} records is not the one that was signed")
    return checkpoint
