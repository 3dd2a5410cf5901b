"""What was browsed as a tag list that our own reader takes."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from gatewayd.device.opcua.browse import Node
from gatewayd.device.opcua.found_tags import tag_list
from gatewayd.model.device import OpcuaDevice, OpcuaTag
from gatewayd.site.problem import Findings
from gatewayd.site.source import Source
from gatewayd.site.tag_list import read_tag_list

SCADA = OpcuaDevice(name="scada", endpoint="opc.tcp://192.0.2.8:4840")


def node(*path: str, type: str = "Double", access: str = "rw", number: int = 1) -> Node:
    return Node(
        node_id=f"nsu=urn:a;i={number}", name=path[-1], path=path, depth=len(path), parent=-1, is_variable=True,
        type=type, access=access,
    )  # fmt: skip


def read(text: str) -> list[OpcuaTag]:
    findings = Findings()
    rows = read_tag_list(Source("scada.tags.csv", text), SCADA, findings).rows
    assert findings.all() == ()
    return [row.tag for row in rows]


def test_scalars_become_read_only_tags_and_the_rest_is_counted():
    text, count, left_out = tag_list(
        [
            node("Plant", "Level"),
            node("Plant", "Name", type="String"),
            node("Plant", "Curve", type="Double[3]"),
            node("Plant", "Secret", access="-"),
        ]
    )
    assert (count, left_out) == (1, 3)
    assert read(text) == [OpcuaTag(name="Level", node_id="nsu=urn:a;i=1", description="Plant / Level")]


def test_names_that_meet_take_their_parents_along():
    text, _, _ = tag_list([node("Pump 1", "Speed"), node("Pump 2", "Speed"), node("Pump 2", "Speed"), node("7")])
    assert [tag.name for tag in read(text)] == ["Speed", "Pump_2_Speed", "Pump_2_Speed_2", "n_7"]


@given(
    st.lists(
        st.lists(st.text(max_size=80), min_size=1, max_size=4).map(lambda path: node(*path)), min_size=1, max_size=20
    )
)
def test_whatever_a_server_calls_its_nodes_the_list_can_be_read(nodes):
    text, count, _ = tag_list(nodes)
    tags = read(text)
    assert count == len(tags) == len({tag.name for tag in tags}) == len(nodes)


def test_a_scan_class_stands_in_the_list_when_the_device_has_no_default():
    text, _, _ = tag_list([node("Level")], "slow")
    assert text.splitlines() == ["name,node_id,type,description,scan_class", "Level,nsu=urn:a;i=1,float64,Level,slow"]
