"""The uplink over a real broker; the collector is a few lines here, so that it can misbehave."""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections.abc import Callable

import msgspec
import pytest

from gatewayd.clock import SystemClock
from gatewayd.errors import ConfigError
from gatewayd.model.config import Cloud
from gatewayd.sync import wire
from gatewayd.sync.endpoint import endpoint_of
from gatewayd.sync.link import Link, Received
from gatewayd.sync.uplink import STREAM, TURN_RECORDS_MAX, Cursor, Cursors, Uplink
from gatewayd.sync.wire import Ack, Batch
from hil.ports import free_port
from tests.broker import TestBroker
from tests.sync.outbound import GATEWAY, MemoryCursors, MemoryJournal

Answer = Callable[[Batch, int], Ack | None]


def acknowledge(batch: Batch, upto: int) -> Ack:
    return Ack(batch.gateway, batch.stream, batch.epoch, upto)


class SmallCollector:
    """Keeps records in a list; `answer` decides what it says."""

    def __init__(self, broker: TestBroker, answer: Answer = acknowledge) -> None:
        self.records: list[bytes] = []
        self.batches: list[Batch] = []
        self.payloads: list[int] = []
        self.answer = answer
        self._news = asyncio.Event()
        self._link = Link(endpoint_of(broker.cloud()), "collector", self._news.set)

    async def run(self) -> None:
        await self._link.connect()
        await self._link.subscribe(wire.UP_FILTER)
        try:
            while True:
                await self._news.wait()
                self._news.clear()
                for event in self._link.drain():
                    if isinstance(event, Received):
                        self._take(event)
        finally:
            await self._link.close()

    def publish(self, topic: str, payload: bytes) -> None:
        self._link.publish(topic, payload)

    def _take(self, event: Received) -> None:
        event.confirm()
        batch = wire.decode_batch(event.payload)
        self.batches.append(batch)
        self.payloads.append(len(event.payload))
        if batch.first <= len(self.records):
            self.records += batch.records[len(self.records) - batch.first :]
        answer = self.answer(batch, len(self.records))
        if answer is not None:
            self.publish(wire.ack_topic(GATEWAY), wire.encode(answer))


def uplink(
    broker: TestBroker, journal: MemoryJournal, cursors: Cursors | None = None, epoch: int = 1, **cloud
) -> Uplink:
    made = Uplink(broker.cloud(**cloud), GATEWAY, epoch, journal, cursors or MemoryCursors(), SystemClock())
    made.uniform = lambda: 0.05  # reconnect after 50, 100, 200 ms, ...
    return made


@contextlib.asynccontextmanager
async def running(*things: Uplink | SmallCollector):
    async with asyncio.TaskGroup() as tasks:
        started = [tasks.create_task(thing.run()) for thing in things]
        yield
        for task in started:
            task.cancel()


async def until(claim: Callable[[], bool], seconds: float = 15) -> None:
    """Wait for a state that makes no event of its own."""
    async with asyncio.timeout(seconds):
        while not claim():  # noqa: ASYNC110
            await asyncio.sleep(0.01)


async def test_the_whole_journal_arrives_in_order_and_is_acknowledged(broker):
    journal, collector = MemoryJournal(1000), SmallCollector(broker)
    sender = uplink(broker, journal)
    async with running(collector, sender):
        await until(lambda: sender.status().backlog == 0)
    assert collector.records == journal.records
    status = sender.status()
    assert (status.next_seq, status.acked_upto, status.sent, status.last_error) == (1000, 1000, 1000, "")
    assert status.last_ack_wall_ns > 0


async def test_new_records_are_sent_when_the_journal_says_so(broker):
    journal, collector = MemoryJournal(), SmallCollector(broker)
    sender = uplink(broker, journal)
    async with running(collector, sender):
        await until(lambda: sender.status().connected)
        for _ in range(5):
            journal.grow(3)
            sender.notify()
            await until(lambda: sender.status().backlog == 0)
    assert collector.records == journal.records


async def test_the_cursor_is_saved_and_a_restart_goes_on_from_there(broker):
    journal, collector, cursors = MemoryJournal(600), SmallCollector(broker), MemoryCursors()
    sender = uplink(broker, journal, cursors)
    async with running(collector, sender):
        await until(lambda: sender.status().backlog == 0)
    assert msgspec.msgpack.decode(cursors.saved[STREAM], type=Cursor) == Cursor(1, 600)
    journal.grow(5)
    again = SmallCollector(broker)
    again.records = list(collector.records)
    sender = uplink(broker, journal, cursors)
    async with running(again, sender):
        await until(lambda: sender.status().backlog == 0)
    assert [batch.first for batch in again.batches][:1] == [600]


@pytest.mark.parametrize(
    "saved", [b"", b"\xc1", b"x" * 100, msgspec.msgpack.encode(Cursor(2, 5)), msgspec.msgpack.encode(Cursor(1, 11))]
)
def test_a_damaged_foreign_or_impossible_cursor_means_from_the_start(saved):
    cursors = MemoryCursors()
    cursors.saved[STREAM] = saved
    cloud = Cloud(host="nowhere", tls=False, insecure="accepted-by=test")
    assert Uplink(cloud, GATEWAY, 1, MemoryJournal(10), cursors, SystemClock()).status().acked_upto == 0


def test_plain_mqtt_that_nobody_accepted_does_not_start():
    with pytest.raises(ConfigError):
        Uplink(Cloud(host="nowhere", tls=False), GATEWAY, 1, MemoryJournal(), MemoryCursors(), SystemClock())


async def test_a_full_store_stops_the_cursor_but_not_the_sending(broker):
    journal, collector, cursors = MemoryJournal(300), SmallCollector(broker), MemoryCursors()
    cursors.full = True
    sender = uplink(broker, journal, cursors)
    async with running(collector, sender):
        await until(lambda: sender.status().backlog == 0)
        await until(lambda: "the store is full" in sender.status().last_error)
        cursors.full = False
        await until(lambda: STREAM in cursors.saved)
    assert collector.records == journal.records


async def test_an_ack_for_another_epoch_is_ignored(broker):
    def other_epoch(batch, upto):
        return Ack(batch.gateway, batch.stream, batch.epoch + 1, upto)

    sender = uplink(broker, MemoryJournal(10))
    async with running(SmallCollector(broker, other_epoch), sender):
        await until(lambda: sender.status().acks_refused == 1)
        assert sender.status().acked_upto == 0


async def test_an_ack_beyond_the_journal_is_refused_and_explained(broker):
    def too_much(batch, upto):
        return Ack(batch.gateway, batch.stream, batch.epoch, 11)

    sender = uplink(broker, MemoryJournal(10))
    async with running(SmallCollector(broker, too_much), sender):
        await until(lambda: sender.status().acks_refused == 1)
        assert sender.status().acked_upto == 0
        assert "start a new epoch" in sender.status().last_error


async def test_rubbish_on_the_ack_topic_changes_nothing(broker):
    collector, journal = SmallCollector(broker), MemoryJournal()
    sender = uplink(broker, journal)
    async with running(collector, sender):
        await until(lambda: sender.status().connected)
        for payload in (b"", b"\x01", b"\x02abc", b"\x01\xc1", b"\x01" + b"z" * 5000):
            collector.publish(wire.ack_topic(GATEWAY), payload)
            collector.publish(wire.HELLO_TOPIC, payload)
        journal.grow(10)
        sender.notify()
        await until(lambda: sender.status().backlog == 0)
    assert collector.records == journal.records


async def test_what_a_late_collector_missed_is_sent_at_its_hello(broker):
    """It need not wait for the silence to be noticed."""
    journal = MemoryJournal(50)
    sender = uplink(broker, journal)
    async with running(sender):
        await until(lambda: sender.status().sent == 50)
        collector = SmallCollector(broker)
        async with running(collector):
            await until(lambda: collector._link._client.is_connected)
            await asyncio.sleep(0.05)
            collector.publish(wire.HELLO_TOPIC, wire.encode(wire.Hello("late")))
            await until(lambda: sender.status().backlog == 0, seconds=5)
    assert collector.records == journal.records


async def test_a_gap_that_the_collector_names_is_sent_again_at_once(broker):
    journal = MemoryJournal(1500)
    lost = iter((False, True, True))

    def lossy(batch: Batch, upto: int) -> Ack:
        missing = ((upto, batch.first),) if batch.first > upto else ()
        return Ack(batch.gateway, batch.stream, batch.epoch, upto, missing)

    collector = SmallCollector(broker, lossy)
    take = collector._take
    collector._take = lambda event: event.confirm() if next(lost, False) else take(event)
    sender = uplink(broker, journal)
    async with running(collector, sender):
        await until(lambda: sender.status().backlog == 0, seconds=5)
    assert collector.records == journal.records


async def test_batches_stay_within_16_kib_and_the_journal_is_read_in_slices(broker):
    """Incompressible records: the cap is on bytes as well as on records."""
    journal, source = MemoryJournal(), random.Random(7)
    journal.records = [source.randbytes(source.randint(1, 3000)) for _ in range(300)]
    collector = SmallCollector(broker)
    sender = uplink(broker, journal, batch_records=4096)
    async with running(collector, sender):
        await until(lambda: sender.status().backlog == 0)
    assert collector.records == journal.records
    assert max(collector.payloads) <= wire.BATCH_BYTES_SOFT
    assert journal.longest_read == TURN_RECORDS_MAX


async def test_one_long_record_travels_alone(broker):
    journal, source = MemoryJournal(3), random.Random(7)
    journal.records[1] = source.randbytes(wire.RECORD_BYTES_MAX)
    collector = SmallCollector(broker)
    sender = uplink(broker, journal)
    async with running(collector, sender):
        await until(lambda: sender.status().backlog == 0)
    assert collector.records == journal.records


async def test_a_record_too_long_to_send_is_named_and_what_came_before_is_sent(broker):
    journal = MemoryJournal(5)
    journal.records[3] = b"x" * (wire.RECORD_BYTES_MAX + 1)
    sender = uplink(broker, journal)
    async with running(SmallCollector(broker), sender):
        await until(lambda: sender.status().acked_upto == 3)
        sender.notify()
        await until(lambda: "record 3" in sender.status().last_error)


async def test_from_a_cold_start_without_a_broker_it_waits_and_says_why(broker):
    broker.kill()
    journal, collector = MemoryJournal(20), SmallCollector(broker)
    sender = uplink(broker, journal)
    async with running(sender):
        await until(lambda: "Start the broker" in sender.status().last_error)
        assert not sender.status().connected
        broker.start()
        async with running(collector):
            await until(lambda: sender.status().connected)
            collector.publish(wire.HELLO_TOPIC, wire.encode(wire.Hello("late")))
            await until(lambda: sender.status().backlog == 0)
    assert collector.records == journal.records


async def test_a_refused_batch_is_reported_and_not_taken_for_delivered():
    """PUBACK 0x87: the broker's access list does not let us publish."""

    async def deny(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            await reader.read(1000)
            writer.write(bytes.fromhex("2003000000"))
            subscribe = await reader.read(1000)
            writer.write(b"\x90\x05" + subscribe[2:4] + b"\x00\x01\x01")
            publish = await reader.readuntil(b"/up/journal")
            token = await reader.readexactly(2)
            assert publish[0] == 0x32
            writer.write(b"\x40\x04" + token + b"\x87\x00")
            await reader.read()
        writer.close()

    server = await asyncio.start_server(deny, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    cloud = Cloud(host="127.0.0.1", port=port, tls=False, insecure="accepted-by=test")
    sender = Uplink(cloud, GATEWAY, 1, MemoryJournal(5), MemoryCursors(), SystemClock())
    sender.uniform = lambda: 1.0
    async with running(sender):
        await until(lambda: "reason 0x87" in sender.status().last_error)
        assert not sender.status().connected
        assert sender.status().acked_upto == 0
    server.close()


async def test_the_rest_of_the_daemon_runs_between_two_batches(broker):
    """A long backlog must not hold up the poll loop: between two batches every other task gets a turn."""
    journal = MemoryJournal(20_000)
    sender = uplink(broker, journal)
    turns_between: list[int] = []
    turns, reads = 0, journal.entries

    def counted(first: int, limit: int) -> list[bytes]:
        nonlocal turns
        turns_between.append(turns)
        turns = 0
        return reads(first, limit)

    journal.entries = counted

    async def poll_loop() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    async with running(SmallCollector(broker), sender):
        polling = asyncio.ensure_future(poll_loop())
        await until(lambda: sender.status().backlog == 0)
        polling.cancel()
    assert len(turns_between) >= 20_000 // TURN_RECORDS_MAX
    assert min(turns_between[1:]) >= 1


async def test_stopping_is_prompt_even_while_waiting_to_reconnect():
    cloud = Cloud(host="127.0.0.1", port=free_port(), tls=False, insecure="accepted-by=test")
    sender = Uplink(cloud, GATEWAY, 1, MemoryJournal(1), MemoryCursors(), SystemClock())
    sender.uniform = lambda: 1.0
    async with asyncio.timeout(2), running(sender):
        await until(lambda: sender.status().last_error != "")


async def test_the_log_hears_of_each_change_of_the_link_once(broker):
    changes: list[tuple[bool, bool]] = []
    sender = uplink(broker, MemoryJournal(5))
    sender.on_change = lambda connected, reason: changes.append((connected, bool(reason)))
    async with running(sender):
        await until(lambda: sender.status().connected)
        broker.kill()
        await until(lambda: not sender.status().connected)
        broker.start()
        await until(lambda: sender.status().connected)
    assert changes[:3] == [(True, False), (False, True), (True, False)]
