"""Single nodes as people look at them: any type, all times, the status in words."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from functools import partial

from asyncua import ua
from asyncua.client.ua_session import UaSession
from asyncua.common.utils import Buffer
from asyncua.ua.attribute_ids import AttributeIds
from asyncua.ua.status_codes import get_name_and_doc
from asyncua.ua.ua_binary import nodeid_from_binary, variant_to_binary
from msgspec import Struct

from gatewayd.device.opcua.node_id import encode_node_id, namespace_index, parse_node_id
from gatewayd.device.opcua.session import Session
from gatewayd.errors import DeviceProtocolError, DeviceRefused
from gatewayd.model import quality

TEXT_MAX = 200  # characters of a value
ELEMENTS_MAX = 8  # of an array
TYPES_OF_TAGS = {
    "Boolean": "bool",
    "Int16": "int16",
    "UInt16": "uint16",
    "Int32": "int32",
    "UInt32": "uint32",
    "Int64": "int64",
    "UInt64": "uint64",
    "Float": "float32",
    "Double": "float64",
}


class NodeReading(Struct, frozen=True, kw_only=True):
    """One attribute as the server gave it.

    Args:
        type: of the variant, e.g. `Double` or `Double[3]`; empty without a value.
        value: as text, cut to `TEXT_MAX` characters.
        status: the standard's name of the status code.
        source_time: ISO 8601, UTC; empty if the server gives none. `server_time` alike.
    """

    node_id: str
    name: str
    type: str
    value: str
    status: str
    source_time: str
    server_time: str


def to_library(text: str, namespaces: Sequence[str]) -> ua.NodeId:
    """Return a node id as asyncua takes it.

    Raises:
        ConfigError: the text is no node id.
        DeviceRefused: the server does not know its namespace.
    """
    node = parse_node_id(text)
    index = namespace_index(node, namespaces)
    if index is None:
        raise DeviceRefused(
            f"the server has no namespace {node.namespace}",
            remedy=f"Its namespaces are {', '.join(namespaces)}"[:500],
            status=quality.BAD_NODE_ID_UNKNOWN,
            code=quality.BAD_NODE_ID_UNKNOWN,
        )
    return nodeid_from_binary(Buffer(encode_node_id(node, index)))


def spelled(node: ua.NodeId, namespaces: Sequence[str]) -> str:
    """Return a node id as a tag list writes it, with `nsu=` so that it survives a server that renumbers."""
    identifier = node.Identifier
    if isinstance(identifier, bytes):
        import base64

        written = f"b={base64.b64encode(identifier).decode()}"
    elif isinstance(identifier, str):
        written = f"s={identifier}"
    else:
        written = f"{'i' if isinstance(identifier, int) else 'g'}={identifier}"
    index = int(node.NamespaceIndex)
    if index == 0:
        return written
    if index >= len(namespaces) or not namespaces[index]:
        return f"ns={index};{written}"
    return f"nsu={namespaces[index].replace('%', '%25').replace(';', '%3B')};{written}"


def encoded(variant: ua.Variant) -> str:
    """Return a Variant in OPC UA Binary, hexadecimal."""
    return variant_to_binary(variant).hex(" ")


async def read_attributes(
    session: Session, nodes: Sequence[ua.NodeId], attributes: Sequence[AttributeIds], chunk: int
) -> list[list[ua.DataValue]]:
    """Read some attributes of many nodes, in requests of at most `chunk` values; return a row per node.

    Raises:
        DeviceError.
    """
    wanted = [(node, attribute) for node in nodes for attribute in attributes]
    answers: list[ua.DataValue] = []
    for start in range(0, len(wanted), chunk):
        parameters = ua.ReadParameters(
            TimestampsToReturn=ua.TimestampsToReturn.Both,
            NodesToRead=[
                ua.ReadValueId(NodeId=node, AttributeId=attribute) for node, attribute in wanted[start : start + chunk]
            ],
        )
        answered = await session.ask("reading attributes", partial(UaSession.read, parameters=parameters))
        if len(answered) != len(parameters.NodesToRead):
            raise DeviceProtocolError(
                f"{len(answered)} values for {len(parameters.NodesToRead)} nodes",
                remedy="The server breaks the protocol; read the same nodes with another client.",
            )
        answers += answered
    width = len(attributes)
    return [answers[start : start + width] for start in range(0, len(answers), width)]


async def read_node(session: Session, text: str) -> NodeReading:
    """Read value and display name of one node, whatever its type.

    Raises:
        DeviceError, ConfigError.
    """
    node = to_library(text, session.namespaces)
    ((name, value),) = await read_attributes(session, [node], [AttributeIds.DisplayName, AttributeIds.Value], 1)
    return NodeReading(
        node_id=spelled(node, session.namespaces),
        name=label(name),
        type=variant_type(value),
        value=shown(value),
        status=status_name(value),
        source_time=_time(value.SourceTimestamp),
        server_time=_time(value.ServerTimestamp),
    )


def label(answer: ua.DataValue) -> str:
    """Return a LocalizedText or QualifiedName as text."""
    content = None if answer.Value is None else answer.Value.Value
    text = getattr(content, "Text", None) or getattr(content, "Name", None)
    return str(text or "")[:TEXT_MAX]


def variant_type(answer: ua.DataValue) -> str:
    """Return the type of a value, e.g. `Double` or `Double[3]`."""
    if answer.Value is None or answer.Value.VariantType == ua.VariantType.Null:
        return ""
    kind = answer.Value.VariantType
    name = getattr(kind, "name", str(kind))
    content = answer.Value.Value
    return f"{name}[{len(content)}]" if isinstance(content, list) else name


def shown(answer: ua.DataValue) -> str:
    """Return a value as text, cut to a line."""
    content = None if answer.Value is None else answer.Value.Value
    if content is None:
        return ""
    if isinstance(content, list):
        more = ", ..." if len(content) > ELEMENTS_MAX else ""
        return f"[{', '.join(str(element) for element in content[:ELEMENTS_MAX])}{more}]"[:TEXT_MAX]
    if isinstance(content, ua.LocalizedText | ua.QualifiedName):
        return label(answer)
    return str(content)[:TEXT_MAX]


def status_name(answer: ua.DataValue) -> str:
    """Return the status of a value by its name."""
    code = int(answer.StatusCode.value) if answer.StatusCode is not None else 0
    return quality.name(code) if not code else str(get_name_and_doc(code)[0])


def _time(moment: datetime | None) -> str:
    if moment is None:
        return ""
    aware = moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)
    return aware.isoformat()
