"""One subscription: the tags of one plan, watched by the server, and what we do so as to believe it.

Our configuration is the registry: a new session makes a new subscription with every item of the plan, then reads all of
them once. What the server says is never taken on trust for long:

- no message for three keep-alives: the session is dead, whatever the transport says;
- nothing but keep-alives while a read shows that something changed: the subscription is dead, whatever it says;
- a number missing in its messages: asked for again, and if it is gone, the gap is journalled and all tags are read;
- a silence of half a keep-alive too much: all tags are read, for some may have gone stale by then;
- every `max_report_interval_s` all tags are read anyway.

A keep-alive gives no value a new time. It only says that what we have still stands (docs/decisions/0005).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Awaitable, Callable, Iterator, Sequence

from asyncua.ua.status_codes import StatusCodes
from msgspec import Struct, structs

from gatewayd.clock import Clock
from gatewayd.core.contract.decode import TURNS_MAX
from gatewayd.device.link import Deliver, Note
from gatewayd.device.opcua.data_values import only_value
from gatewayd.device.opcua.faults import TOO_MUCH
from gatewayd.device.opcua.monitoring import (
    CREATE_ITEMS,
    CREATE_SUBSCRIPTION,
    DELETE_ITEMS,
    ITEMS_CREATED,
    ITEMS_DELETED,
    REPUBLISH,
    REPUBLISHED,
    SUBSCRIPTION_CREATED,
    Granted,
    ItemResult,
    Notification,
    deletion_body,
    granted,
    item_body,
    item_results,
    items_body,
    notification,
    republish_body,
    subscription_body,
)
from gatewayd.device.opcua.notification_screen import NotificationScreen
from gatewayd.device.opcua.records import split, with_statuses
from gatewayd.device.opcua.sequence import Sequence as Numbers
from gatewayd.device.opcua.service import Reader, broken
from gatewayd.device.opcua.silence import CANARIES, Silence
from gatewayd.errors import DeviceRefused, DeviceTimeout, DeviceUnreachable
from gatewayd.model import quality
from gatewayd.model.block import Block, Codec, ReadPlan
from gatewayd.model.device import OpcuaScanClass, OpcuaTag
from gatewayd.model.record import DeviceEvent, Gap

MS = 1_000_000
ITEMS_PER_CALL = 1000
KEEP_ALIVES_MISSED = 3
RETRY_FIRST_NS, RETRY_MOST_NS = 5_000 * MS, 300_000 * MS
REPUBLISHED_MAX = 16
OVERFLOWS_TOLD_EVERY_NS = 60_000 * MS
_NO_FILTER = {
    StatusCodes.BadFilterNotAllowed,
    StatusCodes.BadMonitoredItemFilterInvalid,
    StatusCodes.BadMonitoredItemFilterUnsupported,
    StatusCodes.BadDeadbandFilterInvalid,
}
_GONE = (StatusCodes.BadNodeIdUnknown, StatusCodes.BadNodeIdInvalid)
_GONE_ON_WIRE = tuple(int(status).to_bytes(4, "little") for status in _GONE)


class Item(Struct):
    """One tag as the server watches it, or does not."""

    tag: OpcuaTag
    id: int = 0  # 0 = not watched
    status: int = quality.BAD_WAITING_FOR_INITIAL_DATA  # why not
    sampling_ms: float = 0.0
    queue_size: int = 1
    with_deadband: bool = True
    failures: int = 0
    retry_mono_ns: int = 0


class Means(Struct, frozen=True):
    """What a subscription may do on its session.

    Attributes:
        call: (request kind, response kind, body, doing) -> the response's body.
        read_plan: read every tag of a plan; a refused Read is a LOST block.
        read_nodes: read some nodes; DataValues back to back.
        encode: node id of a tag for this session; None = the server does not know its namespace.
        learn_namespaces: read the server's namespaces again.
        items_per_call: the server's limit, read once; 0 = none.
        screen: checks what the server sends.
        clock: wall and boot time.
        timeout_ns: of the device.
        note: takes what belongs in the journal.
    """

    call: Callable[[int, int, bytes, str], Awaitable[Reader]]
    read_plan: Callable[[ReadPlan], Awaitable[Block]]
    read_nodes: Callable[[Sequence[bytes]], Awaitable[bytes]]
    encode: Callable[[str], bytes | None]
    learn_namespaces: Callable[[], Awaitable[None]]
    items_per_call: int
    screen: NotificationScreen
    clock: Clock
    timeout_ns: int
    note: Note


class Subscription:
    """The subscription of one plan on one session.

    Args:
        plan: its rows; a client handle is the position of a row.
        tags: the tags of these rows, in their order.
        scan: the scan class.
        means: what it may do on its session.

    Attributes:
        deliver: takes blocks; to be set before anything else.
        overflows: changes that the server's queues lost, by its own word.
        heard_wall_ns: when the last message came.
    """

    def __init__(self, plan: ReadPlan, tags: Sequence[OpcuaTag], scan: OpcuaScanClass, means: Means) -> None:
        self.plan = plan
        self.scan = scan
        self.items = [Item(tag) for tag in tags]
        self.granted = Granted(0, scan.publishing_ms, 0, 1)
        self.deliver: Deliver = lambda blocks: None
        self.overflows = 0
        self.heard_wall_ns = 0
        self.numbers = Numbers()
        self._means = means
        self._clock = means.clock
        self._items_per_call = min(limit for limit in (means.items_per_call, ITEMS_PER_CALL) if limit)
        self._heard_mono_ns = self._confirmed_mono_ns = self._read_mono_ns = 0
        self._read_asked = False
        self._missing_before = 0
        self._overflows_untold = self._overflows_told_ns = 0
        self._recent: deque[int] = deque(maxlen=CANARIES)  # handles that changed lately
        self._silence = Silence(scan.keep_alive_ms * MS)

    @property
    def keep_alive_ns(self) -> int:
        """Return how often the server, by its own word, says something."""
        return round(self.granted.publishing_ms * self.granted.keep_alive_count * MS)

    @property
    def _wished_ns(self) -> int:
        return self.scan.keep_alive_ms * MS

    @property
    def _report_ns(self) -> int:
        """Return how often all tags are read anyway; more often when the server gives fewer keep-alives than staleness needs."""
        wished_ns = round(min(item.tag.max_report_interval_s for item in self.items) * 1_000 * MS)
        return min(wished_ns, self._wished_ns) if self._is_slow else wished_ns

    @property
    def _is_slow(self) -> bool:
        return self.keep_alive_ns > 1.5 * self._wished_ns

    # --- its life -----------------------------------------------------------------------------------------------------

    async def create(self) -> int:
        """Create the subscription, without items yet; return its id.

        Raises:
            DeviceRefused: the server takes no more of them.
            DeviceError: the session is lost.
        """
        body = subscription_body(self.scan)
        self.granted = granted(
            await self._means.call(CREATE_SUBSCRIPTION, SUBSCRIPTION_CREATED, body, "a subscription")
        )
        self._heard_mono_ns = self._clock.monotonic_ns()
        if self._is_slow:
            detail = (
                f"{self._stream}: the server gives a keep-alive every {self.keep_alive_ns // MS} ms only; tags are read"
            )
            self._means.note(DeviceEvent(device=self.plan.device, state="connected", status=0, detail=detail))
        return self.granted.id

    async def fill(self) -> None:
        """Have every tag watched, then read all of them once."""
        await self._monitor(list(range(len(self.items))))
        await self._read_all()

    async def tend(self) -> None:
        """Look after it, about once a second.

        Raises:
            DeviceTimeout: it is dead, though perhaps not the connection.
            DeviceError: the session is lost.
        """
        now_ns = self._clock.monotonic_ns()
        self._check_alive(now_ns)
        await self._recover()
        await self._retry(now_ns)
        if self._read_asked or now_ns - self._read_mono_ns >= self._report_ns:
            await self._read_all()
        await self._look_behind_silence(now_ns)
        self._tell_overflows(now_ns)

    def take(self, message: Notification) -> None:
        """Take a message of the server: deliver what it says, in its turn.

        Raises:
            DeviceUnreachable: the server ended the subscription.
            DeviceProtocolError: the message is malformed.
        """
        wall_ns, now_ns = self._clock.wall_ns(), self._clock.monotonic_ns()
        if now_ns - self._heard_mono_ns > 1.5 * self._wished_ns:
            self._read_asked = True
        self._heard_mono_ns, self.heard_wall_ns = now_ns, wall_ns
        for ready in self.numbers.take(message):
            self._pass_on(ready, wall_ns, now_ns)
        if self.numbers.is_whole and now_ns - self._confirmed_mono_ns >= self._wished_ns // 2:
            self._confirmed_mono_ns = now_ns
            self._silence.keep_alive()
            self.deliver([Block(self.plan.index, Codec.CONFIRMED, wall_ns, wall_ns, now_ns)])

    def _pass_on(self, message: Notification, wall_ns: int, mono_ns: int) -> None:
        if message.ended:
            raise DeviceUnreachable(
                f"{self._stream}: the server ended the subscription: {quality.name(message.ended)}",
                remedy="A new session follows; see the server's log if this repeats.",
            )
        if sum(count for count, _ in message.changes) > self._capacity:
            raise broken("more changes than the queues of all items hold")
        for count, records in message.changes:
            for screened in self._means.screen.passed(records, count, handles=len(self.items)):
                codec, payload = Codec.OPCUA_NOTIFICATION, screened.payload
                self.deliver([Block(self.plan.index, codec, wall_ns, wall_ns, mono_ns, payload)])
                self._recent.append(int.from_bytes(screened.payload[:4], "little"))
                self._overflows_untold += screened.overflows
                self.overflows += screened.overflows
                self._read_asked = self._read_asked or screened.gone > 0
                self._silence.data(mono_ns)

    @property
    def _capacity(self) -> int:
        return sum(item.queue_size for item in self.items) + len(self.items)

    @property
    def _stream(self) -> str:
        return f"{self.plan.device}/{self.plan.scan_class}"

    # --- watching -----------------------------------------------------------------------------------------------------

    def _check_alive(self, now_ns: int) -> None:
        if now_ns - self._heard_mono_ns > KEEP_ALIVES_MISSED * self.keep_alive_ns + self._means.timeout_ns:
            silent_s = (now_ns - self._heard_mono_ns) // 1_000_000_000
            raise DeviceTimeout(
                f"{self._stream}: no message of the subscription for {silent_s} s",
                remedy="A new session follows; check network and server if this repeats.",
            )

    async def _look_behind_silence(self, now_ns: int) -> None:
        """Read some tags while only keep-alives come: a subscription may have died without a word."""
        if not self._silence.is_due(now_ns):
            return
        handles = [handle for handle in self._canaries() if self.items[handle].id]
        nodes = [node for handle in handles if (node := self._means.encode(self.items[handle].tag.node_id)) is not None]
        if not nodes or len(nodes) < len(handles):
            return
        records = split(await self._means.read_nodes(nodes), len(nodes))
        sampling_ns = round(max(self.items[handle].sampling_ms for handle in handles) * MS)
        grace_ns = sampling_ns + round(self.granted.publishing_ms * MS) + self._means.timeout_ns
        found = dict(zip(handles, records, strict=True))
        if self._silence.is_death(found, self.items, self._clock.monotonic_ns(), grace_ns):
            raise DeviceTimeout(
                f"{self._stream}: the subscription says that nothing changes, and a read shows that something did",
                remedy="A new session follows; if this repeats, report it to the server's maker, or poll these tags.",
            )

    def _canaries(self) -> list[int]:
        """Return a few tags to read: those that changed lately, else some from all over the plan."""
        spread = range(0, len(self.items), max(1, len(self.items) // CANARIES))
        return list(dict.fromkeys((*self._recent, *spread)))[:CANARIES]

    async def _recover(self) -> None:
        """Ask again for what is missing since the last look; a message on its way may just be late."""
        first, count = self.numbers.missing
        if not first or first != self._missing_before:
            self._missing_before = first
            return
        for number in [(first + offset - 1) % 0xFFFF_FFFF + 1 for offset in range(min(count, REPUBLISHED_MAX))]:
            try:
                body = republish_body(self.granted.id, number)
                again = notification(await self._means.call(REPUBLISH, REPUBLISHED, body, "a missed message"))
            except DeviceRefused:
                break
            if again.sequence != number or again.is_keep_alive:
                break
            self.take(again)
        first, count = self.numbers.missing
        if (first and first == self._missing_before) or count > REPUBLISHED_MAX:
            self._lose(first, count)
        self._missing_before = 0

    def _lose(self, first: int, count: int) -> None:
        reason = "notifications of the server are lost; all tags are read once"
        self._means.note(Gap(stream=self._stream, first=first, last=first + count - 1, count=count, reason=reason))
        self._read_asked = True
        for ready in self.numbers.give_up():
            self._pass_on(ready, self._clock.wall_ns(), self._clock.monotonic_ns())

    def _tell_overflows(self, now_ns: int) -> None:
        if self._overflows_untold and now_ns - self._overflows_told_ns >= OVERFLOWS_TOLD_EVERY_NS:
            reason = "changes came faster than the server's queue for them; raise queue_size or publish more often"
            self._means.note(Gap(stream=self._stream, first=0, last=0, count=self._overflows_untold, reason=reason))
            self._overflows_untold, self._overflows_told_ns = 0, now_ns

    # --- items --------------------------------------------------------------------------------------------------------

    async def _monitor(self, positions: Sequence[int]) -> None:
        """Have tags watched, in calls no larger than the server takes; what fails is on its own."""
        waiting = deque(positions)
        while waiting:
            chunk = [waiting.popleft() for _ in range(min(self._items_per_call, len(waiting)))]
            known = [(position, node) for position in chunk if (node := self._node(position)) is not None]
            if not known:
                continue
            bodies = [
                item_body(node, position, item.tag, self.scan, with_deadband=item.with_deadband)
                for position, node in known
                for item in (self.items[position],)
            ]
            try:
                body = items_body(self.granted.id, bodies)
                reader = await self._means.call(CREATE_ITEMS, ITEMS_CREATED, body, "monitored items")
            except DeviceRefused as refused:
                if refused.code not in TOO_MUCH or self._items_per_call == 1:
                    raise
                self._items_per_call = max(1, len(chunk) // 2)
                waiting.extendleft(reversed([position for position, _ in known]))
                continue
            results = item_results(reader, len(known))
            waiting.extend(self._note_results([position for position, _ in known], results))

    def _node(self, position: int) -> bytes | None:
        node = self._means.encode(self.items[position].tag.node_id)
        if node is None:
            self._fail(self.items[position], quality.BAD_NODE_ID_UNKNOWN)
        return node

    def _note_results(self, positions: Sequence[int], results: Sequence[ItemResult]) -> Iterator[int]:
        """Take over what the server made of items; yield those to ask for again without their deadband."""
        for position, result in zip(positions, results, strict=True):
            item = self.items[position]
            if not result.status >> 31:
                item.id, item.status, item.failures = result.id, quality.GOOD, 0
                item.sampling_ms = min(max(result.sampling_ms, 0.0), 86_400_000.0)
                item.queue_size = min(max(result.queue_size, 1), TURNS_MAX)
            elif result.status in _NO_FILTER and item.with_deadband and item.tag.deadband:
                item.with_deadband = False  # more changes than wished are better than no value
                detail = f"{item.tag.name}: no deadband, the server says {quality.name(result.status)}"
                self._means.note(
                    DeviceEvent(device=self.plan.device, state="connected", status=result.status, detail=detail)
                )
                yield position
            else:
                self._fail(item, result.status)

    def _fail(self, item: Item, status: int) -> None:
        item.id, item.status = 0, status
        wait_ns = min(RETRY_FIRST_NS << min(item.failures, 10), RETRY_MOST_NS)
        item.failures += 1
        item.retry_mono_ns = self._clock.monotonic_ns() + wait_ns

    async def _retry(self, now_ns: int) -> None:
        """Try again what could not be watched; a node may appear later, and so may its namespace."""
        due = [place for place, item in enumerate(self.items) if not item.id and item.retry_mono_ns <= now_ns]
        if not due:
            return
        if any(self._means.encode(self.items[place].tag.node_id) is None for place in due):
            await self._means.learn_namespaces()
        await self._monitor(due)
        if any(self.items[place].id for place in due):
            self._read_asked = True

    async def _read_all(self) -> None:
        """Read every tag; one that is not watched keeps the status that says why, for nobody would tell of its changes."""
        self._read_asked = False
        self._read_mono_ns = self._clock.monotonic_ns()
        block = await self._means.read_plan(self.plan)
        payload = block.payload
        unwatched = {place: item.status for place, item in enumerate(self.items) if not item.id}
        if unwatched and block.codec is Codec.OPCUA_READ:
            block = structs.replace(block, payload=with_statuses(payload, len(self.items), unwatched))
        self.deliver([block])
        if block.codec is Codec.OPCUA_READ and any(status in payload for status in _GONE_ON_WIRE):
            await self._part_with_the_gone(split(payload, len(self.items)))

    async def _part_with_the_gone(self, records: Sequence[bytes]) -> None:
        """Drop items whose node the server does not have any more: a node of that name made later is another one."""
        gone = [
            item for item, record in zip(self.items, records, strict=True) if item.id and only_value(record)[0] in _GONE
        ]
        if gone:
            body = deletion_body(self.granted.id, [item.id for item in gone])
            await self._means.call(DELETE_ITEMS, ITEMS_DELETED, body, "the end of monitored items")
        for item in gone:
            self._fail(item, quality.BAD_NODE_ID_UNKNOWN)
