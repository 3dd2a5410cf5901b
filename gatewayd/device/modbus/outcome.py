"""What is asked, and where its answer goes: to a scan as blocks, or to the one who waits for a single request."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Final, NamedTuple, Protocol

from msgspec import Struct

from gatewayd.device.link import Deliver
from gatewayd.device.modbus.frame import HEADER_SIZE, HEADER_WITHOUT_ID, TRANSACTION_ID_SIZE, without_transaction_id
from gatewayd.device.modbus.pdu import Request
from gatewayd.errors import DeviceError
from gatewayd.model import quality
from gatewayd.model.block import Block, Codec

TELLS_ITSELF: Final = 1 << 30  # more than ever arrives, so that such an answer is always looked at closely


class Query(Struct, frozen=True, gc=False):
    """A request as a connection sends it, again and again if it belongs to a plan.

    Args:
        unit_id: who is asked.
        request: what is asked and what a good answer looks like.
        frame: all of it on TCP and UDP but the transaction id.
        answer_head: how the frame of a good answer goes on after the transaction id, up to what a read asked for.
        answer_size: bytes of that frame; `TELLS_ITSELF` when only the answer says.
        payload_at: where in that frame the payload begins.
        plan: index of the read plan it fills, -1 for a request of its own.
        codec: of the block that a good answer becomes.
        joins: the answer may share a block with the answers to the plans before and after it.
    """

    unit_id: int
    request: Request
    frame: bytes
    answer_head: bytes
    answer_size: int
    payload_at: int
    plan: int = -1
    codec: Codec = Codec.LOST
    joins: bool = False


def make_query(
    unit_id: int, request: Request, plan: int = -1, codec: Codec = Codec.LOST, *, joins: bool = False
) -> Query:
    """Prepare a request for sending."""
    head = HEADER_WITHOUT_ID.pack(0, 1 + request.size, unit_id) + request.head
    return Query(
        unit_id,
        request,
        without_transaction_id(unit_id, request.pdu),
        head,
        HEADER_SIZE + request.size if request.size else TELLS_ITSELF,
        TRANSACTION_ID_SIZE + len(head),
        plan,
        codec,
        joins,
    )


Given = tuple[Query, bytes, int]  # to which query, the payload, when the query was sent (wall ns)


class Arrival(NamedTuple):
    """When the last byte of answers came."""

    wall_ns: int
    mono_ns: int


class Answer(NamedTuple):
    """What a device answered to a single request."""

    payload: bytes
    response_time_ns: int  # wall


class Outcome(Protocol):
    """Where the answer to a request goes."""

    is_over: bool  # nobody waits any more

    def take(self, answers: Sequence[Given], arrival: Arrival) -> None:
        """Take good answers that came together, in order; at least one."""
        ...

    def refuse(self, query: Query, error: DeviceError, sent_ns: int, arrival: Arrival) -> None:
        """Take an exception response."""
        ...

    def fail(self, error: Exception) -> None:
        """Learn that no answer will come."""
        ...


class Scan:
    """Turns each answer into a block; `done` once all `count` have come."""

    __slots__ = ("_deliver", "_left", "done", "is_over")

    def __init__(self, deliver: Deliver, count: int, done: asyncio.Future[None]) -> None:
        self._deliver = deliver
        self._left = count
        self.done = done
        self.is_over = False

    def take(self, answers: Sequence[Given], arrival: Arrival) -> None:
        """Deliver the payloads as they are, those of plans that follow each other as one block."""
        wall_ns, mono_ns = arrival
        blocks: list[Block] = []
        at, end = 0, len(answers)
        while at < end:
            first = at
            query, payload, sent_ns = answers[at]
            at += 1
            plan = query.plan
            while query.joins and at < end and answers[at][0].joins and answers[at][0].plan == plan + at - first:
                at += 1
            if at - first > 1:
                payload = b"".join([answer[1] for answer in answers[first:at]])
            blocks.append(Block(plan, query.codec, sent_ns, wall_ns, mono_ns, payload, 0, (), at - first))
        self._put(blocks, end)

    def refuse(self, query: Query, error: DeviceError, sent_ns: int, arrival: Arrival) -> None:
        """Deliver that this plan has no values; the others of the scan go on."""
        self._put([Block(query.plan, Codec.LOST, sent_ns, arrival.wall_ns, arrival.mono_ns, b"", error.status)], 1)

    def fail(self, error: Exception) -> None:
        """End the scan."""
        self.is_over = True
        if not self.done.done():
            self.done.set_exception(error)

    def _put(self, blocks: Sequence[Block], answers: int) -> None:
        if self.is_over:
            return
        self._deliver(blocks)
        self._left -= answers
        if not self._left:
            self.is_over = True
            if not self.done.done():
                self.done.set_result(None)


class UnitScan(Scan):
    """The part of a scan that goes to one of several units: over once the gateway says that it does not reach it."""

    __slots__ = ()

    def refuse(self, query: Query, error: DeviceError, sent_ns: int, arrival: Arrival) -> None:
        """Deliver that this plan has no values, or end with the error if none of the unit's will have."""
        if error.status != quality.BAD_NO_COMMUNICATION:
            super().refuse(query, error, sent_ns, arrival)
        elif not self.is_over:
            self.fail(error)


class Single:
    """Hands one answer to the one who waits in `done`."""

    __slots__ = ("done", "is_over")

    def __init__(self, done: asyncio.Future[Answer]) -> None:
        self.done = done
        self.is_over = False

    def take(self, answers: Sequence[Given], arrival: Arrival) -> None:
        """Hand over the payload."""
        ((_, payload, _),) = answers
        self.is_over = True
        if not self.done.done():
            self.done.set_result(Answer(payload, arrival.wall_ns))

    def refuse(self, query: Query, error: DeviceError, sent_ns: int, arrival: Arrival) -> None:
        """Hand over the device's refusal."""
        self.fail(error)

    def fail(self, error: Exception) -> None:
        """Hand over the reason why there is no answer."""
        self.is_over = True
        if not self.done.done():
            self.done.set_exception(error)
