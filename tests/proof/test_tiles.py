"""The C2SP tile layout: what is in a tile, when it is full, what it is called."""

from __future__ import annotations

import pytest

from gatewayd.proof.merkle import leaf_hash, node_hash
from gatewayd.proof.tiles import (
    TILE_BYTES,
    TileNodes,
    Tree,
    entries_of_bundle,
    entries_path,
    entry_bundle,
    node_from_tiles,
    tile_path,
)


def hashes(n: int) -> list[bytes]:
    return [leaf_hash(str(i).encode()) for i in range(n)]


def test_a_full_tile_holds_the_256_hashes_of_its_level():
    tree, full = Tree().grown(hashes(256 * 256 + 300))
    by_key = {(tile.level, tile.index): tile.hashes for tile in full}
    assert set(by_key) == {(0, i) for i in range(257)} | {(1, 0)}
    assert by_key[0, 1] == b"".join(hashes(512)[256:])
    row = hashes(256)
    while len(row) > 1:
        row = [node_hash(*row[i : i + 2]) for i in range(0, len(row), 2)]
    assert by_key[1, 0][:32] == row[0]
    assert tree.partial[0] == b"".join(hashes(256 * 256 + 300)[256 * 257 :])
    assert len(tree.partial[1]) == 32


def test_growing_leaves_the_old_tree_as_it_was():
    old, _ = Tree().grown(hashes(255))
    root, partial = old.root(), old.partial
    new, full = old.grown([leaf_hash(b"last")])
    assert (old.size, old.root(), old.partial) == (255, root, partial)
    assert (new.size, len(full), len(full[0].hashes)) == (256, 1, TILE_BYTES)
    assert new.partial[0] == b""


def test_a_node_beyond_a_partial_tile_is_refused():
    tree, _ = Tree().grown(hashes(3))
    with pytest.raises(ValueError, match="does not reach"):
        node_from_tiles(1, 1, lambda level, index: tree.partial[level])


@pytest.mark.parametrize(
    ("level", "index", "width", "path"),
    [
        (0, 0, 256, "tile/0/000"),
        (0, 67, 256, "tile/0/067"),
        (1, 1234067, 256, "tile/1/x001/x234/067"),
        (2, 1000, 12, "tile/2/x001/000.p/12"),
    ],
)
def test_a_tiles_path_is_that_of_the_specification(level, index, width, path):
    assert tile_path(level, index, width) == path


def test_entry_bundles_prefix_each_entry_with_its_length():
    assert entries_path(1001, 3) == "tile/entries/x001/001.p/3"
    assert entry_bundle([b"ab", b""]) == b"\x00\x02ab\x00\x00"


def test_a_bundle_gives_its_entries_back_and_a_torn_one_is_refused():
    entries = [b"ab", b"", bytes(65535)]
    bundle = entry_bundle(entries)
    assert entries_of_bundle(bundle) == entries
    assert entries_of_bundle(b"") == []
    for torn in (bundle[:-1], bundle + b"\x00", bundle + b"\x00\x01"):
        with pytest.raises(ValueError, match="ends within entry"):
            entries_of_bundle(torn)


def test_a_whole_tile_at_once_grows_the_tree_as_its_leaves_do():
    """257 tiles, so that a tile of the level above becomes full on the way."""
    one_by_one = at_once = Tree()
    for number in range(257):
        hashes = [leaf_hash(number.to_bytes(2, "big") + bytes([leaf])) for leaf in range(256)]
        one_by_one, full = one_by_one.grown(hashes)
        at_once, same = at_once.grown_by_tile(TileNodes(b"".join(hashes)))
        assert same == full
        assert at_once == one_by_one
    assert at_once.size == 65_792
