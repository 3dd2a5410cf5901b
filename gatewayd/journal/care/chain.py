"""Which key holds for which size of the log, proved key by key from the first one.

A key is handed over by a record that names the next one. The tree that ends with this record is signed by both keys, and
from its size on the new key alone counts: a checkpoint of s records is valid under the key whose range holds s. Whoever
steals a key later can sign nothing for the sizes before its range, because the key for those is gone.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator

import msgspec
from msgspec import Struct

from gatewayd.errors import UNDECODABLE, JournalDamaged
from gatewayd.journal.leaf import decode_leaf
from gatewayd.model.record import KeyRotated
from gatewayd.proof.merkle import leaf_hash, verify_inclusion
from gatewayd.proof.note import NoteError, VerifierKey, open_checkpoint
from gatewayd.store.tables import Table, from_u64, u64
from gatewayd.store.transaction import Reading

ROTATIONS_MAX = 65_536  # one a day for 179 years
_HANDOVERS_AT_ONCE = 256


class Handover(Struct, frozen=True, array_like=True):
    """The proof that a key was handed over; it stands by itself when the record has been pruned.

    Args:
        vkey: of the new key.
        leaf: bytes of the record that names it, the last one of the tree that both keys signed.
        path: audit path of that record in this tree.
        note: the checkpoint of this tree, signed by the old key and the new one.
    """

    vkey: str
    leaf: bytes
    path: tuple[bytes, ...]
    note: str


class Chain(Struct, frozen=True):
    """The keys of a log, each from its size on.

    Args:
        sizes: where each key's range begins, rising, the first is 0.
        keys: as many, the first is that of the genesis record.
    """

    sizes: tuple[int, ...]
    keys: tuple[VerifierKey, ...]

    @classmethod
    def of(cls, first: VerifierKey) -> Chain:
        """Return the chain of a log whose key was never handed over."""
        return cls((0,), (first,))

    def at(self, size: int) -> VerifierKey:
        """Return the key that a checkpoint of so many records must be signed with."""
        return self.keys[bisect_right(self.sizes, size) - 1]

    @property
    def newest(self) -> VerifierKey:
        """Return the key in force."""
        return self.keys[-1]

    def grown(self, size: int, handover: Handover) -> Chain:
        """Return the chain with one more key, from `size` on.

        Raises:
            JournalDamaged: the handover does not prove it.
        """
        key = checked_handover(size, handover, self.newest)
        if size <= self.sizes[-1]:
            raise _damaged(size, "its range begins before that of the key before it")
        return Chain((*self.sizes, size), (*self.keys, key))

    def ranges(self) -> tuple[tuple[int, str], ...]:
        """Return (first size, verifier key) of each key."""
        return tuple((size, key.text()) for size, key in zip(self.sizes, self.keys, strict=True))


def checked_handover(size: int, handover: Handover, old: VerifierKey) -> VerifierKey:
    """Return the key that `old` was handed over to.

    Raises:
        JournalDamaged: signatures, record or its proof are not what they should be.
    """
    try:
        new = VerifierKey.parse(handover.vkey)
        checkpoint = open_checkpoint(handover.note, old)
        open_checkpoint(handover.note, new)
        leaf = decode_leaf(handover.leaf)
    except (NoteError, ValueError) as error:
        raise _damaged(size, getattr(error, "message", str(error))) from error
    body = leaf.body
    if not isinstance(body, KeyRotated) or body.vkey != handover.vkey or leaf.seq != size - 1:
        raise _damaged(size, "its record does not name it")
    hash_ = leaf_hash(handover.leaf)
    if checkpoint.size != size or not verify_inclusion(hash_, size - 1, size, handover.path, checkpoint.root):
        raise _damaged(size, "its record is not the last of the tree that both keys signed")
    return new


def handovers(reading: Reading) -> Iterator[tuple[int, Handover]]:
    """Yield (size, handover), oldest first.

    Raises:
        JournalDamaged: one cannot be decoded.
    """
    first, found = u64(0), 0
    while rows := reading.scan(Table.KEY, first=first, limit=_HANDOVERS_AT_ONCE):
        for key, row in rows:
            try:
                yield from_u64(key), _decoder.decode(row)
            except UNDECODABLE as error:
                raise _damaged(from_u64(key), str(error)) from error
        found += len(rows)
        if found > ROTATIONS_MAX:
            raise _damaged(from_u64(rows[-1][0]), f"it is one of more than {ROTATIONS_MAX}")
        first = rows[-1][0] + b"\x00"


def chain_from(reading: Reading, first: VerifierKey) -> Chain:
    """Return the keys of a log that began with `first`.

    Raises:
        JournalDamaged: a handover does not prove what it says.
    """
    chain = Chain.of(first)
    for size, handover in handovers(reading):
        chain = chain.grown(size, handover)
    return chain


def stored_chain(reading: Reading, known: Chain) -> Chain:
    """Return the keys of the store's log; `known` while it has not begun.

    Only the newest handover is checked: a start shall not wait for years of signatures, nor give a log up for one old
    proof. `journal verify` checks them all.

    Raises:
        JournalDamaged: a row is malformed, or the newest handover does not prove what it says.
    """
    vkey = first_vkey(reading)
    if vkey is None:
        return known
    rows = list(handovers(reading))
    sizes = (0, *(size for size, _ in rows))
    try:
        keys = tuple(map(VerifierKey.parse, (vkey, *(handover.vkey for _, handover in rows))))
    except NoteError as error:
        raise _damaged(0, error.message) from error
    if rows:
        checked_handover(*rows[-1], keys[-2])
    return Chain(sizes, keys)


def stored_vkey(reading: Reading) -> str | None:
    """Return the verifier key that the store says is in force, unproved; None = the log has not begun."""
    rows = reading.scan_back(Table.KEY, limit=1)
    if rows:
        try:
            return _decoder.decode(rows[0][1]).vkey
        except UNDECODABLE as error:
            raise _damaged(from_u64(rows[0][0]), str(error)) from error
    return first_vkey(reading)


def first_vkey(reading: Reading) -> str | None:
    """Return the verifier key that the store says the log began with, None = it has not begun."""
    found = reading.get(Table.META, b"vkey")
    return None if found is None else found.decode("utf-8", "replace")


def handover_row(handover: Handover) -> bytes:
    """Return the bytes of a row of the key table."""
    return _encoder.encode(handover)


def _damaged(size: int, what: str) -> JournalDamaged:
    return JournalDamaged(
        f"the key of the journal from {size} records on: {what}",
        remedy="Keep the store's folder for the auditor and run `gatewayd journal verify`.",
    )


_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(Handover)
