"""Node ids as people write them, and as OPC UA puts them on the wire (Part 6, 5.1.12 and 5.2.2.9). No I/O, no asyncua.

Forms: `nsu=URI;s=NAME` (survives a server that renumbers its namespaces), `ns=2;s=NAME`, `i=2258`; the identifier is
`i=` number, `s=` text, `g=` GUID or `b=` base64.
"""

from __future__ import annotations

import base64
import binascii
import re
import struct
import uuid
from collections.abc import Sequence
from typing import Literal

from msgspec import Struct

from gatewayd.errors import ConfigError

IDENTIFIER_BYTES_MAX = 4096  # Part 3, 8.2.4
TEXT_LENGTH_MAX = 8192
NULL_NODE_ID = b"\x00\x00"  # a server answers Bad_NodeIdUnknown or Bad_NodeIdInvalid to it

_REMEDY = (
    "Write nsu=URI;s=NAME, ns=2;s=NAME or ns=2;i=1001, as a client such as UaExpert shows it; `g=` takes a GUID, "
    "`b=` base64."
)
_NUMBER = re.compile(r"[0-9]{1,10}")
_GUID = re.compile(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")


class NodeId(Struct, frozen=True):
    """One node's address. `namespace` is an index, or a URI that each connection looks up in the server's array."""

    namespace: int | str
    kind: Literal["i", "s", "g", "b"]
    identifier: int | str | bytes  # a GUID as its 16 bytes in wire order


def parse_node_id(text: str) -> NodeId:
    """Read a node id as written in a tag list.

    Raises:
        ConfigError: the text is no node id; the message says which part.
    """
    if len(text) > TEXT_LENGTH_MAX:
        raise ConfigError(f"a node id of {len(text)} characters; at most {TEXT_LENGTH_MAX}", remedy=_REMEDY)
    if text != text.strip():
        raise _wrong(text, "spaces around it")
    namespace, rest = _namespace(text)
    kind, separator, written = rest.partition("=")
    if not separator or kind not in ("i", "s", "g", "b"):
        raise _wrong(text, f"the identifier is {rest!r}, not i=, s=, g= or b=")
    if kind == "i":
        return NodeId(namespace, "i", _number(text, written, 2**32 - 1, "i="))
    if kind == "s":
        return NodeId(namespace, "s", _name(text, written))
    if kind == "g":
        return NodeId(namespace, "g", _guid(text, written))
    return NodeId(namespace, "b", _opaque(text, written))


def namespace_index(node: NodeId, namespaces: Sequence[str]) -> int | None:
    """Return the node's index in a server's NamespaceArray; None when that server does not know the URI."""
    if isinstance(node.namespace, int):
        return node.namespace
    try:
        index = namespaces.index(node.namespace)
    except ValueError:
        return None
    return index if index < 2**16 else None


def encode_node_id(node: NodeId, index: int) -> bytes:
    """Encode a node id in OPC UA Binary, with its namespace as an index of this server."""
    if isinstance(node.identifier, int):
        return _encode_number(index, node.identifier)
    if node.kind == "g":
        assert isinstance(node.identifier, bytes)
        return struct.pack("<BH", 4, index) + node.identifier
    body = node.identifier.encode() if isinstance(node.identifier, str) else node.identifier
    return struct.pack("<BHi", 3 if node.kind == "s" else 5, index, len(body)) + body


def _encode_number(index: int, number: int) -> bytes:
    if index == 0 and number < 2**8:
        return struct.pack("<BB", 0, number)
    if index < 2**8 and number < 2**16:
        return struct.pack("<BBH", 1, index, number)
    return struct.pack("<BHI", 2, index, number)


def _wrong(text: str, why: str) -> ConfigError:
    shown = text if len(text) <= 120 else text[:117] + "..."
    return ConfigError(f"{shown!r} is not a node id: {why}", remedy=_REMEDY)


def _namespace(text: str) -> tuple[int | str, str]:
    key, separator, rest = text.partition("=")
    if not separator or key not in ("ns", "nsu"):
        return 0, text
    value, semicolon, identifier = rest.partition(";")
    if not semicolon:
        raise _wrong(text, f"no `;` after {key}=")
    if key == "ns":
        return _number(text, value, 2**16 - 1, "ns="), identifier
    # Part 6, 5.1.12: in a URI only `;` and `%` are escaped.
    uri = value.replace("%3B", ";").replace("%3b", ";").replace("%25", "%")
    if not uri:
        raise _wrong(text, "the namespace URI is empty")
    return uri, identifier


def _number(text: str, written: str, highest: int, key: str) -> int:
    if not _NUMBER.fullmatch(written) or int(written) > highest:
        raise _wrong(text, f"{key} takes 0 to {highest}, not {written!r}")
    return int(written)


def _name(text: str, written: str) -> str:
    try:
        size = len(written.encode())
    except UnicodeEncodeError as error:
        raise _wrong(text, "the name is not valid Unicode") from error
    if not 1 <= size <= IDENTIFIER_BYTES_MAX:
        raise _wrong(text, f"s= takes 1 to {IDENTIFIER_BYTES_MAX} bytes, not {size}")
    return written


def _guid(text: str, written: str) -> bytes:
    if not _GUID.fullmatch(written):
        raise _wrong(text, f"g= takes a GUID such as 09087e75-8e5e-499b-954f-f2a9603db28a, not {written!r}")
    return uuid.UUID(written).bytes_le


def _opaque(text: str, written: str) -> bytes:
    try:
        identifier = base64.b64decode(written, validate=True)
    except (binascii.Error, ValueError) as error:
        raise _wrong(text, "b= takes base64") from error
    if not 1 <= len(identifier) <= IDENTIFIER_BYTES_MAX:
        raise _wrong(text, f"b= takes 1 to {IDENTIFIER_BYTES_MAX} bytes, not {len(identifier)}")
    return identifier
