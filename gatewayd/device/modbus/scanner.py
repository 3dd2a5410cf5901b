"""Runs the plans of a device: each one request, or several where the device refuses some of its addresses.

Whatever was asked, a plan is delivered as one block whose payload stands as the plan says, with the rows that are not in
it named; see `docs/decisions/0008-a-plan-may-be-asked-in-parts.md`.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import Final

from gatewayd.clock import Clock
from gatewayd.device.link import Deliver
from gatewayd.device.modbus import pdu
from gatewayd.device.modbus.holes import Holes, Part
from gatewayd.device.modbus.outcome import Query
from gatewayd.errors import DeviceError
from gatewayd.model import quality
from gatewayd.model.block import Block, Codec, ReadPlan

_LOST: Final = Codec.LOST  # Python 3.11 takes 0.2 us to look a member up

REQUESTS_PER_SCAN_MAX: Final = 32  # of one plan; the search for what is refused goes on in the next scan

Read = Callable[[Sequence[Query], Deliver], Awaitable[None]]
MakeQuery = Callable[[ReadPlan, pdu.Request, int], Query]


class Scanner:
    """Reads plans, and remembers of each what its device refuses (exception 2), for as long as the daemon runs.

    Args:
        plans: of the device; `request` is (function, start, count).
        spans: plan -> addresses [start, end) of each of its rows; asked once something of it is refused.
        make_query: (plan, request, number to be found in its block) -> what a connection sends.
        clock: for the times of blocks and of the next try.
    """

    def __init__(
        self,
        plans: Sequence[ReadPlan],
        spans: Callable[[ReadPlan], Sequence[tuple[int, int]]],
        make_query: MakeQuery,
        clock: Clock,
    ) -> None:
        self._plans = {plan.index: plan for plan in plans}
        self._spans = spans
        self._make_query = make_query
        self._clock = clock
        self._queries = {plan.index: make_query(plan, _request(plan), plan.index) for plan in plans}
        self._holes: dict[int, Holes] = {}  # of the plans of which something is refused
        self.ticket_first = 1 + max(self._plans, default=0)  # from here on numbers are no plan's

    def refused(self) -> dict[int, tuple[tuple[int, int], ...]]:
        """Return plan index -> address ranges that its device refuses to read in one request."""
        return {index: holes.refused for index, holes in self._holes.items()}

    async def scan(self, plans: Sequence[ReadPlan], deliver: Deliver, read: Read) -> None:
        """Read these plans, delivering one block each.

        Args:
            plans: of this device.
            deliver: takes the blocks.
            read: runs queries and delivers a block for each, numbered as its query.

        Raises:
            DeviceError: what `read` raised; plans that have all their answers were delivered before.
        """
        scan = _Scan(self, deliver)
        whole = [self._queries[plan.index] for plan in plans if plan.index not in self._holes]
        for plan in plans:
            if plan.index in self._holes:
                scan.begin(plan, self._holes[plan.index])
        queries = whole + scan.take_queries()
        while queries:
            try:
                await read(queries, scan.take)
            except DeviceError:
                scan.finish()
                raise
            queries = scan.take_queries()
        scan.finish()

    def query(self, plan: ReadPlan, start: int, end: int, ticket: int) -> Query:
        """Return the query for a part of a plan's addresses; its block will carry `ticket` for a plan."""
        function, _, _ = _numbers(plan)
        return self._make_query(plan, pdu.read_request(function, start, end - start), self.ticket_first + ticket)

    def first_refusal(self, block: Block) -> tuple[ReadPlan, Holes]:
        """Begin to remember what is refused of a plan."""
        plan = self._plans[block.plan]
        holes = self._holes.setdefault(plan.index, Holes(self._spans(plan)))
        return plan, holes

    def close(self, plan: ReadPlan, holes: Holes) -> None:
        """End a scan of a plan: forget its holes if there are none left."""
        holes.settle()
        if not holes.refused:
            self._holes.pop(plan.index, None)

    @property
    def now_ns(self) -> tuple[int, int]:
        """Return wall and boot-clock time."""
        return self._clock.wall_ns(), self._clock.monotonic_ns()


class _Scan:
    """One scan under way: what is to be asked next, and what has been answered."""

    def __init__(self, scanner: Scanner, deliver: Deliver) -> None:
        self._scanner = scanner
        self._deliver = deliver
        self._ticket_first = scanner.ticket_first
        self._assemblies: list[_Assembly] = []
        self._asked: list[tuple[_Assembly, Part | None]] = []  # by ticket; None = a second try at a refused range
        self._next: list[tuple[int, Query]] = []  # ticket and query

    def take_queries(self) -> list[Query]:
        """Return what is to be asked now."""
        queries = [query for _, query in self._next]
        self._next = []
        return queries

    def begin(self, plan: ReadPlan, holes: Holes) -> None:
        """Ask what is known to be readable, and one refused range whose time has come."""
        assembly = _Assembly(plan, holes)
        self._assemblies.append(assembly)
        self._ask(assembly, holes.parts)
        assembly.retried = holes.due(self._scanner.now_ns[1])
        if assembly.retried is not None:
            self._put_next(assembly, *assembly.retried, None)

    def take(self, blocks: Sequence[Block]) -> None:
        """Take the answers to queries."""
        first = self._ticket_first
        for block in blocks:
            if block.codec is _LOST or block.plan >= first:
                break
        else:  # as nearly always
            self._deliver(blocks)
            return
        for block in blocks:
            self._take(block)

    def _take(self, block: Block) -> None:
        is_refused = block.codec is Codec.LOST and block.status == quality.BAD_NODE_ID_UNKNOWN
        ticket = block.plan - self._ticket_first
        if ticket >= 0:
            assembly, part = self._asked[ticket]
            if part is None:
                self._take_retry(assembly, block, is_refused)
            else:
                assembly.waiting -= 1
                self._take_part(assembly, part, block, is_refused)
        elif is_refused:
            plan, holes = self._scanner.first_refusal(block)
            assembly = _Assembly(plan, holes)
            self._assemblies.append(assembly)
            self._take_part(assembly, holes.parts[0], block, is_refused)
        else:
            self._deliver([block])

    def _ask(self, assembly: _Assembly, parts: Iterable[Part]) -> None:
        for part in parts:
            self._put_next(assembly, part.start, part.end, part)
            assembly.asked += 1
            assembly.waiting += 1

    def _put_next(self, assembly: _Assembly, start: int, end: int, part: Part | None) -> None:
        ticket = len(self._asked)
        self._asked.append((assembly, part))
        self._next.append((ticket, self._scanner.query(assembly.plan, start, end, ticket)))

    def _take_part(self, assembly: _Assembly, part: Part, block: Block, is_refused: bool) -> None:
        assembly.note_times(block)
        if not is_refused:
            assembly.holes.answered(part)
            assembly.put(part, block)
            return
        halves = assembly.holes.refuse(part, self._scanner.now_ns[1])
        if assembly.asked + len(halves) <= max(REQUESTS_PER_SCAN_MAX, len(assembly.holes.parts) + 2):
            self._ask(assembly, halves)
        else:
            assembly.holes.postpone(halves)

    def _take_retry(self, assembly: _Assembly, block: Block, is_refused: bool) -> None:
        assert assembly.retried is not None
        if is_refused:
            assembly.holes.refused_again(*assembly.retried, self._scanner.now_ns[1])
        elif block.codec is not Codec.LOST:
            assembly.is_forgotten = True  # once this scan is over: its parts are still under way

    def finish(self) -> None:
        """Deliver every plan that has all its answers; what was never sent is for the next scan."""
        for ticket, _ in self._next:
            assembly, part = self._asked[ticket]
            if part is not None:
                assembly.waiting -= 1
                assembly.holes.postpone([part])
        for assembly in self._assemblies:
            if not assembly.waiting:
                self._deliver([assembly.block(*self._scanner.now_ns)])
            if assembly.is_forgotten:
                assembly.holes.forget()
            self._scanner.close(assembly.plan, assembly.holes)


class _Assembly:
    """The block of one plan, put together from the answers to several requests."""

    def __init__(self, plan: ReadPlan, holes: Holes) -> None:
        self.plan = plan
        self.holes = holes
        self.asked = 0
        self.waiting = 0  # requests not answered yet
        self.retried: tuple[int, int] | None = None
        self.is_forgotten = False
        _, self._start, self._count = _numbers(plan)
        self._bits = 0  # the payload as a number, the first address in its lowest bits
        self._found: list[tuple[Part, int]] = []  # what was answered, and with which status
        self._sent_ns: list[int] = []
        self._arrived_ns: list[tuple[int, int]] = []

    def note_times(self, block: Block) -> None:
        self._sent_ns.append(block.request_time_ns)
        self._arrived_ns.append((block.response_time_ns, block.response_mono_ns))

    def put(self, part: Part, block: Block) -> None:
        """Take the answer to a part, which may be that the device has failed over it."""
        self._found.append((part, block.status if block.codec is Codec.LOST else 0))
        if block.codec is Codec.MODBUS_BITS:
            answer = int.from_bytes(block.payload, "little") & ((1 << (part.end - part.start)) - 1)
            self._bits |= answer << (part.start - self._start)
        elif block.codec is Codec.MODBUS_REGISTERS:
            at = 8 * 2 * (part.start - self._start)
            mask = ((1 << 8 * len(block.payload)) - 1) << at  # values may overlap, and then the later answer counts
            self._bits = self._bits & ~mask | int.from_bytes(block.payload, "little") << at

    def block(self, wall_ns: int, mono_ns: int) -> Block:
        """Return the block; its times reach from the first request to the last answer, or are now if none was made."""
        sent_ns = min(self._sent_ns, default=wall_ns)
        response_ns, response_mono_ns = max(self._arrived_ns, key=lambda times: times[1], default=(wall_ns, mono_ns))
        plan = self.plan
        lost = self._lost_rows()
        if lost and lost[0][1] == len(plan.rows):
            return Block(plan.index, Codec.LOST, sent_ns, response_ns, response_mono_ns, b"", lost[0][2])
        size = (self._count + 7) // 8 if plan.codec is Codec.MODBUS_BITS else 2 * self._count
        payload = self._bits.to_bytes(size, "little")
        return Block(plan.index, plan.codec, sent_ns, response_ns, response_mono_ns, payload, 0, lost)

    def _lost_rows(self) -> tuple[tuple[int, int, int], ...]:
        """Return the rows without a value as (first, count, status): refused, or as the device said."""
        statuses = [quality.BAD_NODE_ID_UNKNOWN] * len(self.plan.rows)
        for part, status in self._found:
            statuses[part.first : part.first + part.rows] = [status] * part.rows
        runs: list[tuple[int, int, int]] = []
        for row, status in enumerate(statuses):
            if not status:
                continue
            if runs and runs[-1][2] == status and sum(runs[-1][:2]) == row:
                runs[-1] = (runs[-1][0], runs[-1][1] + 1, status)
            else:
                runs.append((row, 1, status))
        return tuple(runs)


def _request(plan: ReadPlan) -> pdu.Request:
    return pdu.read_request(*_numbers(plan))


def _numbers(plan: ReadPlan) -> tuple[int, int, int]:
    """Return function, start and count of a plan's request."""
    function, start, count = plan.request
    assert isinstance(function, int)
    assert isinstance(start, int)
    assert isinstance(count, int)
    return function, start, count
