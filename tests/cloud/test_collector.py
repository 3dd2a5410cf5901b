"""Gateway to table and back, over a real broker into a real Delta table (P-SYNC): nothing missing, nothing doubled."""

from __future__ import annotations

import asyncio
import contextlib
import random
import signal
import sys
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest
from deltalake import DeltaTable

from gatewayd.clock import SystemClock
from gatewayd.cloud import table as table_module
from gatewayd.cloud.collector import Collector, CollectorLimits
from gatewayd.cloud.read import check_table, read_table
from gatewayd.cloud.table import JournalTable
from gatewayd.errors import StoreError
from gatewayd.sync import wire
from gatewayd.sync.endpoint import endpoint_of
from gatewayd.sync.link import Link
from gatewayd.sync.uplink import Uplink
from gatewayd.sync.wire import batch_of
from tests.broker import TestBroker
from tests.sync.outbound import GATEWAY, MemoryCursors, MemoryJournal

PROGRAM = "from gatewayd.cli.cloud import cloud; cloud()"
QUICK = CollectorLimits(delay_ns=20_000_000)


def collector(broker: TestBroker, folder: Path, limits: CollectorLimits = QUICK) -> Collector:
    made = Collector(endpoint_of(broker.cloud()), JournalTable(folder), SystemClock(), limits=limits)
    made.uniform = lambda: 0.05
    return made


def uplink(broker: TestBroker, journal: MemoryJournal, gateway: str = GATEWAY, epoch: int = 1) -> Uplink:
    made = Uplink(broker.cloud(), gateway, epoch, journal, MemoryCursors(), SystemClock())
    made.uniform = lambda: 0.05
    return made


@contextlib.asynccontextmanager
async def running(*things: Uplink | Collector) -> AsyncIterator[None]:
    async with asyncio.TaskGroup() as tasks:
        started = [tasks.create_task(thing.run()) for thing in things]
        yield
        for thing, task in zip(things, started, strict=True):
            if isinstance(thing, Collector):
                thing.stop()
            else:
                task.cancel()


async def until(claim: Callable[[], bool], seconds: float = 30) -> None:
    """Wait for a state that makes no event of its own."""
    async with asyncio.timeout(seconds):
        while not claim():  # noqa: ASYNC110
            await asyncio.sleep(0.01)


async def grow(journal: MemoryJournal, sender: Uplink, count: int, step: int = 20) -> None:
    """A plant at work: a few records every few milliseconds."""
    for _ in range(0, count, step):
        journal.grow(step)
        sender.notify()
        await asyncio.sleep(0.002)


def assert_exact(folder: Path, journal: MemoryJournal, gateway: str = GATEWAY, epoch: int = 1) -> None:
    rows = [row for row in read_table(folder) if row[:3] == (gateway, "journal", epoch)]
    assert rows == [(gateway, "journal", epoch, seq, leaf) for seq, leaf in enumerate(journal.records)]
    assert check_table(folder).is_exact


async def test_five_thousand_records_land_in_order_and_few_transactions(broker, tmp_path):
    journal = MemoryJournal(5000)
    sender, receiver = uplink(broker, journal), collector(broker, tmp_path, CollectorLimits())
    async with running(receiver, sender):
        await until(lambda: sender.status().backlog == 0)
    assert_exact(tmp_path, journal)
    assert receiver.status().landed_by_gateway == {GATEWAY: 5000}
    assert JournalTable(tmp_path)._table.version() < 10


async def test_many_gateways_and_epochs_share_one_table(broker, tmp_path):
    names = [("plant/a", 1), ("plant/b", 1), ("plant/b2", 7)]
    journals = [MemoryJournal(300 + 100 * place) for place in range(3)]
    senders = [uplink(broker, journal, *name) for journal, name in zip(journals, names, strict=True)]
    async with running(collector(broker, tmp_path), *senders):
        await until(lambda: all(sender.status().backlog == 0 for sender in senders))
    for journal, name in zip(journals, names, strict=True):
        assert_exact(tmp_path, journal, *name)


async def test_a_broker_that_restarts_three_times_loses_and_doubles_nothing(broker, tmp_path):
    """It forgets sessions and queued messages each time."""
    journal = MemoryJournal(200)
    sender, receiver = uplink(broker, journal), collector(broker, tmp_path)
    async with running(receiver, sender):
        growing = asyncio.ensure_future(grow(journal, sender, 1_000_000))
        for _ in range(3):
            await until(lambda: sender.status().connected and receiver.status().connected)
            landed = receiver.status().landed
            await until(lambda: receiver.status().landed > landed)  # noqa: B023
            await asyncio.to_thread(broker.kill)
            await until(lambda: not sender.status().connected)
            await asyncio.to_thread(broker.start)
        growing.cancel()
        await until(lambda: sender.status().backlog == 0)
    assert_exact(tmp_path, journal)


async def test_a_collector_killed_at_random_moments_loses_and_doubles_nothing(broker, tmp_path):
    chance = random.Random(20)
    journal = MemoryJournal(500)
    sender = uplink(broker, journal)
    async with running(sender):
        growing = asyncio.ensure_future(grow(journal, sender, 100_000, step=5))
        for _ in range(5):
            process = await start_collector(broker, tmp_path)
            await asyncio.sleep(chance.uniform(0.05, 0.6))
            process.kill()
            await process.wait()
        growing.cancel()
        landed = check_table(tmp_path).rows
        process = await start_collector(broker, tmp_path)
        await until(lambda: sender.status().backlog == 0)
        process.send_signal(signal.SIGTERM)
        assert await process.wait() == 0
    assert landed > 0  # the kills came while it was at work
    assert_exact(tmp_path, journal)


async def start_collector(broker: TestBroker, folder: Path) -> asyncio.subprocess.Process:
    options = ("--broker", "127.0.0.1", "--port", str(broker.port), "--table", str(folder))
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *("-c", PROGRAM, "collect", *options, "--insecure", "accepted-by=test"),
        stdout=asyncio.subprocess.PIPE,
    )
    async with asyncio.timeout(20):
        assert (await process.stdout.readline()).startswith(b"collector ready")
    return process


async def test_a_restarted_collector_knows_from_the_table_what_is_in(broker, tmp_path):
    journal = MemoryJournal(400)
    sender = uplink(broker, journal)
    async with running(collector(broker, tmp_path), sender):
        await until(lambda: sender.status().backlog == 0)
    forgetful, again = uplink(broker, journal), collector(broker, tmp_path)
    async with running(again, forgetful):
        await until(lambda: forgetful.status().backlog == 0)
        assert (again.status().landed, again.status().duplicates >= 400) == (0, True)
    assert_exact(tmp_path, journal)


async def test_two_collectors_on_one_table_do_not_double_rows(broker, tmp_path, monkeypatch):
    """Both hear everything; with compactions in between, which move a handle without a commit of its own."""
    monkeypatch.setattr(table_module, "COMPACT_EVERY", 3)
    journal = MemoryJournal(100)
    sender = uplink(broker, journal)
    pair = collector(broker, tmp_path), collector(broker, tmp_path)
    async with running(*pair, sender):
        await grow(journal, sender, 3000)
        await until(lambda: sender.status().backlog == 0)
    assert_exact(tmp_path, journal)
    assert sum(one.status().landed for one in pair) == len(journal.records)
    assert "OPTIMIZE" in {commit["operation"] for commit in DeltaTable(tmp_path).history()}


async def test_stopping_lands_and_acknowledges_what_has_arrived(broker, tmp_path):
    """Even when its commit was not due for a long time."""
    journal = MemoryJournal(100)
    sender, receiver = uplink(broker, journal), collector(broker, tmp_path, CollectorLimits(delay_ns=3600 * 10**9))
    async with running(sender):
        async with running(receiver):
            await until(lambda: receiver._ledger.rows == 100)
        await until(lambda: sender.status().backlog == 0, seconds=3)
    assert_exact(tmp_path, journal)


async def test_a_collector_takes_over_in_the_middle_from_another(broker, tmp_path):
    """The second starts at a position it has never seen: it must ask the table, not refuse a gap for ever."""
    journal = MemoryJournal(300)
    sender = uplink(broker, journal)
    second = collector(broker, tmp_path)
    async with running(sender):
        async with running(collector(broker, tmp_path)):
            await until(lambda: sender.status().backlog == 0)
        journal.grow(100)
        sender.notify()
        async with running(second):
            await until(lambda: sender.status().backlog == 0, seconds=8)
    assert_exact(tmp_path, journal)


async def test_bad_messages_do_not_stop_the_collector(broker, tmp_path):
    receiver, journal = collector(broker, tmp_path), MemoryJournal(50)
    news = asyncio.Event()
    stranger = Link(endpoint_of(broker.cloud()), "stranger", news.set)
    good = wire.encode_batch(batch_of(GATEWAY, "journal", 1, 0, journal.records[:5]))
    bad = [b"", b"\x01", b"rubbish", good[:-1], good[:40] + b"\xff" + good[41:], b"\x01" + b"\0" * 50_000]
    async with running(receiver):
        await until(lambda: receiver.status().connected)
        await stranger.connect()
        for payload in bad:
            stranger.publish(wire.up_topic(GATEWAY, "journal"), payload)
        stranger.publish("gw/somebody-else/up/journal", good)
        await until(lambda: receiver.status().malformed == len(bad) + 1)
        await stranger.close()
        sender = uplink(broker, journal)
        async with running(sender):
            await until(lambda: sender.status().backlog == 0)
    assert_exact(tmp_path, journal)


async def test_from_a_cold_start_without_a_broker_both_ends_wait_for_it(broker, tmp_path):
    broker.kill()
    journal = MemoryJournal(100)
    sender, receiver = uplink(broker, journal), collector(broker, tmp_path)
    async with running(receiver, sender):
        await until(lambda: bool(sender.status().last_error and receiver.status().last_error))
        broker.start()
        await until(lambda: sender.status().backlog == 0)
    assert_exact(tmp_path, journal)


async def test_a_table_that_fails_to_write_is_not_acknowledged_and_recovers(broker, tmp_path, monkeypatch):
    journal = MemoryJournal(100)
    sender, receiver = uplink(broker, journal), collector(broker, tmp_path)
    append, failures = receiver._table.append, iter((True, True))

    def failing(runs, received_ns):
        if next(failures, False):
            raise StoreError("the disk is full", remedy="free some room")
        append(runs, received_ns)

    monkeypatch.setattr(receiver._table, "append", failing)
    async with running(receiver, sender):
        await until(lambda: "disk is full" in receiver.status().last_error)
        assert sender.status().acked_upto == 0
        for _ in range(3):  # what the silence timeout does, sooner
            sender._outbox.hello(0)
            sender.notify()
            await asyncio.sleep(0.1)
        await until(lambda: sender.status().backlog == 0)
    assert_exact(tmp_path, journal)


@pytest.mark.parametrize("limits", [CollectorLimits(rows_max=100), CollectorLimits(bytes_max=5000)])
async def test_a_commit_comes_early_when_many_rows_or_bytes_wait(broker, tmp_path, limits):
    journal = MemoryJournal(2000)
    sender, receiver = uplink(broker, journal), collector(broker, tmp_path, limits)
    async with running(receiver, sender):
        await until(lambda: sender.status().backlog == 0)
    assert_exact(tmp_path, journal)
    assert JournalTable(tmp_path)._table.version() >= 7
