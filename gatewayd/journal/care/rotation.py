"""Hands the log over to a new key: a record that names it, then a checkpoint that both sign, then the old one goes.

In this order each step can be the last one before a power cut. While the record is durable and the handover is not,
nothing is signed: no key may sign for a size whose key is not settled yet. The next start finishes what is open.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from gatewayd.errors import StoreError, StoreFull
from gatewayd.journal.batch import Extra
from gatewayd.journal.care import chain
from gatewayd.journal.care.chain import Handover, handover_row
from gatewayd.model.decision import NewRecord
from gatewayd.model.record import Actor, KeyRotated
from gatewayd.proof.note import Checkpoint, Signer, sign_note
from gatewayd.store.env import Store
from gatewayd.store.tables import Table, from_u64, u64
from gatewayd.store.transaction import Writes

if TYPE_CHECKING:
    from gatewayd.journal.log import Journal

OPEN_KEY = b"rotation"  # in META: place of the record whose handover is not durable yet


class Rotated(NamedTuple):
    """A handover.

    Args:
        size: of the tree that both keys signed; from here on the new key counts.
        vkey: of the new key.
        note: the checkpoint that both signed.
    """

    size: int
    vkey: str
    note: str


def signer_in_force(store: Store, signer: Signer, next_signer: Signer | None) -> Signer:
    """Return the one of two signers that the store's log was handed over to last."""
    stored = store.read(chain.stored_vkey) if next_signer is not None else None
    return next_signer if next_signer is not None and stored == next_signer.vkey else signer


def open_rotation(store: Store) -> int | None:
    """Return the place of a record that names a key which the log was not handed over to, None if there is none."""
    row = store.get(Table.META, OPEN_KEY)
    return None if row is None else from_u64(row)


async def rotate(journal: Journal, new: Signer, actor: Actor) -> Rotated:
    """Hand the log over to a new key.

    Args:
        journal: open; others may go on writing.
        new: durable already, under the log's name.
        actor: who asked.

    Raises:
        StoreError: not durable; what is open is finished by the next start, or the next call with the same key.
    """
    assert new.name == journal.origin, "a key has the log's name"
    journal.hold_signing()
    seq = open_rotation(journal.store)
    if seq is None:
        record = NewRecord(KeyRotated(new.vkey, journal.signer.vkey, actor))
        try:
            (seq,) = await journal.commit_with([record], _note_open)
        except StoreFull:
            journal.resume_signing()
            raise
    handover = made_handover(journal, seq, new)
    write = handover_rows(seq + 1, handover)
    await journal.free(lambda writing: write(writing, ()))
    journal.sign_with(new, seq + 1, handover)
    return Rotated(seq + 1, new.vkey, handover.note)


def _note_open(writing: Writes, seqs: tuple[int, ...]) -> None:
    writing.put(Table.META, OPEN_KEY, u64(seqs[0]))


def made_handover(journal: Journal, seq: int, new: Signer | None) -> Handover:
    """Return the proof of a handover whose record stands at `seq`, durable.

    Raises:
        StoreError: the record names another key than `new`.
    """
    body = journal.record(seq).leaf.body
    if new is None or not isinstance(body, KeyRotated) or body.vkey != new.vkey:
        raise StoreError(
            f"record {seq} hands the journal over to a key that is not here",
            remedy="Give back keys/journal-key.next of the storage folder, or the credential journal-key-next.",
        )
    size = seq + 1
    checkpoint = Checkpoint(journal.origin, size, journal.root(size))
    note = sign_note(checkpoint.text(), [journal.signer, new])
    return Handover(new.vkey, journal.entries(seq, 1)[0], tuple(journal.prove_inclusion(seq, size)), note)


def handover_rows(size: int, handover: Handover) -> Extra:
    """Return what writes a handover; with it the rotation is no longer open."""

    def write(writing: Writes, _: tuple[int, ...]) -> None:
        writing.put(Table.KEY, u64(size), handover_row(handover))
        writing.delete(Table.META, OPEN_KEY)

    return write
