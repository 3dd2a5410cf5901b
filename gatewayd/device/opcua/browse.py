"""Walks an OPC UA address space, within limits: nodes, depth, references of one node. Reads only.

Breadth first, so that what was seen when time or limit ran out is the top of the tree, not one deep branch.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Final

from asyncua import ua
from asyncua.client.ua_session import UaSession
from asyncua.ua.attribute_ids import AttributeIds
from msgspec import Struct

from gatewayd.device.opcua.inspect import (
    TYPES_OF_TAGS,
    read_attributes,
    shown,
    spelled,
    status_name,
    to_library,
    variant_type,
)
from gatewayd.device.opcua.session import Session
from gatewayd.errors import DeviceProtocolError, DeviceRefused

OBJECTS_FOLDER: Final = "i=85"
SERVER_OBJECT: Final = 2253  # some hundred nodes about the server itself: only when asked for
NODES_PER_BROWSE: Final = 50
NODES_PER_READ: Final = 500
REFERENCES_PER_NODE: Final = 1000  # asked for at once; the rest by BrowseNext
CONTINUATIONS_MAX: Final = 1000
NAME_MAX: Final = 200
NO_CONTINUATION_POINTS: Final = 0x804B0000
_HIERARCHICAL: Final = ua.NodeId(ua.Int32(33))
_CLASSES: Final = ua.NodeClass.Object | ua.NodeClass.Variable
_WRITE_BIT: Final = 2  # of UserAccessLevel: CurrentWrite
_READ_BIT: Final = 1


class Node(Struct, kw_only=True):
    """A node as found.

    Args:
        node_id: as a tag list writes it.
        name: display name.
        path: names from the start on, this one included.
        depth: 1 for the children of the start.
        parent: place of the parent in the list; -1 for the start's children.
        is_variable: the rest is empty for objects.
        type: of the value, e.g. `Double` or `Double[3]`.
        access: what the session's user may do: `r`, `rw`, `w` or `-`.
        value: as text.
        status: of the value.
    """

    node_id: str
    name: str
    path: tuple[str, ...]
    depth: int
    parent: int
    is_variable: bool
    type: str = ""
    access: str = ""
    value: str = ""
    status: str = ""

    @property
    def tag_type(self) -> str:
        """Return the type a tag of this node has; empty if it cannot be one."""
        return TYPES_OF_TAGS.get(self.type, "")


class Browser:
    """One walk; `nodes` holds what was found so far, whatever ends it.

    Args:
        session: open.
        depth_max: how far below the start.
        nodes_max: where to stop.
        progress: called with the number of nodes found.

    Attributes:
        is_complete: nothing was left out.
        skipped: nodes whose children the server refused to tell.
    """

    def __init__(self, session: Session, *, depth_max: int, nodes_max: int, progress: Callable[[int], None]) -> None:
        self.nodes: list[Node] = []
        self.is_complete = True
        self.skipped = 0
        self._session = session
        self._depth_max = depth_max
        self._nodes_max = nodes_max
        self._progress = progress
        self._seen: set[ua.NodeId] = set()
        self._per_browse = NODES_PER_BROWSE

    async def run(self, start: str = OBJECTS_FOLDER) -> None:
        """Walk from a node on.

        Args:
            start: node id as a tag list writes it.

        Raises:
            DeviceError, ConfigError.
        """
        first = to_library(start, self._session.namespaces)
        self._seen = {first}
        if start != f"i={SERVER_OBJECT}":
            self._seen.add(ua.NodeId(ua.Int32(SERVER_OBJECT)))
        level: list[tuple[ua.NodeId, int]] = [(first, -1)]
        for _ in range(self._depth_max):
            level = await self._descend(level)
            if not level:
                return
        self.is_complete = False  # the last level may have children; it was not asked

    async def _descend(self, level: Sequence[tuple[ua.NodeId, int]]) -> list[tuple[ua.NodeId, int]]:
        """Find the children of a level and read them; return them as the next one."""
        following: list[tuple[ua.NodeId, int]] = []
        at = 0
        while at < len(level):
            part = level[at : at + self._per_browse]
            found = await self._children([node for node, _ in part])
            if found is None:  # too many at once for this server
                self._per_browse = max(1, self._per_browse // 2)
                continue
            at += len(part)
            fresh: list[tuple[ua.NodeId, int]] = []
            for (_, parent), references in zip(part, found, strict=True):
                fresh += self._note(parent, references)
            await self._read_variables(fresh)
            following += fresh
            self._progress(len(self.nodes))
            if len(self.nodes) >= self._nodes_max:
                self.is_complete = False
                return []
        return following

    def _note(self, parent: int, references: Sequence[ua.ReferenceDescription]) -> list[tuple[ua.NodeId, int]]:
        """Add the targets that were not seen yet."""
        fresh = []
        above = self.nodes[parent] if parent >= 0 else None
        for reference in references:
            node = _local(reference.NodeId)
            if node is None or node in self._seen:
                continue
            if len(self.nodes) >= self._nodes_max:
                self.is_complete = False
                break
            self._seen.add(node)
            name = str(reference.DisplayName.Text or reference.BrowseName.Name or "")[:NAME_MAX]
            self.nodes.append(
                Node(
                    node_id=spelled(node, self._session.namespaces),
                    name=name,
                    path=(*(above.path if above else ()), name),
                    depth=above.depth + 1 if above else 1,
                    parent=parent,
                    is_variable=reference.NodeClass == ua.NodeClass.Variable,
                )
            )
            fresh.append((node, len(self.nodes) - 1))
        return fresh

    async def _children(self, nodes: Sequence[ua.NodeId]) -> list[list[ua.ReferenceDescription]] | None:
        """Return the references of each node; None when the server wants fewer at once."""
        parameters = ua.BrowseParameters(
            View=ua.ViewDescription(),
            RequestedMaxReferencesPerNode=ua.Counter(REFERENCES_PER_NODE),
            NodesToBrowse=[_description(node) for node in nodes],
        )
        try:
            results = await self._session.ask("browsing", partial(UaSession.browse, parameters=parameters))
        except DeviceRefused:
            if len(nodes) > 1:
                return None
            self.skipped += 1
            self.is_complete = False
            return [[]]
        if len(results) != len(nodes):
            raise DeviceProtocolError(
                f"{len(results)} answers for {len(nodes)} nodes",
                remedy="The server breaks the protocol; browse it with another client.",
            )
        if len(nodes) > 1 and any(int(each.StatusCode.value) == NO_CONTINUATION_POINTS for each in results):
            await self._release([each.ContinuationPoint for each in results if each.ContinuationPoint])
            return None
        return [await self._whole(result) for result in results]

    async def _release(self, points: list[bytes]) -> None:
        """Give continuation points back: a server has few, and ran out of them."""
        if points:
            asked = ua.BrowseNextParameters(ReleaseContinuationPoints=True, ContinuationPoints=points)
            await self._session.ask("browsing", partial(UaSession.browse_next, parameters=asked))

    async def _whole(self, result: ua.BrowseResult) -> list[ua.ReferenceDescription]:
        """Return all references of a node, following its continuation points."""
        if int(result.StatusCode.value) >> 31:
            self.skipped += 1
            return []
        references = list(result.References or [])
        point = result.ContinuationPoint
        for _ in range(CONTINUATIONS_MAX):
            if not point or len(self.nodes) + len(references) >= self._nodes_max:
                break
            asked = ua.BrowseNextParameters(ReleaseContinuationPoints=False, ContinuationPoints=[point])
            (more,) = await self._session.ask("browsing on", partial(UaSession.browse_next, parameters=asked))
            references += more.References or []
            point = more.ContinuationPoint
        if point:
            self.is_complete = False
        return references

    async def _read_variables(self, fresh: Sequence[tuple[ua.NodeId, int]]) -> None:
        wanted = [(node, at) for node, at in fresh if self.nodes[at].is_variable]
        rows = await read_attributes(
            self._session,
            [node for node, _ in wanted],
            [AttributeIds.Value, AttributeIds.UserAccessLevel, AttributeIds.DataType, AttributeIds.ValueRank],
            min(self._session.nodes_per_read or NODES_PER_READ, NODES_PER_READ),
        )
        for (_, at), (value, access, data_type, rank) in zip(wanted, rows, strict=True):
            node = self.nodes[at]
            node.value, node.status, node.access = shown(value), status_name(value), _access(access)
            node.type = variant_type(value) or _declared_type(data_type, rank)


def _local(node: ua.NodeId) -> ua.NodeId | None:
    """Return the node of a reference as one of this server; None for a node of another server."""
    if isinstance(node, ua.ExpandedNodeId):
        if node.ServerIndex or node.NamespaceUri:
            return None
        return ua.NodeId(node.Identifier, node.NamespaceIndex, node.NodeIdType)
    return node


def _description(node: ua.NodeId) -> ua.BrowseDescription:
    return ua.BrowseDescription(
        NodeId=node,
        BrowseDirection=ua.BrowseDirection.Forward,
        ReferenceTypeId=_HIERARCHICAL,
        IncludeSubtypes=True,
        NodeClassMask=ua.UInt32(_CLASSES),
        ResultMask=ua.UInt32(ua.BrowseResultMask.All),
    )


def _declared_type(data_type: ua.DataValue, rank: ua.DataValue) -> str:
    """Return the type of a node that has no value now; empty unless it is one of the built-in types."""
    declared = None if data_type.Value is None else data_type.Value.Value
    if not isinstance(declared, ua.NodeId) or declared.NamespaceIndex:
        return ""
    names = {kind.value: kind.name for kind in ua.VariantType}
    name = names.get(declared.Identifier, "") if isinstance(declared.Identifier, int) else ""
    ranked = None if rank.Value is None else rank.Value.Value
    return f"{name}[]" if name and isinstance(ranked, int) and ranked >= 0 else name


def _access(answer: ua.DataValue) -> str:
    level = None if answer.Value is None else answer.Value.Value
    if not isinstance(level, int):
        return "-"
    return ("r" if level & _READ_BIT else "") + ("w" if level & _WRITE_BIT else "") or "-"
