"""A journal that is damaged is given up: its store is put aside as it is, and a new epoch begins.

The old log's name is never signed with again, because nobody knows what it held. The new one's first record names the
old log, its last checkpoint that can still be read, and why. The order makes it safe against power cuts: the identity is
replaced first and says that the store must still be moved.
"""

from __future__ import annotations

import mmap
import os
import re
import shutil
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path

import msgspec
from msgspec import Struct

from gatewayd.errors import UNDECODABLE, StoreError
from gatewayd.journal.keys import LogIdentity, PreviousLog, load_identity, replace_file, replace_identity, signer_of
from gatewayd.proof.note import SIGNATURE_LINE, NoteError, SeedSigner, VerifierKey, open_checkpoint
from gatewayd.store.disk import sync_folder

STORE_NAME = "store"
PENDING_NAME = "next-epoch.json"
KEPT_MAX = 2  # damaged stores; each may take the quota once more
REASON_CHARS_MAX = 500
NOTE_BYTES_MAX = 1024
NOTES_TRIED_MAX = 10_000

_KEPT = re.compile(r"store-e(\d+)-damaged")


class PendingEpoch(Struct, frozen=True, forbid_unknown_fields=True):
    """Why the next start must begin a new epoch.

    Args:
        origin: the log that is given up; of another one this says nothing.
        checkpoint: of that log, which its store does not go together with.
        reason: in words.
    """

    origin: str
    checkpoint: str
    reason: str


def end_log_at_next_start(storage_path: Path, pending: PendingEpoch) -> None:
    """Note durably that a log must not go on.

    Raises:
        StoreError: the folder cannot be written.
    """
    replace_file(storage_path / "keys" / PENDING_NAME, msgspec.json.encode(pending))


def begin_pending_epoch(
    storage_path: Path, log: LogIdentity, environment: Mapping[str, str] = os.environ
) -> tuple[LogIdentity, SeedSigner] | None:
    """Begin the new epoch that was found to be necessary, None if there is no need.

    Args:
        storage_path: the daemon's storage folder; its store must be closed.
        log: the gateway's log now.
        environment: as for `load_identity`.

    Raises:
        StoreError: as `begin_epoch`.
    """
    path = storage_path / "keys" / PENDING_NAME
    try:
        pending = msgspec.json.decode(path.read_bytes(), type=PendingEpoch)
    except FileNotFoundError:
        return None
    except (OSError, *UNDECODABLE) as error:
        raise StoreError(f"{path} cannot be read: {error}", remedy="Restore it from a backup.") from error
    begun = None
    if pending.origin == log.origin:
        begun = begin_epoch(storage_path, log, pending.reason, environment, checkpoint=pending.checkpoint)
    path.unlink(missing_ok=True)  # if this is not durable, its origin is no longer ours
    return begun


def begin_epoch(
    storage_path: Path,
    damaged: LogIdentity,
    reason: str,
    environment: Mapping[str, str] = os.environ,
    *,
    checkpoint: str = "",
) -> tuple[LogIdentity, SeedSigner]:
    """Give a damaged log up; return the identity and the signer of the one that follows.

    Args:
        storage_path: the daemon's storage folder; its store must be closed.
        damaged: the log's identity.
        reason: what is wrong with it.
        environment: as for `load_identity`.
        checkpoint: the largest one known of the log; empty = the largest in its store.

    Raises:
        StoreError: the folder cannot be written.
    """
    checkpoint = checkpoint or newest_checkpoint(storage_path / STORE_NAME, VerifierKey.parse(damaged.vkey))
    epoch = damaged.epoch + 1
    origin = f"{damaged.origin.rpartition('/')[0]}/e{epoch}"
    signer = signer_of(origin, damaged, storage_path, environment)
    kept_as = f"store-e{damaged.epoch}-damaged"
    previous = PreviousLog(damaged.origin, checkpoint, reason[:REASON_CHARS_MAX], kept_as)
    replace_identity(storage_path, LogIdentity(origin, epoch, signer.vkey, previous))
    return finish_move(storage_path, environment)


def finish_move(storage_path: Path, environment: Mapping[str, str] = os.environ) -> tuple[LogIdentity, SeedSigner]:
    """Return the gateway's identity and signer, after putting a store aside that was given up and not moved yet.

    Raises:
        StoreError: as `load_identity`, or the folder cannot be written.
    """
    identity, signer = load_identity(storage_path, environment)
    previous = identity.previous
    if previous is None or previous.is_moved:
        return identity, signer
    store, kept = storage_path / STORE_NAME, storage_path / previous.kept_as
    try:
        if store.exists() and not kept.exists():  # what stands there after the move is the new log's
            store.rename(kept)
            sync_folder(storage_path)
    except OSError as error:
        raise StoreError(
            f"cannot move {store} to {kept}: {error.strerror}", remedy="Give the storage folder to the daemon's user."
        ) from error
    moved = msgspec.structs.replace(identity, previous=msgspec.structs.replace(previous, is_moved=True))
    replace_identity(storage_path, moved)
    _drop_oldest(storage_path)
    return moved, signer


def _drop_oldest(storage_path: Path) -> None:
    """Keep disk use within its limit when one store after the other is damaged."""
    kept = {int(match[1]): path for path in storage_path.iterdir() if (match := _KEPT.fullmatch(path.name))}
    for epoch in sorted(kept)[:-KEPT_MAX]:
        shutil.rmtree(kept[epoch], ignore_errors=True)


def newest_checkpoint(store: Path, key: VerifierKey) -> str:
    """Return the checkpoint of the largest tree in a store's files, empty if there is none.

    The files are searched as bytes, because their structure is damaged; the signature tells what was ours.
    """
    found: dict[str, int] = {}
    for path in sorted(store.glob("*")):
        with suppress(OSError, ValueError):  # unreadable, or empty: then it holds none
            found |= dict(_notes_in(path, key.name))
    for note in sorted(found, key=found.__getitem__, reverse=True)[:NOTES_TRIED_MAX]:
        with suppress(NoteError):
            open_checkpoint(note, key)
            return note
    return ""


def _notes_in(path: Path, origin: str) -> Iterator[tuple[str, int]]:
    """Return what looks like a checkpoint of a log, and the size it claims."""
    lines = rb"(\d{1,18})\n[A-Za-z0-9+/=]{44}\n\n"
    name = re.escape(origin.encode())
    whole = re.compile(name + rb"\n" + lines + re.escape(SIGNATURE_LINE.encode()) + name + rb" [A-Za-z0-9+/=]+\n")
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
        for match in whole.finditer(content):
            if len(match[0]) <= NOTE_BYTES_MAX:
                yield match[0].decode(), int(match[1])
