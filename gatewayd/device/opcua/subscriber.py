"""All subscriptions of one session: PublishRequests kept waiting at the server, what they bring, and what becomes of it.

asyncua keeps one PublishRequest outstanding, so that a round trip passes between two messages; here several wait. An
answer is handed on where it arrives, in the callback of its future: no task per message, and no queue.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Mapping, Sequence
from functools import partial

from asyncua.common.utils import Buffer
from asyncua.ua.status_codes import StatusCodes
from msgspec import Struct

from gatewayd.clock import Clock
from gatewayd.device.link import Deliver, Note
from gatewayd.device.opcua.faults import SESSION_GONE, translated
from gatewayd.device.opcua.monitoring import ACKNOWLEDGED_MAX, PUBLISHED, publish_body, published
from gatewayd.device.opcua.monitoring import PUBLISH as PUBLISH_KIND
from gatewayd.device.opcua.notification_screen import NotificationScreen
from gatewayd.device.opcua.service import Reader, body_of
from gatewayd.device.opcua.session import Session
from gatewayd.device.opcua.subscription import MS, RETRY_FIRST_NS, RETRY_MOST_NS, Means, Subscription
from gatewayd.errors import DeviceError, DeviceRefused, DeviceUnreachable
from gatewayd.model.block import Block, Codec, ReadPlan
from gatewayd.model.device import OpcuaDevice, OpcuaTag
from gatewayd.model.record import Gap

OUTSTANDING_MIN, OUTSTANDING_MAX = 3, 12
MAX_MONITORED_ITEMS_PER_CALL = 11714
_SUBSCRIPTION_GONE = {StatusCodes.BadSubscriptionIdInvalid, StatusCodes.BadNoSubscription}


class Door(Struct, frozen=True):
    """What a subscriber needs of its link, beside the session.

    Attributes:
        read_plan: read every tag of a plan on this session; a refused Read is a LOST block.
        encode: node id of a tag for this session; None = the server does not know its namespace.
        screen: checks what the server sends.
        clock: wall and boot time.
        note: takes what belongs in the journal.
        heard_wall_ns: plan index -> when its last subscription was heard last, for the gap; kept across sessions.
    """

    read_plan: Callable[[ReadPlan], Awaitable[Block]]
    encode: Callable[[str], bytes | None]
    screen: NotificationScreen
    clock: Clock
    note: Note
    heard_wall_ns: dict[int, int]


class Subscriber:
    """The subscriptions of one session; a new session gets a new one.

    Args:
        session: open.
        device: its configuration.
        tags: row of the twin -> tag.
        door: what else it needs.

    Attributes:
        failure: what ended the session, found when an answer came or did not.
    """

    def __init__(self, session: Session, device: OpcuaDevice, tags: Mapping[int, OpcuaTag], door: Door) -> None:
        self._session = session
        self._device = device
        self._tags = tags
        self._door = door
        self._clock = door.clock
        self._by_plan: dict[int, Subscription] = {}
        self._by_id: dict[int, Subscription] = {}
        self._refusals: dict[int, tuple[int, int]] = {}  # plan index -> how often refused, and when to try again
        self._items_per_call = -1
        self._acknowledge: deque[tuple[int, int]] = deque(maxlen=10 * ACKNOWLEDGED_MAX)
        self._outstanding = 0
        self._most = OUTSTANDING_MAX
        self.failure: DeviceError | None = None
        self._is_closed = False

    async def tend(self, plan: ReadPlan, deliver: Deliver) -> None:
        """See to the subscription of a plan; call it about once a second.

        The first call creates it. `deliver` is kept: blocks come whenever the server has news. A subscription that the
        server refuses is a LOST block, tried again later; the other plans go on.

        Raises:
            DeviceTimeout, DeviceUnreachable, DeviceProtocolError: the session is lost, or a subscription is dead.
        """
        self._check()
        await self._session.renew()
        subscription = self._by_plan.get(plan.index)
        try:
            if subscription is None:
                await self._create(plan, deliver)
            else:
                subscription.deliver = deliver
                await subscription.tend()
        except DeviceRefused as refused:
            self._put_off(plan, deliver, refused)
        self._check()
        self._ask()

    def close(self) -> None:
        """Forget everything; answers that still come are dropped."""
        self._is_closed = True

    # --- subscriptions ------------------------------------------------------------------------------------------------

    async def _create(self, plan: ReadPlan, deliver: Deliver) -> None:
        _, retry_ns = self._refusals.get(plan.index, (0, 0))
        if self._clock.monotonic_ns() < retry_ns:
            return
        if self._items_per_call < 0:
            self._items_per_call = await self._session.operation_limit(MAX_MONITORED_ITEMS_PER_CALL)
        subscription = Subscription(
            plan,
            [self._tags[row.row] for row in plan.rows],
            self._device.scan_classes[plan.scan_class],
            self._means(),
        )
        subscription.deliver = deliver
        self._by_id[await subscription.create()] = subscription
        self._by_plan[plan.index] = subscription
        self._note_gap(plan)
        self._ask()
        await subscription.fill()
        self._refusals.pop(plan.index, None)

    def _means(self) -> Means:
        return Means(
            call=self._call,
            read_plan=self._door.read_plan,
            read_nodes=self._read_nodes,
            encode=self._door.encode,
            learn_namespaces=self._session.learn,
            items_per_call=self._items_per_call,
            screen=self._door.screen,
            clock=self._clock,
            timeout_ns=self._device.timeout_ms * MS,
            note=self._door.note,
        )

    def _note_gap(self, plan: ReadPlan) -> None:
        heard_ns = self._door.heard_wall_ns.pop(plan.index, 0)
        if heard_ns:
            reason = "the subscription was made anew (wall ns of the silence); all tags are read once"
            stream = f"{self._device.name}/{plan.scan_class}"
            self._door.note(Gap(stream=stream, first=heard_ns, last=self._clock.wall_ns(), count=0, reason=reason))

    def _put_off(self, plan: ReadPlan, deliver: Deliver, refused: DeviceRefused) -> None:
        """Leave a plan that the server refuses for a while, with its tags bad."""
        subscription = self._by_plan.pop(plan.index, None)
        if subscription is not None:  # half made: it would confirm what nobody watches
            self._by_id.pop(subscription.granted.id, None)
        failures, _ = self._refusals.get(plan.index, (0, 0))
        now_ns, wall_ns = self._clock.monotonic_ns(), self._clock.wall_ns()
        wait_ns = min(RETRY_FIRST_NS << min(failures, 10), RETRY_MOST_NS)
        self._refusals[plan.index] = failures + 1, now_ns + wait_ns
        deliver([Block(plan.index, Codec.LOST, wall_ns, wall_ns, now_ns, status=refused.status)])

    async def _call(self, kind: int, answer: int, body: bytes, doing: str) -> Reader:
        try:
            return await self._session.call(kind, answer, body, doing)
        except DeviceRefused as refused:
            self._check_refusal(refused)
            raise

    async def _read_nodes(self, nodes: Sequence[bytes]) -> bytes:
        return await self._session.read(self._session.read_request(nodes))

    # --- publishing ---------------------------------------------------------------------------------------------------

    def _ask(self) -> None:
        """Keep enough PublishRequests waiting at the server."""
        wanted = min(max(OUTSTANDING_MIN, len(self._by_id) + 2), self._most) if self._by_id else 0
        while self._outstanding < wanted and self.failure is None and not self._is_closed:
            acknowledged = [self._acknowledge.popleft() for _ in range(min(ACKNOWLEDGED_MAX, len(self._acknowledge)))]
            try:
                handle, answer = self._session.post(PUBLISH_KIND, publish_body(acknowledged))
            except DeviceError as error:
                self._fail(error)
                return
            self._outstanding += 1
            answer.add_done_callback(partial(self._answered, handle))

    def _answered(self, handle: int, answer: asyncio.Future[Buffer]) -> None:
        """Take the answer to a PublishRequest; nothing may be raised here."""
        self._outstanding -= 1
        if self._is_closed or answer.cancelled():
            if not answer.cancelled():
                answer.exception()  # looked at, so that asyncio does not complain
            return
        try:
            with translated(self._device, "waiting for notifications"):
                response = bytes(answer.result())
            self._take(body_of(response, kind=PUBLISHED, handle=handle, doing="to publish"))
        except DeviceRefused as refused:
            self._take_refusal(refused)
            return  # the next look asks again: a server that refuses at once must not keep us busy
        except DeviceError as error:
            self._fail(error)
            return
        self._ask()

    def _take(self, reader: Reader) -> None:
        found = published(reader)
        subscription = self._by_id.get(found.subscription)
        if not found.notification.is_keep_alive:
            self._acknowledge.append((found.subscription, found.notification.sequence))
        if subscription is not None:
            subscription.take(found.notification)
            self._door.heard_wall_ns[subscription.plan.index] = subscription.heard_wall_ns

    def _take_refusal(self, refused: DeviceRefused) -> None:
        if refused.code == StatusCodes.BadTooManyPublishRequests:
            self._most = max(1, self._outstanding)
            return
        try:
            self._check_refusal(refused)
        except DeviceError as error:
            self._fail(error)

    def _check_refusal(self, refused: DeviceRefused) -> None:
        """Turn a refusal that means the end of session or subscription into the loss of the link."""
        is_ours = refused.code in _SUBSCRIPTION_GONE and bool(self._by_id)
        if refused.code in SESSION_GONE or is_ours:
            raise DeviceUnreachable(
                f"{self._device.name}: {refused.message}: the server forgot our session or subscription",
                remedy="A new session follows; see the server's log if this repeats.",
            ) from refused

    def _fail(self, error: DeviceError) -> None:
        """Keep the first failure for the next look, and let everything else on the session fail at once."""
        if self.failure is None:
            self.failure = error
            self._session.drop()

    def _check(self) -> None:
        if self.failure is not None:
            raise self.failure
