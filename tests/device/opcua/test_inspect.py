"""Nodes as people look at them, on a server that is real."""

from __future__ import annotations

import uuid

import pytest
from asyncua import ua

from gatewayd.device.opcua.inspect import read_node, spelled, to_library
from gatewayd.device.opcua.node_id import parse_node_id
from gatewayd.errors import DeviceRefused
from tests.device.opcua.rig import URI, tag


async def test_a_number_is_shown_with_type_status_and_times(linked):
    link = await linked(tag("float32"))
    found = await read_node(link.session, f"nsu={URI};s=float32")
    assert (found.name, found.type, found.value, found.status) == ("float32", "Float", "1.5", "Good")
    assert found.source_time == "2026-01-02T03:04:05.678900+00:00"
    assert found.node_id == f"nsu={URI};s=float32"


@pytest.mark.parametrize(
    ("name", "type_name", "value"),
    [
        ("text", "String", "a string that is no number"),
        ("array", "Double[3]", "[1.0, 2.0, 3.0]"),
        ("words", "String[3]", "[a, None, ccc]"),
        ("label", "LocalizedText", "Pump"),
        ("uint64", "UInt64", str(2**63 + 1)),
    ],
)
async def test_other_types_are_shown_as_text(linked, name, type_name, value):
    link = await linked(tag("float32"))
    found = await read_node(link.session, f"nsu={URI};s={name}")
    assert (found.type, found.value) == (type_name, value)


async def test_a_bad_status_is_shown_by_its_name(linked):
    link = await linked(tag("float32"))
    assert (await read_node(link.session, f"nsu={URI};s=sick")).status == "BadSensorFailure"
    missing = await read_node(link.session, f"nsu={URI};s=no such node")
    assert (missing.status, missing.value, missing.type) == ("BadNodeIdUnknown", "", "")


async def test_a_namespace_the_server_does_not_have_is_told_with_those_it_has(linked):
    link = await linked(tag("float32"))
    with pytest.raises(DeviceRefused, match="no namespace urn:none") as refused:
        await read_node(link.session, "nsu=urn:none;s=x")
    assert URI in refused.value.remedy


@pytest.mark.parametrize(
    "text",
    [
        "i=2258",
        "nsu=urn:a;i=7",
        "nsu=urn:a;s=tank;level=1",
        "nsu=urn:b%3Bc%25d;s=x",
        "nsu=urn:a;g=09087e75-8e5e-499b-954f-f2a9603db28a",
        "nsu=urn:a;b=M/RbKBsRVkePCePcx24oRA==",
        "ns=7;s=x",
    ],
)
def test_a_node_id_is_spelled_as_a_tag_list_reads_it(text):
    namespaces = ["http://opcfoundation.org/UA/", "urn:a", "urn:b;c%d"]
    assert spelled(to_library(text, namespaces), namespaces) == text
    parse_node_id(text)


def test_a_guid_is_one():
    node = ua.NodeId(uuid.UUID("09087e75-8e5e-499b-954f-f2a9603db28a"), 1)
    assert spelled(node, ["", "urn:a"]) == "nsu=urn:a;g=09087e75-8e5e-499b-954f-f2a9603db28a"
