"""The collector: batches from every gateway into one table, an ack to each after the commit.

Messages are confirmed to the broker only once their rows are committed, so that a slow disk holds the broker back
instead of filling memory. Everything it forgets in a crash, the senders send again.
"""

from __future__ import annotations

import asyncio
import random
import secrets
from collections.abc import Callable

from msgspec import Struct

from gatewayd.clock import Clock
from gatewayd.cloud.ledger import Key, Ledger, Verdict
from gatewayd.cloud.table import JournalTable, TableConflict
from gatewayd.errors import LinkError, StoreError
from gatewayd.sync import alarm
from gatewayd.sync.backoff import Backoff
from gatewayd.sync.endpoint import Endpoint
from gatewayd.sync.link import Confirmed, Link, Received, Session
from gatewayd.sync.wire import (
    HELLO_TOPIC,
    UP_FILTER,
    Ack,
    Batch,
    Hello,
    MalformedMessage,
    ack_topic,
    decode_batch,
    encode,
    up_topic,
)

CONFLICTS_MAX = 20
GATEWAYS_COUNTED_MAX = 1000


class CollectorLimits(Struct, frozen=True):
    """When to commit (each commit is one file in the table), and the longest wait between attempts to connect."""

    delay_ns: int = 200_000_000
    rows_max: int = 10_000
    bytes_max: int = 8 << 20
    reconnect_max_ns: int = 30_000_000_000


class CollectorStatus(Struct, frozen=True, kw_only=True):
    """What the collector has done since it started."""

    connected: bool
    landed: int
    landed_by_gateway: dict[str, int]
    duplicates: int
    gaps: int
    malformed: int
    undecoded: int
    conflicts: int
    last_error: str


class Collector:
    """Collects until `stop`. The table belongs to it while it runs; other collectors may write the same folder."""

    def __init__(
        self,
        endpoint: Endpoint,
        table: JournalTable,
        clock: Clock,
        *,
        limits: CollectorLimits | None = None,
        report: Callable[[CollectorStatus], None] | None = None,
    ) -> None:
        self.uniform: Callable[[], float] = random.SystemRandom().random  # for the jitter; tests put a constant
        self._endpoint = endpoint
        self._table = table
        self._clock = clock
        self._limits = limits or CollectorLimits()
        self._report = report or (lambda _: None)
        self._name = f"gatewayd-collector-{secrets.token_hex(6)}"  # two collectors must not take each other over
        self._ledger = Ledger(table.landed_upto)
        self._wake = asyncio.Event()
        self._stop = asyncio.Event()
        self._connected = False
        self._commit_due_ns = 0
        self._confirms: list[Callable[[], None]] = []
        self._acks: dict[Key, Ack] = {}
        self._acks_in_flight: set[int] = set()
        self._landed: dict[str, int] = {}
        self._landed_total = 0
        self._malformed = 0
        self._gaps = 0
        self._conflicts = 0
        self._last_error = ""

    def stop(self) -> None:
        """End `run` after the last commit and its acks."""
        self._stop.set()
        self._wake.set()

    def status(self) -> CollectorStatus:
        """Return counts since the start."""
        return CollectorStatus(
            connected=self._connected,
            landed=self._landed_total,
            landed_by_gateway=dict(self._landed),
            duplicates=self._ledger.duplicates,
            gaps=self._gaps,
            malformed=self._malformed,
            undecoded=self._table.undecoded,
            conflicts=self._conflicts,
            last_error=self._last_error,
        )

    async def run(self) -> None:
        """Collect, reconnect, until `stop`."""
        backoff = Backoff(self.uniform, self._limits.reconnect_max_ns)
        while not self._stop.is_set():
            try:
                await self._one_connection(backoff)
            except LinkError as error:
                self._last_error = f"{error.message} ({error.remedy})"
                self._report(self.status())
            await alarm.wait(self._stop, self._clock, self._clock.monotonic_ns() + backoff.next_ns())

    async def _one_connection(self, backoff: Backoff) -> None:
        link = Link(self._endpoint, self._name, self._wake.set)
        try:
            session = await link.connect()
            await link.subscribe(UP_FILTER)
            self._acks_in_flight.add(link.publish(HELLO_TOPIC, encode(Hello(self._name))))
            self._connected = True
            backoff.reset()
            self._report(self.status())
            while not self._stop.is_set():
                await self._turn(link, session)
            await self._flush()
            self._publish_acks(link, session)
        finally:
            self._connected = False
            self._forget_connection()
            await link.close()

    def _forget_connection(self) -> None:
        """Drop what belongs to a connection; rows without a commit come again from their senders."""
        self._ledger.abandon()
        self._confirms.clear()
        self._acks.clear()
        self._acks_in_flight.clear()

    async def _turn(self, link: Link, session: Session) -> None:
        for event in link.drain():
            if isinstance(event, Confirmed):
                self._acks_in_flight.discard(event.token)
            else:
                await self._take(event)
        if link.lost:
            raise LinkError(link.lost, remedy="Nothing to do: the senders send again after the reconnect.")
        if not self._ledger.rows or self._clock.monotonic_ns() >= self._commit_due_ns:
            await self._flush()
        self._publish_acks(link, session)
        if self._table.compaction_due:
            await self._compact()
        await alarm.wait(self._wake, self._clock, self._commit_due_ns if self._ledger.rows else None)
        self._wake.clear()

    async def _take(self, message: Received) -> None:
        try:
            batch = decode_batch(message.payload)
            _require_own_topic(batch, message.topic)
        except MalformedMessage as error:
            self._malformed += 1
            self._last_error = error.message
            message.confirm()
            return
        if not self._ledger.rows:
            self._commit_due_ns = self._clock.monotonic_ns() + self._limits.delay_ns
        await self._offer(batch)
        self._confirms.append(message.confirm)
        if self._ledger.rows >= self._limits.rows_max or self._ledger.size >= self._limits.bytes_max:
            await self._flush()

    async def _offer(self, batch: Batch) -> None:
        verdict = self._ledger.offer(batch)
        if verdict is Verdict.GAP and await self._refresh():
            verdict = self._ledger.offer(batch)  # another collector may have landed what is missing here
        self._gaps += verdict is Verdict.GAP

    async def _flush(self) -> None:
        """Commit what waits, then owe the acks and confirm the messages."""
        try:
            await self._commit()
        except StoreError as error:
            self._last_error = f"{error.message} ({error.remedy})"
            self._ledger.abandon()
            await self._refresh()
        for ack in self._ledger.settle():
            self._acks[ack.gateway, ack.stream, ack.epoch] = ack
        for confirm in self._confirms:
            confirm()
        self._confirms.clear()

    async def _commit(self) -> None:
        for _ in range(CONFLICTS_MAX):
            runs = self._ledger.waiting
            if not runs:
                return
            try:
                await asyncio.to_thread(self._table.append, runs, self._clock.wall_ns())
            except TableConflict:
                self._conflicts += 1
                await self._refresh()
                continue
            for run in runs:
                self._count(run.key[0], len(run.records))
            self._ledger.committed()
            self._report(self.status())
            return
        raise StoreError(
            f"another writer was faster {CONFLICTS_MAX} times in a row", remedy="Run fewer collectors on one table."
        )

    async def _compact(self) -> None:
        try:
            await asyncio.to_thread(self._table.compact)
        except StoreError as error:
            self._last_error = f"{error.message} ({error.remedy})"
        await self._refresh()

    async def _refresh(self) -> bool:
        """Read the table's own positions again; return whether that went well."""
        try:
            await asyncio.to_thread(self._table.refresh)
        except StoreError as error:
            self._last_error = f"{error.message} ({error.remedy})"
            return False
        self._ledger.refresh()
        return True

    def _publish_acks(self, link: Link, session: Session) -> None:
        while self._acks and len(self._acks_in_flight) < session.window:
            key = next(iter(self._acks))
            ack = self._acks.pop(key)
            self._acks_in_flight.add(link.publish(ack_topic(ack.gateway), encode(ack)))

    def _count(self, gateway: str, rows: int) -> None:
        self._landed_total += rows
        if gateway in self._landed or len(self._landed) < GATEWAYS_COUNTED_MAX:
            self._landed[gateway] = self._landed.get(gateway, 0) + rows


def _require_own_topic(batch: Batch, topic: str) -> None:
    """The broker's access list binds a certificate to a topic, so a batch may speak only for its topic's gateway."""
    if topic != up_topic(batch.gateway, batch.stream):
        raise MalformedMessage(
            f"a batch of {batch.gateway} came on {topic}",
            remedy="Look for a gateway with another's name; names must be unique.",
        )
