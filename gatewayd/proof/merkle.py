"""The RFC 6962 Merkle tree: hashes, roots from right-edge hashes, inclusion and consistency proofs.

A node (level, index) is the complete subtree over the leaves [index << level, (index + 1) << level).
Proofs are made from any source of such nodes and are checked by the algorithms of RFC 9162, section 2.1.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from hashlib import sha256

HASH_SIZE = 32
EMPTY_ROOT = sha256(b"").digest()

Nodes = Callable[[int, int], bytes]  # (level, index) -> hash of that complete subtree


def leaf_hash(entry: bytes) -> bytes:
    """Return SHA-256(0x00 || entry); the prefix keeps a leaf from passing for a node."""
    return sha256(b"\x00" + entry).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    """Return SHA-256(0x01 || left || right)."""
    return sha256(b"\x01" + left + right).digest()


def root_of_edge(edge: Sequence[bytes]) -> bytes:
    """Return the root of a tree from its right-edge hashes.

    Args:
        edge: hash of each complete subtree along the right edge, largest first: one per set bit of the size.
    """
    if not edge:
        return EMPTY_ROOT
    root = edge[-1]
    for left in reversed(edge[:-1]):
        root = node_hash(left, root)
    return root


def range_hash(first: int, count: int, nodes: Nodes) -> bytes:
    """Return MTH(D[first : first + count]).

    Args:
        first: a multiple of the smallest power of two that is at least `count`, as in every range of a proof.
        count: number of leaves, at least 0.
        nodes: source of complete subtrees.
    """
    return root_of_edge(edge_of_range(first, count, nodes))


def edge_of_range(first: int, count: int, nodes: Nodes) -> list[bytes]:
    """Return the right-edge hashes of the leaves [first, first + count), largest subtree first."""
    edge = []
    for level in range(count.bit_length() - 1, -1, -1):
        if count >> level & 1:
            edge.append(nodes(level, first >> level))
            first += 1 << level
    return edge


def inclusion_proof(index: int, size: int, nodes: Nodes) -> list[bytes]:
    """Return the audit path of leaf `index` in the tree of `size` leaves, lowest node first.

    Raises:
        ValueError: there is no such leaf in that tree.
    """
    if not 0 <= index < size:
        raise ValueError(f"leaf {index} is not in a tree of {size}")
    path = []
    first, count = 0, size
    while count > 1:
        left = _split(count)
        if index < first + left:
            path.append(range_hash(first + left, count - left, nodes))
            count = left
        else:
            path.append(range_hash(first, left, nodes))
            first, count = first + left, count - left
    path.reverse()
    return path


def consistency_proof(old_size: int, new_size: int, nodes: Nodes) -> list[bytes]:
    """Return the proof that the first `old_size` leaves of the tree of `new_size` are the old tree.

    Raises:
        ValueError: the old tree is larger than the new one.
    """
    if not 0 <= old_size <= new_size:
        raise ValueError(f"a tree of {old_size} is no beginning of a tree of {new_size}")
    if old_size in (0, new_size):
        return []
    path = []
    first, count, old_end_is_subtree = 0, new_size, True
    while old_size != first + count:
        left = _split(count)
        if old_size <= first + left:
            path.append(range_hash(first + left, count - left, nodes))
            count = left
        else:
            path.append(range_hash(first, left, nodes))
            first, count, old_end_is_subtree = first + left, count - left, False
    if not old_end_is_subtree:
        path.append(range_hash(first, count, nodes))
    path.reverse()
    return path


def verify_inclusion(leaf: bytes, index: int, size: int, path: Sequence[bytes], root: bytes) -> bool:
    """Say whether `path` proves that the leaf hash `leaf` stands at `index` under `root` (RFC 9162, 2.1.3.2)."""
    if not 0 <= index < size:
        return False
    node, last, found = index, size - 1, leaf
    for sibling in path:
        if last == 0:
            return False
        if node & 1 or node == last:
            found = node_hash(sibling, found)
            node, last = _to_left_child_of_ancestor(node, last)
        else:
            found = node_hash(found, sibling)
        node, last = node >> 1, last >> 1
    return last == 0 and found == root


def verify_consistency(old_size: int, new_size: int, path: Sequence[bytes], old_root: bytes, new_root: bytes) -> bool:
    """Say whether `path` proves that the new tree begins with the old one (RFC 9162, 2.1.4.2)."""
    if not 0 <= old_size <= new_size:
        return False
    if old_size == new_size:
        return not path and old_root == new_root
    if old_size == 0:
        return not path and old_root == EMPTY_ROOT
    if old_size & (old_size - 1) == 0:
        path = [old_root, *path]
    return bool(path) and _grown_roots(old_size, new_size, path) == (old_root, new_root)


def _grown_roots(old_size: int, new_size: int, path: Sequence[bytes]) -> tuple[bytes, bytes] | None:
    """Return the (old, new) roots that a consistency path leads to, None if its length is wrong."""
    node, last = old_size - 1, new_size - 1
    while node & 1:
        node, last = node >> 1, last >> 1
    old = new = path[0]
    for sibling in path[1:]:
        if last == 0:
            return None
        if node & 1 or node == last:
            old, new = node_hash(sibling, old), node_hash(sibling, new)
            node, last = _to_left_child_of_ancestor(node, last)
        else:
            new = node_hash(new, sibling)
        node, last = node >> 1, last >> 1
    return (old, new) if last == 0 else None


def _to_left_child_of_ancestor(node: int, last: int) -> tuple[int, int]:
    """Skip the levels at which a right-edge node has no sibling."""
    while node and not node & 1:
        node, last = node >> 1, last >> 1
    return node, last


def _split(count: int) -> int:
    """Return the largest power of two below `count`, which is at least 2."""
    return 1 << (count - 1).bit_length() - 1
