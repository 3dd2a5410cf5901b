"""Every inclusion and consistency proof of trees of 0 to 300 leaves, against RFC 6962 read word for word.

Slow and obvious: MTH, PATH and SUBPROOF as section 2.1 defines them, over ranges D[first:end] of one list of leaves.
"""

from __future__ import annotations

from functools import cache
from hashlib import sha256

import pytest

from gatewayd.proof.merkle import (
    Nodes,
    consistency_proof,
    inclusion_proof,
    leaf_hash,
    verify_consistency,
    verify_inclusion,
)
from gatewayd.proof.tiles import Tree
from tests.proof.test_merkle import TiledTree
from tests.verify.samples import verifier

SIZE_MAX = 300
LEAVES = [b"leaf %d" % n for n in range(SIZE_MAX)]
# Over every root, path and proof below, in order: they may not change, and not both sides together either.
ROOTS = "83e005aab220bccc1d32840c4b72f357dab811c3ae5c27bb298996518b28747b"
PATHS = "38ab614520a4778c70fa3774797ba5b353f2dbc3273e7d3912c9c8b049a5445f"
PROOFS = "d19a4f8ab4000b8a08e73f6e694262acda61a8d80d48844a327e98ddb3930604"

second = verifier()


@cache
def mth(first: int, end: int) -> bytes:
    """MTH(D[first:end]), section 2.1."""
    n = end - first
    if n == 0:
        return sha256(b"").digest()
    if n == 1:
        return sha256(b"\x00" + LEAVES[first]).digest()
    k = largest_power_below(n)
    return sha256(b"\x01" + mth(first, first + k) + mth(first + k, end)).digest()


def largest_power_below(n: int) -> int:
    k = 1
    while 2 * k < n:
        k *= 2
    return k


def path(m: int, first: int, end: int) -> list[bytes]:
    """PATH(m, D[first:end]), section 2.1.1."""
    n = end - first
    if n == 1:
        return []
    k = largest_power_below(n)
    if m < k:
        return [*path(m, first, first + k), mth(first + k, end)]
    return [*path(m - k, first + k, end), mth(first, first + k)]


def subproof(m: int, first: int, end: int, whole: bool) -> list[bytes]:
    """SUBPROOF(m, D[first:end], b), section 2.1.2."""
    n = end - first
    if m == n:
        return [] if whole else [mth(first, end)]
    k = largest_power_below(n)
    if m <= k:
        return [*subproof(m, first, first + k, whole), mth(first + k, end)]
    return [*subproof(m - k, first + k, end, False), mth(first, first + k)]


@pytest.fixture(scope="module")
def nodes() -> Nodes:
    """The nodes of all 300 leaves, out of tiles; a complete subtree is the same in every tree that holds it."""
    tiles = TiledTree()
    tiles.grow(LEAVES)
    return cache(tiles.node)


def test_the_root_of_every_size():
    seen = sha256()
    for size in range(SIZE_MAX + 1):
        tree, _ = Tree().grown([leaf_hash(leaf) for leaf in LEAVES[:size]])
        assert tree.root() == mth(0, size)
        if size:
            assert second.root_of([leaf_hash(leaf) for leaf in LEAVES[:size]]) == mth(0, size)
        seen.update(tree.root())
    assert seen.hexdigest() == ROOTS


def test_the_inclusion_proof_of_every_leaf_in_every_size(nodes):
    seen = sha256()
    for size in range(1, SIZE_MAX + 1):
        root = mth(0, size)
        for index in range(size):
            proof = inclusion_proof(index, size, nodes)
            assert proof == path(index, 0, size)
            assert verify_inclusion(leaf_hash(LEAVES[index]), index, size, proof, root)
            assert second.root_by_path(leaf_hash(LEAVES[index]), index, size, proof) == root
            seen.update(b"".join(proof))
    assert seen.hexdigest() == PATHS


def test_the_consistency_proof_of_every_size_with_every_later_one(nodes):
    seen = sha256()
    for new in range(SIZE_MAX + 1):
        for old in range(new + 1):
            proof = consistency_proof(old, new, nodes)
            assert proof == (subproof(old, 0, new, True) if old else [])
            assert verify_consistency(old, new, proof, mth(0, old), mth(0, new))
            seen.update(b"".join(proof))
    assert seen.hexdigest() == PROOFS
