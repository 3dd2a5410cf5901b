"""One daemon per store: an flock that dies with its holder."""

from __future__ import annotations

import fcntl
import os
from contextlib import suppress
from pathlib import Path

from gatewayd.errors import StoreError, StoreLocked

LOCK_NAME = "owner.lock"


class OwnerLock:
    """Holds the store until `release`; the file keeps the holder's process id for people to read."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor

    @classmethod
    def take(cls, folder: Path) -> OwnerLock:
        """Lock a store's folder.

        Raises:
            StoreLocked: another process, or another Store of this one, holds it.
            StoreError: the lock file cannot be opened.
        """
        path = folder / LOCK_NAME
        try:
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise StoreError(
                f"cannot open {path}: {error.strerror}",
                remedy="Check that the daemon's user owns the storage folder and may write to it.",
            ) from error
        if not _try_lock(descriptor):
            holder = os.pread(descriptor, 32, 0).decode("ascii", "replace").strip() or "unknown"
            os.close(descriptor)
            raise StoreLocked(
                f"the store {folder} is in use by process {holder}",
                remedy="Only one daemon may run on a store; stop the other one, or give this one its own storage.path.",
            )
        with suppress(OSError):  # the number is for people: a full disk must not keep the gateway from watching
            os.ftruncate(descriptor, 0)
            os.pwrite(descriptor, f"{os.getpid()}\n".encode(), 0)
        return cls(descriptor)

    @staticmethod
    def is_free(folder: Path) -> bool:
        """Say whether no daemon holds the store at this instant."""
        try:
            descriptor = os.open(folder / LOCK_NAME, os.O_RDWR | os.O_CLOEXEC)
        except OSError:
            return True
        try:
            return _try_lock(descriptor)
        finally:
            os.close(descriptor)

    def release(self) -> None:
        """Give the store up."""
        os.close(self._descriptor)


def _try_lock(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True
