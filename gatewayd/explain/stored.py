"""Explains straight from a store, read-only: with the daemon stopped, or beside it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from gatewayd.errors import StoreError
from gatewayd.journal import tail
from gatewayd.journal.care.chain import chain_from, first_vkey
from gatewayd.journal.care.pruned import pruned_state
from gatewayd.journal.records import Records
from gatewayd.proof.note import VerifierKey
from gatewayd.store.env import QUOTA_BYTES_MIN, Store


class StoredJournal(Records):
    """The records of a store as they were when it was opened.

    Args:
        store: opened for reading.

    Raises:
        JournalDamaged: the newest records, the tree and the last checkpoint do not agree.
        StoreError: it holds no journal.
    """

    def __init__(self, store: Store) -> None:
        super().__init__(store)
        vkey = store.read(first_vkey)
        if vkey is None:
            raise StoreError(
                f"{store.path} holds no journal yet",
                remedy="Give the daemon's storage folder; it is [storage] path in gateway.toml.",
            )
        keys = store.read(lambda reading: chain_from(reading, VerifierKey.parse(vkey)))
        self.begin_at(store.read(pruned_state))
        recovered = store.read(lambda reading: tail.recover(reading, keys.at))
        self.store = store
        self._tree = recovered.tree
        self._note = recovered.note

    def checkpoint(self) -> str:
        """Return the newest stored checkpoint, whose signature was checked."""
        return self._note


@contextmanager
def open_journal(storage: Path) -> Iterator[StoredJournal]:
    """Open the journal in a storage folder.

    Raises:
        StoreError: it cannot be opened, or holds no journal.
    """
    store = Store.open(storage / "store", QUOTA_BYTES_MIN, readonly=True)
    try:
        yield StoredJournal(store)
    finally:
        store.close()
