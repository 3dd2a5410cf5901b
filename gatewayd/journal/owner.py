"""Whose log a store holds, and what is refused because it is somebody else's."""

from __future__ import annotations

from contextlib import suppress

import msgspec
from msgspec import Struct

from gatewayd.errors import StoreError
from gatewayd.journal import tail
from gatewayd.journal.batch import Extra
from gatewayd.journal.care import chain
from gatewayd.journal.keys import PreviousLog
from gatewayd.model.record import ClockQuality, Genesis
from gatewayd.proof.note import NoteError, VerifierKey, open_checkpoint
from gatewayd.store.env import Store
from gatewayd.store.tables import Table
from gatewayd.store.transaction import Writes

FORMAT = b"3"  # of the tables


class Identity(Struct, frozen=True):
    """Whose log this is, in which run.

    Args:
        origin: the log's name, epoch included, e.g. `acme.example/gw-1/e1`; the signer's name is the same.
        epoch: counts the logs of one gateway, from 1.
        boot_id: 16 bytes, new at every boot of the machine; tells which boot a `boot_ns` belongs to.
        clock_quality: how far wall time can be believed now.
        previous: the log that was given up for this one.
    """

    origin: str
    epoch: int
    boot_id: bytes
    clock_quality: ClockQuality = ClockQuality.UNSYNCED
    previous: PreviousLog | None = None


def genesis_of(identity: Identity, vkey: str) -> Genesis:
    """Return the first record of a log."""
    genesis = Genesis(origin=identity.origin, epoch=identity.epoch, vkey=vkey)
    if (previous := identity.previous) is None:
        return genesis
    return msgspec.structs.replace(
        genesis, previous_origin=previous.origin, previous_checkpoint=previous.checkpoint, reason=previous.reason
    )


def check_owner(store: Store, origin: str, vkey: str) -> None:
    """Refuse a store that holds another log, or one of another key or layout.

    Raises:
        JournalDamaged: it is ours, but says that it is not.
        StoreError: it is not ours.
    """
    name = VerifierKey.parse(vkey).name
    if name != origin:
        raise _foreign(f"the key is named {name}, the log {origin}")
    layout = store.get(Table.META, b"format")
    if layout not in (None, FORMAT):
        raise _foreign(f"the store's log has the layout {layout.decode()}, this version writes {FORMAT.decode()}")
    stored_origin = store.get(Table.META, b"origin")
    found = {"origin": None if stored_origin is None else stored_origin.decode("utf-8", "replace")}
    found["vkey"] = store.read(chain.stored_vkey)
    for field, ours in (("origin", origin), ("vkey", vkey)):
        if found[field] not in (None, ours):
            if _is_signed_with(store, vkey):
                raise tail.damaged(0, f"the store's {field} is no longer the one that its checkpoints are signed for")
            raise _foreign(f"the store's log has the {field} {found[field]!r}, this gateway {ours}")


def owner_rows(origin: str, vkey: str) -> Extra:
    """Return what writes whose log it is, together with its first record."""

    def write(writing: Writes, _: tuple[int, ...]) -> None:
        writing.put(Table.META, b"format", FORMAT)
        writing.put(Table.META, b"origin", origin.encode())
        writing.put(Table.META, b"vkey", vkey.encode())

    return write


def _is_signed_with(store: Store, vkey: str) -> bool:
    """Say whether the newest checkpoint is ours, whatever stands beside it."""
    rows = store.read(lambda reading: reading.scan_back(Table.CHECKPOINT, limit=1))
    with suppress(NoteError):
        return bool(rows) and open_checkpoint(rows[0][1].decode("utf-8", "replace"), VerifierKey.parse(vkey)).size > 0
    return False


def _foreign(what: str) -> StoreError:
    return StoreError(
        what, remedy="Give the gateway back its own storage folder and key, or begin a new epoch with `gatewayd init`."
    )
