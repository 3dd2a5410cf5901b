"""The OPC UA driver: polls with Read, writes with Write, each connection a new session."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

from asyncua import ua
from asyncua.ua.status_codes import get_name_and_doc
from msgspec import Struct

from gatewayd.clock import Clock
from gatewayd.compiled import load_kernels
from gatewayd.device.link import Deliver, Note, Reading, silent
from gatewayd.device.opcua.admission import Admission
from gatewayd.device.opcua.convert import to_contract_units, to_node_value
from gatewayd.device.opcua.data_values import Screen, only_value
from gatewayd.device.opcua.element_reads import Elements
from gatewayd.device.opcua.fast_read import ReadRequest
from gatewayd.device.opcua.faults import SESSION_GONE, TOO_MUCH, judge_write
from gatewayd.device.opcua.node_id import NULL_NODE_ID, encode_node_id, namespace_index, parse_node_id
from gatewayd.device.opcua.notification_screen import NotificationScreen
from gatewayd.device.opcua.plan import NODES_PER_READ_DEFAULT
from gatewayd.device.opcua.session import Session, establish, reach
from gatewayd.device.opcua.subscriber import Door, Subscriber
from gatewayd.errors import (
    DeviceError,
    DeviceProtocolError,
    DeviceRefused,
    DeviceTimeout,
    DeviceUnreachable,
)
from gatewayd.model import quality
from gatewayd.model.block import Block, Codec, ReadPlan
from gatewayd.model.device import OpcuaDevice, OpcuaTag

_VARIANTS = {
    "bool": ua.VariantType.Boolean,
    "int16": ua.VariantType.Int16,
    "uint16": ua.VariantType.UInt16,
    "int32": ua.VariantType.Int32,
    "uint32": ua.VariantType.UInt32,
    "int64": ua.VariantType.Int64,
    "uint64": ua.VariantType.UInt64,
    "float32": ua.VariantType.Float,
    "float64": ua.VariantType.Double,
}


def to_variant(tag: OpcuaTag, value: float) -> ua.Variant:
    """Return what a write of this value carries.

    Raises:
        DeviceRefused: the value does not fit.
    """
    return ua.Variant(to_node_value(tag, value), _VARIANTS[tag.type])


class _Part(Struct):
    """One request of a plan, as this connection sends it."""

    request: ReadRequest
    screen: Screen


class OpcuaLink:
    """One OPC UA server.

    Args:
        device: its configuration.
        tags: (row of the twin, tag), every tag of the device.
        plans: its read plans, from `plan_reads`.
        clock: for times of blocks and the renewal of the security token.
        folder: what relative file names of the device's configuration start from.
        identity_folder: where our own certificates and the trust list live.
    """

    def __init__(
        self,
        device: OpcuaDevice,
        tags: Sequence[tuple[int, OpcuaTag]],
        plans: Sequence[ReadPlan],
        clock: Clock,
        folder: Path,
        identity_folder: Path,
    ) -> None:
        self.name = device.name
        self.plans = tuple(plans)
        self.note: Note = silent
        self._device = device
        self._tags = dict(tags)
        self._nodes = {tag.node_id: parse_node_id(tag.node_id) for tag in self._tags.values()}
        self._elements = Elements(self._tags)
        self._clock = clock
        self._admission = Admission(device, folder, identity_folder, clock=clock)
        self._session: Session | None = None
        self._parts: dict[int, list[_Part]] = {}  # by plan index, for this session
        self._screen: NotificationScreen | None = None
        self._subscriber: Subscriber | None = None  # of this session
        self._heard_wall_ns: dict[int, int] = {}  # plan index -> when its subscription was heard last
        self._nodes_per_read = device.max_nodes_per_read  # 0 = no limit of ours; lowered when the server protests

    @property
    def session(self) -> Session:
        """The open session, for people who look around; see `gatewayd.device.opcua.browse`.

        Raises:
            DeviceUnreachable: none is open.
        """
        return self._open_session()

    async def connect(self) -> None:
        """Open a new session, unless one is open.

        Raises:
            DeviceUnreachable, DeviceTimeout, DeviceProtocolError: no usable server.
            DeviceNotTrusted: no trusted server, or it does not trust us, or nobody accepted to go without security.
            DeviceRefused: the server will not have this session.
        """
        if self._session is not None and self._session.is_open and await self._admission.still_holds(self.note):
            return
        failure = self._subscriber.failure if self._subscriber is not None else None
        self._drop()
        if failure is not None:  # it happened between two looks; unsaid, it would never count against the device
            raise failure
        trust = await self._admission.decide()
        client = await reach(self._device, trust)
        try:
            self._session = await establish(client, self._device, trust, self._clock)
        except DeviceError as error:
            await self._admission.explain(error)
            raise
        await self._admission.record(self.note)

    async def scan(self, plans: Sequence[ReadPlan], deliver: Deliver) -> None:
        """Read these plans one after the other, then look after subscriptions; see `Link.scan`.

        Raises:
            DeviceTimeout, DeviceUnreachable, DeviceProtocolError: the session is gone; connect again.
        """
        for plan in sorted(plans, key=lambda plan: plan.codec is Codec.OPCUA_NOTIFICATION):
            session = self._open_session()
            try:
                if plan.codec is Codec.OPCUA_NOTIFICATION:
                    await self._subscriber_of(session).tend(plan, deliver)
                else:
                    deliver([await self._read_plan(session, plan)])
            except (DeviceTimeout, DeviceUnreachable, DeviceProtocolError):
                self._drop(session)
                raise

    async def write(self, row: int, value: float) -> None:
        """Write one tag, once; see `Link.write`. Integers take the nearest step of their scale.

        Raises:
            DeviceRefused: the server said no, or the value does not fit; nothing changed.
            DeviceTimeout, DeviceUnreachable, DeviceProtocolError: the state of the plant is unknown.
        """
        tag = self._tags[row]
        variant, index_range = to_variant(tag, value), None
        session = self._open_session()
        node = self._encode(session, tag.node_id)
        if node is None:
            raise self._unknown_namespace(tag)
        try:
            if row in self._elements:
                what = f"{self.name}/{tag.name}"
                variant, index_range = await self._elements.to_write(session, what, row, node, variant)
            status = await session.write(node, variant, index_range)
            judge_write(f"{self.name}/{tag.name}", status)
        except (DeviceTimeout, DeviceUnreachable, DeviceProtocolError):
            self._drop(session)
            raise

    async def read_back(self, row: int) -> Reading:
        """Read one tag on its own with MaxAge 0; see `Link.read_back`.

        Raises:
            DeviceRefused: the server refused the whole Read.
            DeviceTimeout, DeviceUnreachable, DeviceProtocolError: the session is gone.
        """
        tag = self._tags[row]
        session = self._open_session()
        node = self._encode(session, tag.node_id)
        if node is None:
            return Reading(math.nan, quality.BAD_NODE_ID_UNKNOWN, self._clock.wall_ns())
        try:
            if row in self._elements:
                found = await self._elements.read_one(session, row, node)
                status, raw = found.status, None if math.isnan(found.value) else found.value
            else:
                status, raw = only_value(await session.read(session.read_request([node])))
            response_time_ns = self._clock.wall_ns()
        except DeviceRefused as refused:
            self._check_session(refused, session)
            raise
        except DeviceError:
            self._drop(session)
            raise
        if raw is None or status >> 30:
            return Reading(math.nan, status, response_time_ns)
        return Reading(to_contract_units(tag, raw), status, response_time_ns)

    async def close(self) -> None:
        """Tell the server good-bye and go, without waiting; safe to call twice."""
        session, self._session = self._session, None
        self._parts = {}
        self._unsubscribe()
        if session is not None:
            session.close()

    async def _read_plan(self, session: Session, plan: ReadPlan) -> Block:
        request_time_ns = self._clock.wall_ns()
        codec, payload, status = Codec.OPCUA_READ, b"", 0
        try:
            if plan.rows[0].row in self._elements:  # then all are
                reads = self._elements.reads_of(session, plan, lambda: self._nodes_of(session, plan))
                codec, payload = await reads.read(self._limit(session))
            else:
                answers = [(part, await session.read(part.request)) for part in self._prepared(session, plan)]
                payload = b"".join(part.screen.passed(answer) for part, answer in answers)
        except DeviceRefused as refused:
            self._check_session(refused, session)
            if refused.code in TOO_MUCH:
                self._ask_for_less(session, plan)
            codec, payload, status = Codec.LOST, b"", refused.status
        response_time_ns, response_mono_ns = self._clock.wall_ns(), self._clock.monotonic_ns()
        return Block(plan.index, codec, request_time_ns, response_time_ns, response_mono_ns, payload, status)

    def _prepared(self, session: Session, plan: ReadPlan) -> list[_Part]:
        """Return the requests of a plan, encoded once per session and no larger than the server takes."""
        parts = self._parts.get(plan.index)
        if parts is None:
            nodes = self._nodes_of(session, plan)
            size = self._limit(session)
            chunks = [nodes[start : start + size] for start in range(0, len(nodes), size)]
            parts = [_Part(session.read_request(chunk), Screen(len(chunk))) for chunk in chunks]
            self._parts[plan.index] = parts
        return parts

    def _nodes_of(self, session: Session, plan: ReadPlan) -> list[bytes]:
        return [self._encode(session, str(text)) or NULL_NODE_ID for text in plan.request]

    def _limit(self, session: Session) -> int:
        """Return how many nodes a Read may have."""
        ours = self._nodes_per_read or NODES_PER_READ_DEFAULT
        return min(session.nodes_per_read or ours, ours)

    def _ask_for_less(self, session: Session, plan: ReadPlan) -> None:
        """Halve the reads of a server that enforces a limit it does not tell; the next scan uses it."""
        largest = max(part.request.count for part in self._prepared(session, plan))
        self._nodes_per_read = max(1, largest // 2)
        self._parts = {}

    def _encode(self, session: Session, text: str) -> bytes | None:
        """Encode a node id for this session; None when the server does not know its namespace."""
        node = self._nodes.get(text) or parse_node_id(text)
        index = namespace_index(node, session.namespaces)
        return None if index is None else encode_node_id(node, index)

    def _unknown_namespace(self, tag: OpcuaTag) -> DeviceRefused:
        return DeviceRefused(
            f"{self.name}/{tag.name}: the server has no namespace of {tag.node_id}",
            remedy="Compare the nsu= URI with the server's NamespaceArray; `gatewayd device probe` shows it.",
            status=quality.BAD_NODE_ID_UNKNOWN,
            code=quality.BAD_NODE_ID_UNKNOWN,
        )

    def _check_session(self, refused: DeviceRefused, session: Session) -> None:
        """Turn a refusal that means the session is dead into the loss of the link."""
        if refused.code in SESSION_GONE:
            self._drop(session)
            raise DeviceUnreachable(
                f"{self.name}: the server ended the session: {get_name_and_doc(refused.code)[0]}",
                remedy="A new session follows; see the server's log if this repeats.",
            ) from refused

    def _open_session(self) -> Session:
        session = self._session
        if session is None or not session.is_open:
            self._drop()
            raise DeviceUnreachable(
                f"{self.name}: no session with {self._device.endpoint}",
                remedy="The next connect opens one; `gatewayd device probe` shows what is wrong.",
            )
        return session

    def _drop(self, session: Session | None = None) -> None:
        """Cut off a session (the present one by default); a newer one that took its place stays."""
        gone = session or self._session
        if gone is not None:
            gone.drop()
        if gone is self._session:
            self._session, self._parts = None, {}
            self._unsubscribe()

    def _subscriber_of(self, session: Session) -> Subscriber:
        if self._subscriber is None:
            self._screen = self._screen or NotificationScreen(load_kernels())
            door = Door(
                read_plan=lambda plan: self._read_plan(session, plan),
                encode=lambda text: self._encode(session, text),
                screen=self._screen,
                clock=self._clock,
                note=self.note,
                heard_wall_ns=self._heard_wall_ns,
            )
            self._subscriber = Subscriber(session, self._device, self._tags, door)
        return self._subscriber

    def _unsubscribe(self) -> None:
        subscriber, self._subscriber = self._subscriber, None
        if subscriber is not None:
            subscriber.close()
