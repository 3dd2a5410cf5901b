"""Learns from a server how its structures are laid out, for `elements`: one session, one table, nothing shared.

asyncua could do this by itself, but it turns a server's names into Python code and keeps all servers' types in one table of
the process, where two PLCs with the same type id overwrite each other. Here a definition is data, and a server that explains
nothing, or too much, costs its own tags only.
"""

from __future__ import annotations

import dataclasses
import re
from enum import IntEnum

from asyncua import ua
from asyncua.common.utils import Buffer
from asyncua.ua.attribute_ids import AttributeIds
from asyncua.ua.ua_binary import nodeid_from_binary

from gatewayd.device.opcua.data_values import EXTENSION, VARIANT
from gatewayd.device.opcua.elements import Field, Structure
from gatewayd.device.opcua.session import Session
from gatewayd.errors import DeviceRefused

QUESTIONS_MAX = 2000  # of one session
FIELDS_MAX = 1024
DEPTH_MAX = 16
TYPES_MAX = 256

_HAS_ENCODING, _HAS_SUBTYPE = 38, 45
_DIAGNOSTIC_INFO, _NUMBER, _INTEGER, _UNSIGNED, _ENUMERATION = 25, 26, 27, 28, 29
_INT32 = 6

_Layout = tuple[int, Structure | None]  # built-in type, or 0 and the structure


class _Unexplained(Exception):
    """The server does not say how a type is laid out, or in a way that is not understood here."""


class StructureTable:
    """The structures of one session, asked for when a value of them first arrives.

    Args:
        session: open.
    """

    def __init__(self, session: Session) -> None:
        self.known: dict[bytes, Structure | None] = {}
        self._session = session
        self._layouts: dict[ua.NodeId, _Layout] = {}
        self._questions = 0

    async def learn(self, type_id: bytes) -> None:
        """Put a type into `known`; None when the server does not explain it.

        Args:
            type_id: of the structure's encoding, as it stands before the structure's bytes.

        Raises:
            DeviceUnreachable, DeviceTimeout, DeviceProtocolError: the session is gone.
        """
        if len(self.known) >= TYPES_MAX:
            self.known.clear()
        encoding = nodeid_from_binary(Buffer(type_id))
        try:
            _, structure = await self._explained(encoding)
        except (_Unexplained, DeviceRefused):
            structure = None
        self.known[type_id] = structure or _standard(encoding)

    async def _explained(self, encoding: ua.NodeId) -> _Layout:
        data_type = await self._origin(encoding, _HAS_ENCODING)
        return await self._layout(
            data_type or encoding, 0
        )  # a few servers put the type itself where its encoding belongs

    async def _layout(self, data_type: ua.NodeId, depth: int) -> _Layout:
        basic = _basic(data_type)
        if basic is not None:
            return basic, None
        if data_type not in self._layouts:
            if depth > DEPTH_MAX:
                raise _Unexplained
            self._layouts[data_type] = await self._asked(data_type, depth)
        return self._layouts[data_type]

    async def _asked(self, data_type: ua.NodeId, depth: int) -> _Layout:
        self._count()
        (answer,) = await self._session.ask(
            "reading a data type", lambda library: library.read_attributes([data_type], AttributeIds.DataTypeDefinition)
        )
        definition = answer.Value.Value if answer.Value is not None else None
        if isinstance(definition, ua.StructureDefinition):
            return 0, await self._structure(definition, depth)
        base = await self._origin(data_type, _HAS_SUBTYPE)  # an enumeration, a Duration: what it is made of
        if base is None:
            raise _Unexplained
        return await self._layout(base, depth + 1)

    async def _structure(self, definition: ua.StructureDefinition, depth: int) -> Structure:
        fields = definition.Fields or []
        kinds = (ua.StructureType.Structure, ua.StructureType.StructureWithOptionalFields, ua.StructureType.Union)
        if definition.StructureType not in kinds or len(fields) > FIELDS_MAX:
            raise _Unexplained
        has_optional = definition.StructureType is ua.StructureType.StructureWithOptionalFields
        made: list[Field] = []
        for field in fields:
            kind, structure = await self._layout(field.DataType, depth + 1)
            is_optional = has_optional and bool(field.IsOptional)
            made.append(Field(str(field.Name), kind, structure, max(0, field.ValueRank), is_optional))
        return Structure(tuple(made), definition.StructureType is ua.StructureType.Union)

    async def _origin(self, node: ua.NodeId, reference: int) -> ua.NodeId | None:
        """Return where a reference of a type of namespace 0 to a node comes from; None if there is none."""
        self._count()
        wanted = ua.BrowseDescription(node, ua.BrowseDirection.Inverse, ua.NodeId(ua.Int32(reference)))
        parameters = ua.BrowseParameters(RequestedMaxReferencesPerNode=ua.UInt32(1), NodesToBrowse=[wanted])
        (found,) = await self._session.ask("asking for a data type", lambda library: library.browse(parameters))
        return found.References[0].NodeId if found.References else None

    def _count(self) -> None:
        self._questions += 1
        if self._questions > QUESTIONS_MAX:
            raise _Unexplained


def _basic(data_type: ua.NodeId) -> int | None:
    """Return the built-in type a data type of the standard is sent as, if it is one of those at the root (Part 6, 5.1.2)."""
    number = data_type.Identifier
    if data_type.NamespaceIndex or not isinstance(number, int):
        return None
    if number == _ENUMERATION:
        return _INT32
    if number in (_NUMBER, _INTEGER, _UNSIGNED):
        return VARIANT
    if number == EXTENSION or 1 <= number <= _DIAGNOSTIC_INFO:
        return int(number)
    return None


def _standard(encoding: ua.NodeId) -> Structure | None:
    """Return a structure of the standard itself, such as Range, for servers that do not explain even those."""
    known = ua.extension_objects_by_typeid.get(encoding) if encoding.NamespaceIndex == 0 else None
    return None if known is None else _of_library(known)


def _of_library(known: type) -> Structure | None:
    fields: list[Field] = []
    for field in dataclasses.fields(known):
        written = re.fullmatch(r"(list\[)?ua\.(\w+)\]?", str(field.type).strip("'"))
        kind = None if written is None else getattr(ua, written[2], None)
        if written is None or not isinstance(kind, type):
            return None  # an optional field, say
        structure = None
        if written[2] in ua.VariantType.__members__:
            number = ua.VariantType[written[2]].value
        elif written[2] == "UtcTime":
            number = ua.VariantType.DateTime.value
        elif issubclass(kind, IntEnum):
            number = _INT32
        else:
            number, structure = 0, _of_library(kind) if dataclasses.is_dataclass(kind) else None
            if structure is None:
                return None
        fields.append(Field(field.name, number, structure, 1 if written[1] else 0, is_optional=False))
    return Structure(tuple(fields))
