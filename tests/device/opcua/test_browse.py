"""The walk through a real address space, and where it ends."""

from __future__ import annotations

import pytest

from gatewayd.device.opcua.browse import Browser
from gatewayd.errors import DeviceRefused
from tests.device.opcua.rig import URI, device, link_to
from tests.device.opcua.server import DOUBLES, SCALARS


@pytest.fixture
async def session(plant_server, tmp_path):
    link = link_to(device(plant_server.endpoint), [], tmp_path)
    await link.connect()
    yield link.session
    await link.close()


def walk(session, *, depth: int = 10, nodes: int = 5000) -> Browser:
    return Browser(session, depth_max=depth, nodes_max=nodes, progress=lambda _: None)


async def test_every_variable_is_found_with_type_access_value_and_path(session):
    browser = walk(session)
    await browser.run()
    assert browser.is_complete
    by_name = {node.name: node for node in browser.nodes}
    for name, (value, kind) in SCALARS.items():
        node = by_name[name]
        assert (node.node_id, node.path, node.type) == (f"nsu={URI};s={name}", ("plant", name), kind.name)
        assert (node.access, node.value, node.status) == ("r", str(value), "Good")
        assert node.tag_type == name
        assert browser.nodes[node.parent].name == "plant"
        assert by_name[f"{name}.set"].access == "rw"
    assert sum(node.name.startswith("d") and node.name[1:].isdigit() for node in browser.nodes) == DOUBLES
    assert by_name["array"].type == "Double[3]"
    assert by_name["array"].tag_type == ""
    assert by_name["sick"].status == "BadSensorFailure"
    assert by_name["sick"].tag_type == "float64", "a sensor that is broken now is a tag all the same"
    assert by_name["plant"].is_variable is False


async def test_the_server_object_is_shown_only_when_asked_for(session):
    browser = walk(session)
    await browser.run()
    assert "i=2256" not in {node.node_id for node in browser.nodes}
    browser = walk(session, depth=2)
    await browser.run("i=2253")
    assert "i=2256" in {node.node_id for node in browser.nodes}


async def test_a_walk_ends_at_its_limits_and_says_so(session):
    browser = walk(session, nodes=20)
    await browser.run()
    assert (len(browser.nodes), browser.is_complete) == (20, False)
    browser = walk(session, depth=1)
    await browser.run()
    assert {node.depth for node in browser.nodes} == {1}
    assert not browser.is_complete


async def test_a_walk_may_begin_anywhere(session):
    browser = walk(session)
    await browser.run(f"nsu={URI};s=plant")
    assert browser.nodes[0].path == ("bool",)
    assert browser.is_complete


async def test_a_start_in_no_namespace_of_the_server_is_told(session):
    with pytest.raises(DeviceRefused, match="no namespace"):
        await walk(session).run("nsu=urn:none;s=x")


async def test_the_servers_limit_on_a_read_is_kept(start, tmp_path):
    server = start("--nodes-per-read", "7")
    link = link_to(device(server.endpoint), [], tmp_path)
    await link.connect()
    browser = walk(link.session, nodes=100)
    await browser.run(f"nsu={URI};s=plant")
    await link.close()
    assert len(browser.nodes) == 100
    assert browser.nodes[0].value == "True"
