"""Group commit: callers that wait at the same time share one transaction, on the loop or in a writer thread."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Generic, TypeVar

from gatewayd.errors import StoreError

Item = TypeVar("Item")
Result = TypeVar("Result")

WAITING_MAX = 4096
SHARED_MAX = 256  # callers per transaction
# A commit thread beside a busy interpreter waits this long for its turn, not 5 ms. Shorter than what the loop does between
# two looks at its sockets: each look frees the interpreter for a moment too short to take, and the wait begins anew.
SWITCH_INTERVAL_S = 0.0002


class GroupCommit(Generic[Item, Result]):
    """Hands waiting items, in order, to one commit at a time.

    Args:
        commit: makes a batch durable; returns a result or an exception per item. Runs in the writer thread if
            `threaded`, else on the loop.
        threaded: worth it where an fsync takes longer than the loop may stand still.
    """

    def __init__(self, commit: Callable[[Sequence[Item]], Sequence[Result | Exception]], *, threaded: bool) -> None:
        self._commit = commit
        self._waiting: list[tuple[Item, asyncio.Future[Result]]] = []
        self._is_scheduled = False
        self._is_committing = False
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="journal") if threaded else None
        if threaded:
            sys.setswitchinterval(min(sys.getswitchinterval(), SWITCH_INTERVAL_S))

    async def submit(self, item: Item, *, at_once: bool) -> Result:
        """Return the item's result once it is durable.

        Args:
            item: what to commit.
            at_once: begin the transaction now; else callers of the same turn of the loop are gathered first.

        Raises:
            StoreError: not durable, or too many are waiting.
        """
        if len(self._waiting) >= WAITING_MAX:
            raise StoreError(
                f"{WAITING_MAX} commits are waiting for the disk", remedy="The disk is too slow or hangs; check it."
            )
        loop = asyncio.get_running_loop()
        future: asyncio.Future[Result] = loop.create_future()
        self._waiting.append((item, future))
        if at_once:
            self._begin(loop)
        elif not self._is_scheduled:
            self._is_scheduled = True
            loop.call_soon(self._begin, loop)
        return await future

    def close(self) -> None:
        """Wait for a transaction under way and end the thread."""
        if self._thread is not None:
            self._thread.shutdown(wait=True)

    def _begin(self, loop: asyncio.AbstractEventLoop) -> None:
        self._is_scheduled = False
        if self._is_committing or not self._waiting:
            return
        batch, self._waiting = self._waiting[:SHARED_MAX], self._waiting[SHARED_MAX:]
        items = [item for item, _ in batch]
        futures = [future for _, future in batch]
        self._is_committing = True
        if self._thread is None:
            self._settle(futures, self._guarded(items))
            self._continue(loop)
            return
        done = loop.run_in_executor(self._thread, self._guarded, items)
        done.add_done_callback(lambda finished: self._finish_threaded(loop, futures, finished))

    def _finish_threaded(
        self,
        loop: asyncio.AbstractEventLoop,
        futures: list[asyncio.Future[Result]],
        finished: asyncio.Future[Sequence[Result | Exception]],
    ) -> None:
        self._settle(futures, finished.result())
        self._continue(loop)

    def _continue(self, loop: asyncio.AbstractEventLoop) -> None:
        self._is_committing = False
        if self._waiting and not self._is_scheduled:
            self._is_scheduled = True
            loop.call_soon(self._begin, loop)

    def _guarded(self, items: Sequence[Item]) -> Sequence[Result | Exception]:
        """Commit; whatever goes wrong, every waiter hears of it."""
        try:
            return self._commit(items)
        except Exception as error:  # noqa: BLE001 - handed to every waiter, none is left waiting for ever
            return [error] * len(items)

    def _settle(self, futures: list[asyncio.Future[Result]], results: Sequence[Result | Exception]) -> None:
        for future, result in zip(futures, results, strict=True):
            if future.done():  # its caller was cancelled; the record stands all the same
                continue
            if isinstance(result, Exception):
                future.set_exception(result)
            else:
                future.set_result(result)
