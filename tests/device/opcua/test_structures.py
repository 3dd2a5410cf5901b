"""What is learned of a server's structures, and what a server cannot do with it. Against asyncua's server."""

from __future__ import annotations

import pytest
from asyncua import ua
from asyncua.ua.ua_binary import nodeid_to_binary

from gatewayd.device.opcua import structures as module
from gatewayd.device.opcua.elements import Field
from gatewayd.device.opcua.structures import StructureTable
from tests.device.opcua.rig import URI, tag


@pytest.fixture
async def session(linked):
    return (await linked(tag("d1")))._session


async def encoding_of(session, name: str) -> bytes:
    """The type id that stands before the structure's bytes."""
    node = ua.NodeId(name, session.namespaces.index(URI))
    (value,) = await session.ask("reading", lambda library: library.read_attributes([node], ua.AttributeIds.Value))
    body = value.Value.Value
    return nodeid_to_binary(body.TypeId if isinstance(body, ua.ExtensionObject) else body[0].TypeId)


async def test_fields_come_with_their_types_enumerations_as_int32_and_structures_whole(session):
    table = StructureTable(session)
    type_id = await encoding_of(session, "drive")
    await table.learn(type_id)
    drive = table.known[type_id]
    motor = drive.fields[2].structure
    assert motor.fields == (
        Field("Name", 12, None, 0, False), Field("Speed", 11, None, 0, False), Field("Currents", 10, None, 1, False),
    )  # fmt: skip
    assert drive.fields == (
        Field("Serial", 7, None, 0, True), Field("Gear", 6, None, 0, False), Field("Motor", 0, motor, 1, False),
        Field("Spare", 0, motor, 0, False), Field("Hours", 9, None, 0, True),
    )  # fmt: skip


async def test_a_type_that_the_server_does_not_explain_is_none(session):
    table = StructureTable(session)
    type_id = nodeid_to_binary(ua.NodeId(999_999))
    await table.learn(type_id)
    assert table.known == {type_id: None}


async def test_a_structure_of_the_standard_is_known_without_the_server(session):
    """asyncua's server explains no type of namespace 0."""
    table = StructureTable(session)
    type_id = nodeid_to_binary(ua.NodeId(ua.ObjectIds.ServerStatusDataType_Encoding_DefaultBinary))
    await table.learn(type_id)
    status = table.known[type_id]
    assert [(field.name, field.kind) for field in status.fields] == [
        ("StartTime", 13), ("CurrentTime", 13), ("State", 6), ("BuildInfo", 0), ("SecondsTillShutdown", 7),
        ("ShutdownReason", 21),
    ]  # fmt: skip
    assert [field.name for field in status.fields[3].structure.fields][:2] == ["ProductUri", "ManufacturerName"]


async def test_a_server_is_not_asked_without_end(session, monkeypatch):
    monkeypatch.setattr(module, "QUESTIONS_MAX", 3)
    table = StructureTable(session)
    type_id = await encoding_of(session, "drive")
    await table.learn(type_id)
    assert table.known == {type_id: None}


async def test_a_structure_that_holds_itself_ends(session, monkeypatch):
    table = StructureTable(session)
    type_id = await encoding_of(session, "drive")
    itself = ua.NodeId("itself", 2)
    field = ua.StructureField(Name="Again", DataType=itself, ValueRank=1)
    definition = ua.StructureDefinition(StructureType=ua.StructureType.Structure, Fields=[field])

    async def defined(*_):
        return [ua.DataValue(ua.Variant(definition, ua.VariantType.ExtensionObject))]

    monkeypatch.setattr(session._client.uaclient.session, "read_attributes", defined)
    await table.learn(type_id)
    assert table.known == {type_id: None}
