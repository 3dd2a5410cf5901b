"""Ship the journal to the collector: the loop that joins the outbox, the link and the cursor.

The journal itself is the outbox (stream "journal", sequence number = leaf index): nothing is copied, so memory does not
grow with the backlog. One batch is read and sent per turn of the event loop; between two turns everything else runs.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from typing import Protocol

import msgspec
from msgspec import Struct

from gatewayd.clock import Clock
from gatewayd.errors import UNDECODABLE, LinkError, StoreError
from gatewayd.model.config import Cloud
from gatewayd.sync import alarm
from gatewayd.sync.backoff import Backoff
from gatewayd.sync.endpoint import endpoint_of
from gatewayd.sync.link import Confirmed, Event, Link, Received, Session
from gatewayd.sync.outbox import Limits, Outbox, Span
from gatewayd.sync.wire import (
    BATCH_BYTES_SOFT,
    HELLO_TOPIC,
    RECORD_BYTES_MAX,
    MalformedMessage,
    ack_topic,
    batch_of,
    decode_ack,
    decode_hello,
    encode_batch,
    topic_name,
    up_topic,
)

STREAM = "journal"
TURN_RECORDS_MAX = 256
RAW_BYTES_MAX = 65_536  # before compression; about what fills a batch of BATCH_BYTES_SOFT
CURSOR_PERIOD_NS = 1_000_000_000  # an older cursor costs only a resend, a write per ack costs the SD card
NO_SUBSCRIBER = 0x10


class Source(Protocol):
    """Where the records are; the journal is one."""

    @property
    def size(self) -> int:
        """The next sequence number."""
        ...

    def entries(self, first: int, limit: int) -> list[bytes]:
        """Return up to `limit` durable records from `first` on."""
        ...


class Cursors(Protocol):
    """Where the cursor survives a restart; the store is one."""

    def get(self, stream: str) -> bytes | None:
        """Return what was put last."""
        ...

    async def put(self, stream: str, value: bytes) -> None:
        """Make it durable."""
        ...


class Cursor(Struct, frozen=True, array_like=True):
    """The saved position; it counts only within its epoch."""

    epoch: int
    acked_upto: int


class SyncStatus(Struct, frozen=True, kw_only=True):
    """What a person wants to know of the cloud link."""

    connected: bool
    stream: str
    next_seq: int
    acked_upto: int
    backlog: int
    sent: int
    resent: int
    acks_refused: int
    last_ack_wall_ns: int
    last_error: str


class Uplink:
    """Sends one gateway's journal; `run` belongs to the application's TaskGroup.

    Raises:
        ConfigError: the TLS files cannot be used, or plain MQTT was not accepted.
    """

    def __init__(self, cloud: Cloud, gateway: str, epoch: int, source: Source, cursors: Cursors, clock: Clock) -> None:
        self.uniform: Callable[[], float] = random.SystemRandom().random  # for the jitter; tests put a constant
        self.on_change: Callable[[bool, str], None] = lambda *_: None  # connected or not any more, and why not
        self._endpoint = endpoint_of(cloud)
        self._reconnect_max_ns = round(cloud.reconnect_max_s * 1e9)
        self._gateway = gateway
        self._source = source
        self._cursors = cursors
        self._clock = clock
        self._wake = asyncio.Event()
        self._saved = _saved_position(cursors, epoch, source.size)
        limits = Limits(
            window=cloud.window,
            unacked_max=8 * cloud.window,
            batch_records=min(cloud.batch_records, TURN_RECORDS_MAX),
        )
        self._outbox = Outbox(gateway, STREAM, epoch, acked=self._saved, limits=limits)
        self._save_due_ns = 0
        self._connected = False
        self._heard = False  # the collector answered on this connection
        self._last_ack_wall_ns = 0
        self._last_error = ""

    def notify(self) -> None:
        """Say that the journal has grown; cheap, from the event loop's thread."""
        self._wake.set()

    def status(self) -> SyncStatus:
        """Return the state of the link and the backlog in records."""
        size, outbox = self._source.size, self._outbox
        return SyncStatus(
            connected=self._connected,
            stream=STREAM,
            next_seq=size,
            acked_upto=outbox.acked,
            backlog=max(0, size - outbox.acked),
            sent=outbox.reached,
            resent=outbox.resent,
            acks_refused=outbox.acks_refused + outbox.acks_foreign,
            last_ack_wall_ns=self._last_ack_wall_ns,
            last_error=self._last_error,
        )

    async def run(self) -> None:
        """Connect, send, reconnect; for ever. Cancel it to stop: the cursor is saved on the way out."""
        backoff = Backoff(self.uniform, self._reconnect_max_ns)
        try:
            while True:
                self._heard = False
                try:
                    await self._one_connection()
                except LinkError as error:
                    self._last_error = f"{error.message} ({error.remedy})"
                if self._heard:
                    backoff.reset()
                await self._clock.sleep_until(self._clock.monotonic_ns() + backoff.next_ns())
        finally:
            await self._save_cursor()

    async def _one_connection(self) -> None:
        link = Link(self._endpoint, f"gatewayd-{topic_name(self._gateway)}", self._wake.set)
        try:
            session = await link.connect()
            await link.subscribe(ack_topic(self._gateway), HELLO_TOPIC)
            self._connected = True
            self.on_change(True, "")
            self._outbox.connected(session.window, self._clock.monotonic_ns())
            while True:
                await self._turn(link, session)
        finally:
            if self._connected:
                self._connected = False
                self.on_change(False, link.lost)
            self._outbox.disconnected()
            await link.close()

    async def _turn(self, link: Link, session: Session) -> None:
        for event in link.drain():
            self._take(event)
        if link.lost:
            raise LinkError(link.lost, remedy="Nothing to do: records are kept and sent again after the reconnect.")
        self._check_silence()
        span = self._outbox.wanted(self._source.size)
        sent = span is not None and self._send(link, session, span)
        if self._clock.monotonic_ns() >= self._save_due_ns:
            await self._save_cursor()
        await self._pause(more=sent)

    def _take(self, event: Event) -> None:
        if isinstance(event, Confirmed):
            self._take_confirmation(event)
        else:
            event.confirm()
            self._take_message(event)

    def _take_confirmation(self, event: Confirmed) -> None:
        if event.reason >= 0x80:
            raise LinkError(
                f"the broker refuses our batches, reason 0x{event.reason:02x}",
                remedy="Let this client's certificate publish on gw/NAME/up/#, and allow payloads of 16 KiB.",
            )
        if event.reason == NO_SUBSCRIBER:
            self._last_error = "the broker has no collector for our batches (start `gatewayd cloud collect`)"
        self._outbox.puback(event.token)

    def _take_message(self, event: Received) -> None:
        now_ns = self._clock.monotonic_ns()
        try:
            if event.topic == HELLO_TOPIC:
                decode_hello(event.payload)
                self._outbox.hello(now_ns)
                return
            ack = decode_ack(event.payload)
        except MalformedMessage as error:
            self._last_error = error.message
            return
        size = self._source.size
        if self._outbox.ack(ack, size, now_ns):
            self._heard = True
            self._last_ack_wall_ns = self._clock.wall_ns()
            self._last_error = ""
        elif ack.upto > size and (ack.gateway, ack.epoch) == (self._gateway, self._outbox.identity[2]):
            self._last_error = (
                f"the collector holds {ack.upto} records of epoch {ack.epoch}, the journal only {size}"
                " (was the disk restored? start a new epoch)"
            )

    def _check_silence(self) -> None:
        stuck = self._outbox.stuck
        if not self._outbox.tick(self._clock.monotonic_ns()):
            return
        self._last_error = "the collector does not acknowledge (is `gatewayd cloud collect` running?)"
        if stuck:
            raise LinkError("the broker has confirmed nothing for a whole window", remedy="Look at the broker's load.")

    def _send(self, link: Link, session: Session, span: Span) -> bool:
        records = _cut(self._source.entries(span.first, span.limit))
        if not records:
            self._last_error = f"the journal has no record {span.first} any more"
            return False
        if len(records[0]) > RECORD_BYTES_MAX:
            self._last_error = f"record {span.first} has {len(records[0])} B, {RECORD_BYTES_MAX} can be sent"
            return False
        count, payload = self._encode(span.first, records, min(BATCH_BYTES_SOFT, session.payload_max))
        if len(payload) > session.payload_max:
            self._last_error = f"record {span.first} needs {len(payload)} B, the broker takes {session.payload_max}"
            return False
        token = link.publish(up_topic(self._gateway, STREAM), payload)
        self._outbox.sent(span.first + count, len(payload), token, self._clock.monotonic_ns())
        return True

    def _encode(self, first: int, records: list[bytes], bytes_max: int) -> tuple[int, bytes]:
        """Return how many records fit in `bytes_max` (at least one is taken) and their message."""
        _, stream, epoch = self._outbox.identity
        count = len(records)
        while True:
            payload = encode_batch(batch_of(self._gateway, stream, epoch, first, records[:count]))
            if len(payload) <= bytes_max or count == 1:
                return count, payload
            count = max(1, min(count - 1, count * bytes_max // len(payload)))

    async def _pause(self, *, more: bool) -> None:
        """Give the loop a turn; without more to send, wait for news or the next deadline."""
        if more or self._wake.is_set():
            self._wake.clear()
            asyncio.get_running_loop().call_soon(self._wake.set)
            await self._wake.wait()
        else:
            deadlines = [ns for ns in (self._outbox.deadline_ns, self._save_wanted_ns()) if ns is not None]
            await alarm.wait(self._wake, self._clock, min(deadlines, default=None))
        self._wake.clear()

    def _save_wanted_ns(self) -> int | None:
        return self._save_due_ns if self._outbox.acked != self._saved else None

    async def _save_cursor(self) -> None:
        """Write the cursor if it moved. A full store must not stop the sending: a lost cursor costs a resend."""
        acked = self._outbox.acked
        if acked == self._saved:
            return
        self._save_due_ns = self._clock.monotonic_ns() + CURSOR_PERIOD_NS
        try:
            await self._cursors.put(STREAM, msgspec.msgpack.encode(Cursor(self._outbox.identity[2], acked)))
            self._saved = acked
        except StoreError as error:
            self._last_error = f"the cursor cannot be saved: {error.message}"


def _saved_position(cursors: Cursors, epoch: int, size: int) -> int:
    """Return the saved position, or 0 when it is of another epoch, damaged, or beyond the journal."""
    raw = cursors.get(STREAM)
    if raw is None or len(raw) > 64:
        return 0
    try:
        cursor = msgspec.msgpack.decode(raw, type=Cursor)
    except UNDECODABLE:
        return 0
    return cursor.acked_upto if cursor.epoch == epoch and 0 <= cursor.acked_upto <= size else 0


def _cut(records: list[bytes]) -> list[bytes]:
    """Return the longest prefix of at most RAW_BYTES_MAX bytes; the first record always, another over-long one never."""
    total = 0
    for count, record in enumerate(records):
        total += len(record)
        if count and (total > RAW_BYTES_MAX or len(record) > RECORD_BYTES_MAX):
            return records[:count]
    return records
