"""Files whose blocks and names are durable."""

from __future__ import annotations

import os
from pathlib import Path

from gatewayd.errors import StoreError


def allocate(path: Path, size: int) -> None:
    """Make a file of `size` bytes that really has its blocks."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        os.posix_fallocate(descriptor, 0, size)
    finally:
        os.close(descriptor)


def touch_durably(path: Path) -> None:
    """Make an empty file whose name survives the loss of power."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600)
    os.close(descriptor)
    sync_folder(path.parent)


def sync_folder(folder: Path) -> None:
    """Make the names in a folder durable."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def disk_error(what: str, error: OSError) -> StoreError:
    """Return what to tell people of an error of the disk."""
    return StoreError(
        f"{what}: {error.strerror}", remedy="Check storage.path: its owner, its mode, and whether the disk is full."
    )
