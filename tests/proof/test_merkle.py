"""The tree against RFC 6962 itself: a naive recursive reading of its text is the judge."""

from __future__ import annotations

from hashlib import sha256

from hypothesis import given
from hypothesis import strategies as st

from gatewayd.proof.merkle import (
    EMPTY_ROOT,
    consistency_proof,
    inclusion_proof,
    leaf_hash,
    range_hash,
    root_of_edge,
    verify_consistency,
    verify_inclusion,
)
from gatewayd.proof.tiles import TILE_BYTES, Tree, node_from_tiles


def mth(leaves: list[bytes]) -> bytes:
    """RFC 6962 section 2.1, word for word."""
    if not leaves:
        return sha256(b"").digest()
    if len(leaves) == 1:
        return sha256(b"\x00" + leaves[0]).digest()
    k = split(len(leaves))
    return sha256(b"\x01" + mth(leaves[:k]) + mth(leaves[k:])).digest()


def split(n: int) -> int:
    k = 1
    while k * 2 < n:
        k *= 2
    return k


def path(m: int, leaves: list[bytes]) -> list[bytes]:
    """RFC 6962 section 2.1.1."""
    if len(leaves) == 1:
        return []
    k = split(len(leaves))
    if m < k:
        return [*path(m, leaves[:k]), mth(leaves[k:])]
    return [*path(m - k, leaves[k:]), mth(leaves[:k])]


def subproof(m: int, leaves: list[bytes], whole: bool) -> list[bytes]:
    """RFC 6962 section 2.1.2."""
    n = len(leaves)
    if m == n:
        return [] if whole else [mth(leaves)]
    k = split(n)
    if m <= k:
        return [*subproof(m, leaves[:k], whole), mth(leaves[k:])]
    return [*subproof(m - k, leaves[k:], False), mth(leaves[:k])]


class TiledTree:
    """A Tree with somewhere to keep its full tiles, as the store does."""

    def __init__(self) -> None:
        self.tree = Tree()
        self.full: dict[tuple[int, int], bytes] = {}

    def grow(self, entries: list[bytes]) -> None:
        self.tree, full = self.tree.grown([leaf_hash(entry) for entry in entries])
        for tile in full:
            assert len(tile.hashes) == TILE_BYTES
            self.full[tile.level, tile.index] = tile.hashes

    def node(self, level: int, index: int) -> bytes:
        read = lambda tile_level, at: self.tree.tile(tile_level, at, lambda *key: self.full[key])  # noqa: E731
        return node_from_tiles(level, index, read)


def entries(n: int) -> list[bytes]:
    return [f"entry {i}".encode() for i in range(n)]


def tiled(n: int) -> TiledTree:
    tiles = TiledTree()
    tiles.grow(entries(n))
    return tiles


def test_known_values_of_the_standard():
    assert EMPTY_ROOT.hex() == "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
    assert leaf_hash(b"").hex() == "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d"
    assert root_of_edge([]) == EMPTY_ROOT


def test_the_roots_of_the_certificate_transparency_reference_log():
    """The eight leaves and roots that every CT implementation tests with."""
    leaves = ["", "00", "10", "2021", "3031", "40414243", "5051525354555657", "606162636465666768696a6b6c6d6e6f"]
    roots = {
        1: "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
        2: "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
        8: "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
    }
    for size, root in roots.items():
        tree, _ = Tree().grown([leaf_hash(bytes.fromhex(leaf)) for leaf in leaves[:size]])
        assert tree.root().hex() == root


@given(st.integers(0, 600), st.integers(0, 600))
def test_a_root_is_that_of_the_rfc_however_the_tree_grew(size, cut):
    tiles = TiledTree()
    tiles.grow(entries(size)[:cut])
    tiles.grow(entries(size)[cut:])
    assert tiles.tree.root() == mth(entries(size))
    assert range_hash(0, size, tiles.node) == mth(entries(size))


@given(st.data())
def test_an_inclusion_proof_is_that_of_the_rfc_and_verifies(data):
    size = data.draw(st.integers(1, 600))
    index = data.draw(st.integers(0, size - 1))
    proof = inclusion_proof(index, size, tiled(size).node)
    assert proof == path(index, entries(size))
    assert verify_inclusion(leaf_hash(entries(size)[index]), index, size, proof, mth(entries(size)))


@given(st.data())
def test_a_consistency_proof_is_that_of_the_rfc_and_verifies(data):
    new = data.draw(st.integers(1, 600))
    old = data.draw(st.integers(1, new))
    proof = consistency_proof(old, new, tiled(new).node)
    assert proof == subproof(old, entries(new), True)
    assert verify_consistency(old, new, proof, mth(entries(old)), mth(entries(new)))


@given(st.data())
def test_a_changed_inclusion_proof_never_verifies(data):
    size = data.draw(st.integers(1, 300))
    index = data.draw(st.integers(0, size - 1))
    proof = path(index, entries(size))
    leaf, root = leaf_hash(entries(size)[index]), mth(entries(size))
    assert not verify_inclusion(leaf_hash(b"other"), index, size, proof, root)
    assert not verify_inclusion(leaf, index, size, [*proof, root], root)
    assert not verify_inclusion(leaf, index, size, proof, leaf_hash(b"other"))
    other = data.draw(st.integers(0, size - 1).filter(lambda i: i != index)) if size > 1 else size
    assert not verify_inclusion(leaf, other, size, proof, root)
    if proof:
        at = data.draw(st.integers(0, len(proof) - 1))
        assert not verify_inclusion(leaf, index, size, proof[:at] + proof[at + 1 :], root)
        assert not verify_inclusion(leaf, index, size, [*proof[:at], leaf_hash(b"x"), *proof[at + 1 :]], root)


@given(st.data())
def test_a_changed_consistency_proof_never_verifies(data):
    new = data.draw(st.integers(2, 300))
    old = data.draw(st.integers(1, new - 1))
    proof = subproof(old, entries(new), True)
    old_root, new_root = mth(entries(old)), mth(entries(new))
    fork = mth([*entries(old - 1), b"forked"])
    assert not verify_consistency(old, new, proof, fork, new_root)
    assert not verify_consistency(old, new, proof, old_root, fork)
    assert not verify_consistency(old, new, [*proof, fork], old_root, new_root)
    assert not verify_consistency(new, old, proof, new_root, old_root)
    at = data.draw(st.integers(0, len(proof) - 1))
    assert not verify_consistency(old, new, proof[:at] + proof[at + 1 :], old_root, new_root)
    assert not verify_consistency(old, new, [*proof[:at], fork, *proof[at + 1 :]], old_root, new_root)


def test_the_empty_tree_is_the_beginning_of_every_tree_and_of_nothing_else():
    root = mth(entries(5))
    assert consistency_proof(0, 5, tiled(5).node) == []
    assert verify_consistency(0, 5, [], EMPTY_ROOT, root)
    assert not verify_consistency(0, 5, [], root, root)
    assert not verify_consistency(0, 5, [root], EMPTY_ROOT, root)
    assert verify_consistency(5, 5, [], root, root)
    assert not verify_consistency(5, 5, [root], root, root)


def test_a_leaf_outside_the_tree_has_no_proof_and_none_verifies():
    import pytest

    with pytest.raises(ValueError, match="not in a tree"):
        inclusion_proof(5, 5, tiled(5).node)
    with pytest.raises(ValueError, match="no beginning"):
        consistency_proof(6, 5, tiled(5).node)
    assert not verify_inclusion(leaf_hash(b""), 5, 5, [], mth(entries(5)))
    assert not verify_inclusion(leaf_hash(b""), -1, 5, [], mth(entries(5)))
