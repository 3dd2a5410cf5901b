"""The data file comes into being so that a power cut leaves it whole, or not there at all."""

from __future__ import annotations

from pathlib import Path

import lmdb

from gatewayd.store.disk import sync_folder
from gatewayd.store.probe import DATA_NAME

NEW_DATA_NAME = "data.new"
NEW_MAP_BYTES = 65_536  # two pages are written; the file remembers the largest map, which must not exceed the store's


def create_data_file(folder: Path) -> None:
    """Create the data file, if there is none, under another name first.

    LMDB creates its file in place and syncs it later: after a power cut in between, a file without a meta page would
    stand there, which nobody could tell from one that was damaged.

    Args:
        folder: the store's.

    Raises:
        OSError: the disk refuses.
    """
    if (folder / DATA_NAME).exists():
        return
    new = folder / NEW_DATA_NAME
    new.unlink(missing_ok=True)  # of a start that was cut short
    try:
        with lmdb.open(
            str(new), subdir=False, lock=False, map_size=NEW_MAP_BYTES, mode=0o600, sync=True
        ) as environment:
            environment.sync(True)
    except lmdb.Error as error:
        raise OSError(0, str(error)) from error
    new.rename(folder / DATA_NAME)
    sync_folder(folder)
