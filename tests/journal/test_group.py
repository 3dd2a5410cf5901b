"""Group commit: order is kept, everybody gets an answer, nothing grows without bound."""

from __future__ import annotations

import asyncio
import threading

import pytest

from gatewayd.errors import StoreError
from gatewayd.journal.group import SHARED_MAX, WAITING_MAX, GroupCommit


async def test_items_keep_their_order_and_no_batch_is_larger_than_allowed():
    batches: list[list[int]] = []

    def commit(items):
        batches.append(list(items))
        return [item * 10 for item in items]

    group = GroupCommit(commit, threaded=False)
    count = SHARED_MAX + 10
    assert await asyncio.gather(*(group.submit(n, at_once=False) for n in range(count))) == [
        n * 10 for n in range(count)
    ]
    assert [len(batch) for batch in batches] == [SHARED_MAX, 10]
    assert [item for batch in batches for item in batch] == list(range(count))


async def test_who_comes_during_a_threads_commit_shares_the_next():
    batches: list[list[int]] = []
    began, may_go = threading.Event(), threading.Event()

    def commit(items):
        batches.append(list(items))
        began.set()
        assert may_go.wait(5)
        return list(items)

    group = GroupCommit(commit, threaded=True)
    first = asyncio.ensure_future(group.submit(1, at_once=True))
    assert await asyncio.to_thread(began.wait, 5)
    others = [asyncio.ensure_future(group.submit(n, at_once=True)) for n in (2, 3, 4)]
    await asyncio.sleep(0)
    may_go.set()
    assert await asyncio.gather(first, *others) == [1, 2, 3, 4]
    assert batches == [[1], [2, 3, 4]]
    group.close()


@pytest.mark.parametrize("threaded", [False, True])
async def test_a_failing_commit_answers_every_waiter_and_the_next_one_runs(threaded):
    calls = 0

    def commit(items):
        nonlocal calls
        calls += 1
        if calls == 1:
            raise StoreError("broken", remedy="none")
        return list(items)

    group = GroupCommit(commit, threaded=threaded)
    results = await asyncio.gather(*(group.submit(n, at_once=False) for n in range(3)), return_exceptions=True)
    assert [type(result) for result in results] == [StoreError] * 3
    assert await group.submit(7, at_once=False) == 7
    group.close()


async def test_one_item_may_fail_alone():
    group = GroupCommit(lambda items: [ValueError() if item == 2 else item for item in items], threaded=False)
    results = await asyncio.gather(*(group.submit(n, at_once=False) for n in (1, 2, 3)), return_exceptions=True)
    assert results[0] == 1
    assert isinstance(results[1], ValueError)
    assert results[2] == 3


async def test_too_many_waiters_are_refused():
    group = GroupCommit(list, threaded=False)
    waiting = [asyncio.ensure_future(group.submit(n, at_once=False)) for n in range(WAITING_MAX)]
    overflow = asyncio.ensure_future(group.submit(-1, at_once=False))
    with pytest.raises(StoreError, match="waiting"):
        await overflow
    assert await asyncio.gather(*waiting) == list(range(WAITING_MAX))
