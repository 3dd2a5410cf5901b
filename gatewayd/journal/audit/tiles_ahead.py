"""Tiles looked at in processes of their own, ahead of the one that verifies: a journal of millions takes every processor.

Each process opens the store for itself. What comes back is what `sound_tile` says, without the records' bytes.
"""

from __future__ import annotations

import os
import signal
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import ExitStack, contextmanager, suppress
from functools import cache, partial
from multiprocessing import get_context
from pathlib import Path
from types import TracebackType
from typing import Self

from gatewayd.errors import GatewayError
from gatewayd.journal.audit.index_check import Told
from gatewayd.journal.audit.sound_tile import SoundTile, sound_tile
from gatewayd.journal.tiles.scan import TileScan, compiled_scan
from gatewayd.store.env import QUOTA_BYTES_MIN, Store
from gatewayd.store.transaction import Reading

TILES_AT_ONCE = 32  # in one transaction, some 50 ms: a running daemon reuses no pages meanwhile
BATCHES_AHEAD = 4  # of each process
WORKERS_MAX = 8
BYTES_MIN = 16_000_000  # of a store: below, the processes take longer to begin than they save

Batch = list[SoundTile | None]


def workers_for(store_bytes: int) -> int:
    """Return how many processes to look at tiles with; 0 = none beside the one that verifies."""
    processors = len(os.sched_getaffinity(0))
    return min(processors, WORKERS_MAX) if processors > 1 and store_bytes >= BYTES_MIN else 0


class TilesAhead:
    """Processes that look at tiles, in order. Make it before the store is opened here: LMDB must not be open in a fork.

    Args:
        path: the store's folder.
        workers: how many processes.

    Raises:
        OSError: the system gives no more processes.
    """

    def __init__(self, path: Path, workers: int) -> None:
        self._path = path
        self._workers = workers
        self._pool = ProcessPoolExecutor(workers, get_context("fork"), initializer=_begin)
        self._pool.submit(os.getpid).result()  # forks all of them, now
        self._batches: deque[tuple[int, Future[Batch]]] = deque()
        self._next = self._below = 0
        self._ready: dict[int, SoundTile | None] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        self._pool.shutdown(cancel_futures=True)

    def begin(self, first: int, below: int) -> None:
        """Look at the tiles from `first` to before `below`, anew if this was begun before."""
        for _, batch in self._batches:
            batch.cancel()
        self._batches.clear()
        self._ready.clear()
        self._next, self._below = first, below
        self._submit()

    def tile(self, tile: int) -> SoundTile | None:
        """Return a tile, asked for in rising order; None if it was not found sound, or nobody has looked at it."""
        while tile not in self._ready and self._batches and self._batches[0][0] <= tile:
            first, batch = self._batches.popleft()
            self._ready.clear()
            with suppress(BrokenProcessPool):  # a process was killed: the one that verifies looks for itself
                self._ready = dict(enumerate(batch.result(), start=first))
            self._submit()
        return self._ready.get(tile)

    def _submit(self) -> None:
        with suppress(BrokenProcessPool):
            while self._next < self._below and len(self._batches) < BATCHES_AHEAD * self._workers:
                below = min(self._next + TILES_AT_ONCE, self._below)
                self._batches.append((self._next, self._pool.submit(_look, self._path, self._next, below)))
                self._next = below


@contextmanager
def tiles_ahead(path: Path, store_bytes: int) -> Iterator[TilesAhead | None]:
    """Give as many processes as a store of this size is worth, None for none."""
    workers = workers_for(store_bytes)
    with ExitStack() as stack:
        ahead = None
        if workers:
            with suppress(OSError, BrokenProcessPool):  # where there are no more processes, one does it all
                ahead = stack.enter_context(TilesAhead(path, workers))
        yield ahead


# --- in the processes -------------------------------------------------------------------------------------------------


def _begin() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the one that verifies ends the others


@cache
def _opened(path: Path) -> tuple[Store, TileScan | None]:
    """Open a store that the one that verifies has open."""
    return Store.open(path, QUOTA_BYTES_MIN, readonly=True, is_checked=True), compiled_scan()


def _look(path: Path, first: int, below: int) -> Batch:
    try:
        store, scan = _opened(path)
        if scan is not None:
            return store.read(partial(_batch, scan=scan, first=first, below=below))
    except GatewayError:
        pass  # the one that verifies will meet the same, and say so
    return [None] * (below - first)


def _batch(reading: Reading, scan: TileScan, first: int, below: int) -> Batch:
    told = Told(reading)
    tiles = (sound_tile(reading, scan, tile, told) for tile in range(first, below))
    return [None if tile is None else tile.without_records() for tile in tiles]
