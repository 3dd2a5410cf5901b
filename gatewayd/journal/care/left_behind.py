"""Saved rows out of the files of a store that was given up, for people to read.

The files are searched as bytes, because their structure is damaged. A saved row carries a hash of its own over key and
value (`journal/guarded.py`), and that proves each one that is found. Older forms of a row, and rows that were removed
since, may still stand in pages that were free: what is found once stood there, and no more is claimed.
"""

from __future__ import annotations

import mmap
import re
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from gatewayd.errors import JournalDamaged
from gatewayd.journal.guarded import unguard
from gatewayd.store.ahead import changes_of
from gatewayd.store.probe import DATA_NAME
from gatewayd.store.redo import whole_payloads
from gatewayd.store.tables import Table

REDO_NAME = "redo"
KEY_BYTES_MAX = 511  # LMDB's
VALUE_BYTES_MAX = 4096  # a larger one stands in pages of its own
ROWS_MAX = 10_000
_HEADER_BYTES = 8  # before the key: size of the value, low and high half, flags, size of the key


def rows_left_behind(store: Path, prefix: bytes) -> list[tuple[bytes, bytes]]:
    """Return the saved rows, key and value, whose keys begin with a prefix; each once.

    Args:
        store: the folder of a store that was given up.
        prefix: of the keys.
    """
    found: dict[tuple[bytes, bytes], None] = {}
    for key, stored in (*_in_pages(store / DATA_NAME, prefix), *_in_frames(store / REDO_NAME, prefix)):
        with suppress(JournalDamaged):
            found[key, unguard(key, stored)] = None
        if len(found) >= ROWS_MAX:
            break
    return list(found)


def _in_pages(path: Path, prefix: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Yield what looks like a row of a page: an eight-byte header, the key, the value."""
    try:
        with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
            for match in re.finditer(re.escape(prefix), content):
                yield from _row_at(content, match.start())
    except (OSError, ValueError):  # unreadable, or empty: then it holds none
        return


def _row_at(content: mmap.mmap, start: int) -> Iterator[tuple[bytes, bytes]]:
    header = content[max(0, start - _HEADER_BYTES) : start]
    if len(header) < _HEADER_BYTES:
        return
    value_bytes, key_bytes = int.from_bytes(header[:4], "little"), int.from_bytes(header[6:], "little")
    if 0 < key_bytes <= KEY_BYTES_MAX and 0 < value_bytes <= VALUE_BYTES_MAX:
        end = start + key_bytes
        yield content[start:end], content[end : end + value_bytes]


def _in_frames(path: Path, prefix: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Yield rows of the redo file: what was durable and not in the tables yet."""
    for payload in whole_payloads(path):
        with suppress(ValueError):
            for table, key, value in changes_of(payload):
                if table is Table.SAVE and key.startswith(prefix) and value:
                    yield key, value
