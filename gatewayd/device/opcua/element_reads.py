"""Reads and writes of elements. Two ways to read, for a plan whose tags all are elements:

- by index range: the server sends one element each, and the kernel decodes them. Only for elements of plain arrays, and
  only once the server has proved that it heeds ranges: some answer with the whole array, or an error.
- whole: each node once, its elements cut out here, delivered as columns. For structures, and until the proof.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Mapping, Sequence
from math import isnan, nan
from typing import NamedTuple

from asyncua import ua
from msgspec import Struct

from gatewayd.device.opcua.data_values import Screen
from gatewayd.device.opcua.elements import (
    Found,
    Path,
    UnknownStructure,
    holds_single,
    index_range,
    is_single,
    parse_element,
    records,
    status_of,
    value_at,
)
from gatewayd.device.opcua.fast_read import ReadRequest
from gatewayd.device.opcua.session import Session
from gatewayd.device.opcua.structures import StructureTable
from gatewayd.errors import DeviceRefused
from gatewayd.model import quality
from gatewayd.model.block import Codec, ReadPlan
from gatewayd.model.device import OpcuaTag

TYPES_LEARNED_MAX = 32  # for one value: a structure may hold others of types of their own
_COLUMN = struct.Struct("<dqq")


class Element(Struct, frozen=True):
    """One element of one node, on one session."""

    node: bytes  # in OPC UA Binary
    path: Path


class ElementReads:
    """The reads of one plan of elements on one session.

    Args:
        session: open.
        elements: in the order of the plan's rows.
        table: the session's structures.
    """

    def __init__(self, session: Session, elements: Sequence[Element], table: StructureTable) -> None:
        self.session = session
        self._elements = elements
        self._table = table
        self._nodes = list(dict.fromkeys(element.node for element in elements))
        ranges = [index_range(element.path) for element in elements]
        self._ranges = [each for each in ranges if each is not None]
        self._may_range = len(self._ranges) == len(elements)
        self._uses_range = False
        self._good: list[bool] = []  # what the last whole read found
        self._requests: dict[tuple[bool, int], list[tuple[ReadRequest, Screen]]] = {}

    async def read(self, nodes_per_read: int) -> tuple[Codec, bytes]:
        """Read every element once; return how the payload is encoded, and the payload.

        Args:
            nodes_per_read: the limit in force, 0 = none.

        Raises:
            DeviceRefused: the server refused the whole Read.
            DeviceTimeout, DeviceUnreachable, DeviceProtocolError: drop this session.
        """
        if self._uses_range:
            payload = await self._by_range(nodes_per_read)
            if payload is not None:
                return Codec.OPCUA_READ, payload
            self._may_range = self._uses_range = False  # for the life of this session
        found = await self._whole(nodes_per_read)
        self._good = [not isnan(each.value) for each in found]
        self._uses_range = self._may_range and any(each.elements > 1 for each in found)
        return Codec.COLUMNS, b"".join(_COLUMN.pack(each.value, each.status, each.source_time_ns) for each in found)

    async def _by_range(self, nodes_per_read: int) -> bytes | None:
        """Return the payload for the kernel; None when the server turns out not to heed ranges."""
        parts = []
        place = 0
        for request, screen in self._prepared(nodes_per_read, by_range=True):
            answer = await self.session.read(request)
            good = self._good[place : place + request.count]
            if not screen.knows(answer) and not _heeds(answer, good):
                return None
            parts.append(screen.passed(answer))
            place += request.count
        return b"".join(parts)

    async def _whole(self, nodes_per_read: int) -> list[Found]:
        answers: dict[bytes, bytes] = {}
        nodes = iter(self._nodes)
        for request, _ in self._prepared(nodes_per_read, by_range=False):
            answer = await self.session.read(request)
            for start, end in records(answer, request.count):
                answers[next(nodes)] = answer[start:end]
        return [await find(answers[element.node], element.path, self._table) for element in self._elements]

    def _prepared(self, nodes_per_read: int, *, by_range: bool) -> list[tuple[ReadRequest, Screen]]:
        parts = self._requests.get((by_range, nodes_per_read))
        if parts is None:
            nodes = [element.node for element in self._elements] if by_range else self._nodes
            ranges = self._ranges if by_range else []
            size = nodes_per_read or len(nodes)
            parts = []
            for start in range(0, len(nodes), size):
                chunk = nodes[start : start + size]
                request = self.session.read_request(chunk, ranges[start : start + size])
                parts.append((request, Screen(len(chunk), are_elements=by_range)))
            self._requests = {key: kept for key, kept in self._requests.items() if key[1] == nodes_per_read}
            self._requests[by_range, nodes_per_read] = parts
        return parts


class Elements:
    """The elements among one device's tags.

    Args:
        tags: (row of the twin, tag), every tag of the device.
    """

    def __init__(self, tags: Mapping[int, OpcuaTag]) -> None:
        self._paths = {row: parse_element(tag.element) for row, tag in tags.items() if tag.element}
        self._session: Session | None = None
        self._table: StructureTable | None = None
        self._reads: dict[int, ElementReads] = {}  # by plan index, for this session

    def __contains__(self, row: int) -> bool:
        return row in self._paths

    def reads_of(self, session: Session, plan: ReadPlan, nodes: Callable[[], Sequence[bytes]]) -> ElementReads:
        """Return the reads of a plan on a session.

        Args:
            session: open.
            plan: whose rows all are elements.
            nodes: gives them in OPC UA Binary, one per row; asked once a session.
        """
        table = self._table_of(session)
        if plan.index not in self._reads:
            elements = [Element(node, self._paths[row.row]) for node, row in zip(nodes(), plan.rows, strict=True)]
            self._reads[plan.index] = ElementReads(session, elements, table)
        return self._reads[plan.index]

    async def read_one(self, session: Session, row: int, node: bytes) -> Found:
        """Read one element on its own, from its whole node.

        Raises:
            DeviceRefused: the server refused the whole Read.
            DeviceTimeout, DeviceUnreachable, DeviceProtocolError: drop this session.
        """
        return await _read_one(session, Element(node, self._paths[row]), self._table_of(session))

    async def to_write(self, session: Session, what: str, row: int, node: bytes, value: ua.Variant) -> _Part:
        """Return how to write an element, once the server has shown that it heeds ranges.

        A server that ignores them would put an array of one in the place of the whole.

        Args:
            session: open.
            what: device and tag, for messages.
            row: of the tag.
            node: in OPC UA Binary.
            value: of the element.

        Raises:
            DeviceRefused: the element cannot be written alone; nothing was sent.
            DeviceTimeout, DeviceUnreachable, DeviceProtocolError: drop this session.
        """
        element = Element(node, self._paths[row])
        wanted = await _require_writable(session, what, element, self._table_of(session))
        dimensions = [ua.Int32(1)] * (
            wanted.count(",") + 1
        )  # an array of one, as many times as there are indices (Part 4, 7.27)
        several = dimensions if len(dimensions) > 1 else None
        return _Part(ua.Variant([value.Value], value.VariantType, Dimensions=several, is_array=True), wanted)

    def _table_of(self, session: Session) -> StructureTable:
        if self._table is None or self._session is not session:
            self._session, self._table, self._reads = session, StructureTable(session), {}
        return self._table


class _Part(NamedTuple):
    """What is written where."""

    value: ua.Variant
    index_range: str


async def find(record: bytes, path: Path, table: StructureTable) -> Found:
    """Return what one DataValue holds at a path, asking the server for the structures on the way.

    Raises:
        DeviceTimeout, DeviceUnreachable, DeviceProtocolError: drop this session.
    """
    for _ in range(TYPES_LEARNED_MAX):
        try:
            return value_at(record, path, table.known)
        except UnknownStructure as unknown:
            await table.learn(unknown.type_id)
    return Found(nan, quality.BAD_TYPE_MISMATCH, 0)


async def _read_one(session: Session, element: Element, table: StructureTable) -> Found:
    return await find(await session.read(session.read_request([element.node])), element.path, table)


async def _require_writable(session: Session, what: str, element: Element, table: StructureTable) -> str:
    wanted = index_range(element.path)
    if wanted is None:
        raise _unwritable(what, "a field of a structure cannot be written without the rest of it")
    whole = await _read_one(session, element, table)
    if isnan(whole.value):
        raise _unwritable(what, f"the element cannot be read: {quality.name(whole.status)}")
    answer = await session.read(session.read_request([element.node], [wanted]))
    # The whole was readable, so it has an element; if that is all there is, a range changes nothing.
    if not holds_single(answer):
        raise _unwritable(what, "the server does not heed index ranges, so the whole array would be replaced")
    return wanted


def _heeds(answer: bytes, good: Sequence[bool]) -> bool:
    """Say whether every element that was readable before is now an array of one or, for a reason of its own, Bad."""
    for (start, end), was_good in zip(records(answer, len(good)), good, strict=True):
        record = answer[start:end]
        if not is_single(record):
            return False
        refused = status_of(record) in (quality.BAD_INDEX_RANGE_INVALID, quality.BAD_INDEX_RANGE_NO_DATA)
        if was_good and refused:
            return False
    return True


def _unwritable(what: str, why: str) -> DeviceRefused:
    return DeviceRefused(
        f"{what}: {why}",
        remedy="Nothing was sent. Ask the PLC's programmer for a node of its own for this value, and use that.",
        status=quality.BAD_WRITE_NOT_SUPPORTED,
        code=quality.BAD_WRITE_NOT_SUPPORTED,
    )
