"""The tree in tiles of 256 hashes (C2SP tlog-tiles), and its immutable growing right edge."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from hashlib import sha256

from msgspec import Struct

from gatewayd.proof.merkle import HASH_SIZE, node_hash, root_of_edge

TILE_HEIGHT = 8
TILE_WIDTH = 1 << TILE_HEIGHT
TILE_BYTES = TILE_WIDTH * HASH_SIZE

ReadTile = Callable[[int, int], bytes]  # (tile level, tile index) -> the tile's hashes, maybe a partial tile's


class Tile(Struct, frozen=True):
    """A full tile: 256 hashes of nodes at tree level 8 * `level`, from node 256 * `index` on."""

    level: int
    index: int
    hashes: bytes  # TILE_BYTES long


class Tree(Struct, frozen=True):
    """A tree's size, its right-edge hashes and the partial tile of each level. Growing gives a new value.

    Args:
        size: number of leaves.
        edge: right-edge hashes, largest subtree first, one per set bit of `size`.
        partial: per tile level the hashes of the tile that is not full yet, back to back.
    """

    size: int = 0
    edge: tuple[bytes, ...] = ()
    partial: tuple[bytes, ...] = ()

    def root(self) -> bytes:
        """Return the root hash."""
        return root_of_edge(self.edge)

    def grown(self, leaf_hashes: Sequence[bytes]) -> tuple[Tree, list[Tile]]:
        """Return the tree with these leaves appended, and the tiles that became full by it, lowest level first."""
        size = self.size + len(leaf_hashes)
        waiting = dict(zip(_levels_of(self.size), self.edge, strict=True))  # level -> node without a right sibling yet
        partial = [bytearray(hashes) for hashes in self.partial]
        full: list[Tile] = []
        nodes, level, at = list(leaf_hashes), 0, self.size
        while nodes:
            if level % TILE_HEIGHT == 0:
                _place(partial, full, level // TILE_HEIGHT, at, nodes)
            if at & 1:
                nodes.insert(0, waiting.pop(level))
            if len(nodes) & 1:
                waiting[level] = nodes.pop()
            pairs = zip(nodes[::2], nodes[1::2], strict=True)
            nodes = [sha256(b"\x01" + left + right).digest() for left, right in pairs]
            level, at = level + 1, at >> 1
        edge = tuple(waiting[level] for level in _levels_of(size))
        return Tree(size, edge, tuple(bytes(hashes) for hashes in partial)), full

    def grown_by_tile(self, nodes: TileNodes) -> tuple[Tree, list[Tile]]:
        """Return the same for the 256 leaf hashes of a whole tile; the size must be a multiple of 256."""
        assert self.size % TILE_WIDTH == 0, self.size
        above = Tree(self.size >> TILE_HEIGHT, self.edge, self.partial[1:])
        grown, full = above.grown([nodes.root])
        tiles = [Tile(0, self.size >> TILE_HEIGHT, nodes.hashes)]
        tiles += [Tile(tile.level + 1, tile.index, tile.hashes) for tile in full]
        return Tree(self.size + TILE_WIDTH, grown.edge, (b"", *grown.partial)), tiles

    def root_within(self, nodes: TileNodes, count: int) -> bytes:
        """Return the root with the first `count` leaves of a tile appended; the size must be a multiple of 256."""
        return root_of_edge((*self.edge, *nodes.edge(count)))

    def tile(self, level: int, index: int, read_full: ReadTile) -> bytes:
        """Return a tile's hashes: the partial one from here, a full one from `read_full`."""
        if index == self.size >> TILE_HEIGHT * (level + 1):
            return self.partial[level]
        return read_full(level, index)


class TileNodes:
    """The nodes over the 256 hashes of a full tile.

    Args:
        hashes: of the tile, back to back.

    Attributes:
        root: the node over all of them.
    """

    def __init__(self, hashes: bytes) -> None:
        assert len(hashes) == TILE_BYTES, len(hashes)
        self.hashes = hashes
        self._rows = [hashes]
        while len(row := self._rows[-1]) > HASH_SIZE:
            pairs = [row[at : at + 2 * HASH_SIZE] for at in range(0, len(row), 2 * HASH_SIZE)]
            self._rows.append(b"".join([sha256(b"\x01" + pair).digest() for pair in pairs]))
        self.root = self._rows[-1]

    def edge(self, count: int) -> list[bytes]:
        """Return the nodes over the first `count` hashes, one per set bit of it, largest first."""
        edge = []
        for level in range(TILE_HEIGHT, -1, -1):
            if count >> level & 1:
                at = ((count >> level) - 1) * HASH_SIZE
                edge.append(self._rows[level][at : at + HASH_SIZE])
        return edge


def _levels_of(size: int) -> list[int]:
    """Return the levels of the right-edge hashes of a tree, highest first."""
    return [level for level in range(size.bit_length() - 1, -1, -1) if size >> level & 1]


def _place(partial: list[bytearray], full: list[Tile], level: int, first: int, nodes: Sequence[bytes]) -> None:
    """Put the hashes of nodes, from node `first` of their level on, into its tiles."""
    if level == len(partial):
        partial.append(bytearray())
    growing = partial[level]
    growing += b"".join(nodes)
    index = first >> TILE_HEIGHT
    while len(growing) >= TILE_BYTES:
        full.append(Tile(level, index, bytes(growing[:TILE_BYTES])))
        del growing[:TILE_BYTES]
        index += 1


def node_from_tiles(level: int, index: int, read_tile: ReadTile) -> bytes:
    """Return the hash of a complete subtree, from the tile that holds it or the nodes it is made of.

    Raises:
        ValueError: the tile is too short to hold the node.
    """
    tile_level, height = divmod(level, TILE_HEIGHT)
    tile_index, position = divmod(index << height, TILE_WIDTH)
    start, end = position * HASH_SIZE, (position + (1 << height)) * HASH_SIZE
    hashes = read_tile(tile_level, tile_index)
    if len(hashes) < end:
        raise ValueError(f"tile {tile_level}/{tile_index} of {len(hashes)} bytes does not reach to {end}")
    row = [hashes[at : at + HASH_SIZE] for at in range(start, end, HASH_SIZE)]
    while len(row) > 1:
        row = [node_hash(row[at], row[at + 1]) for at in range(0, len(row), 2)]
    return row[0]


def tile_path(level: int, index: int, width: int = TILE_WIDTH) -> str:
    """Return a tile's path in the C2SP layout, e.g. `tile/0/x001/067` or, 12 hashes wide, `tile/0/x001/067.p/12`."""
    return f"tile/{level}/{_index_path(index)}{_partial_suffix(width)}"


def entries_path(index: int, width: int = TILE_WIDTH) -> str:
    """Return an entry bundle's path in the C2SP layout, e.g. `tile/entries/x001/067`."""
    return f"tile/entries/{_index_path(index)}{_partial_suffix(width)}"


def entry_bundle(entries: Sequence[bytes]) -> bytes:
    """Return entries as one bundle: each after its length as two big-endian bytes."""
    return b"".join(len(entry).to_bytes(2, "big") + entry for entry in entries)


def entries_of_bundle(bundle: bytes) -> list[bytes]:
    """Return the entries of a bundle.

    Raises:
        ValueError: it ends within an entry.
    """
    entries: list[bytes] = []
    at = 0
    while at < len(bundle):
        start = at + 2
        at = start + int.from_bytes(bundle[at:start], "big")
        if start > len(bundle) or at > len(bundle):
            raise ValueError(f"the bundle of {len(bundle)} bytes ends within entry {len(entries)}")
        entries.append(bundle[start:at])
    return entries


def _index_path(index: int) -> str:
    groups = [f"{index % 1000:03d}"]
    while index := index // 1000:
        groups.append(f"x{index % 1000:03d}")
    return "/".join(reversed(groups))


def _partial_suffix(width: int) -> str:
    return "" if width == TILE_WIDTH else f".p/{width}"
