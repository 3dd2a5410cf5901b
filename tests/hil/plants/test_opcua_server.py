"""The SCADA server, asked by asyncua's client."""

from __future__ import annotations

import pytest
from asyncua import Client, ua

from hil.plants.tags import NAMESPACE, NODES


@pytest.fixture
async def client(plant):
    async with Client(plant.opcua_endpoint, timeout=10, watchdog_intervall=60) as client:
        yield client


@pytest.fixture
async def index(client):
    return await client.get_namespace_index(NAMESPACE)


async def test_every_node_reads_good_with_the_time_of_the_plant(client, index):
    nodes = [client.get_node(ua.NodeId(node.tag, index)) for node in NODES]

    values = await client.read_attributes(nodes, ua.AttributeIds.Value)

    assert all(value.StatusCode.is_good() and value.SourceTimestamp is not None for value in values)
    shown = {node.tag: value.Value.Value for node, value in zip(NODES, values, strict=True)}
    assert 2.0 < shown["tank_1.level"] < 3.0
    assert shown["inlet_valve.local"] is False


async def test_a_written_set_point_reads_back_and_moves_the_valve(client, index, plant):
    set_point = client.get_node(ua.NodeId("inlet_valve.position_sp", index))
    await set_point.write_value(ua.DataValue(ua.Variant(58.5, ua.VariantType.Double)))

    assert await set_point.read_value() == 58.5
    assert plant.writes()[-1]["node"] == f"nsu={NAMESPACE};s=inlet_valve.position_sp"
    assert plant.writes()[-1]["value"] == 58.5


async def test_a_reading_cannot_be_written(client, index, plant):
    before = plant.writes()

    with pytest.raises(ua.UaStatusCodeError):
        await client.get_node(ua.NodeId("tank_1.level", index)).write_value(1.0)
    assert plant.writes() == before


async def test_a_set_point_of_the_wrong_type_is_refused_and_not_logged(client, index, plant):
    before = plant.writes()

    with pytest.raises(ua.UaStatusCodeError):
        await client.get_node(ua.NodeId("inlet_valve.position_sp", index)).write_value("sixty")
    assert plant.writes() == before


async def test_extra_nodes_count_on(client, index):
    values = await client.read_attributes(
        [client.get_node(ua.NodeId(f"extra_{number}", index)) for number in range(20)], ua.AttributeIds.Value
    )

    assert all(value.Value.Value > 0.0 for value in values)
