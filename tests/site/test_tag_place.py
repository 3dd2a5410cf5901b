"""Where a tag is, in other tools' spellings."""

from __future__ import annotations

import pytest

from gatewayd.site.tag_place import Place, PlaceError, modbus_place, opcua_node


@pytest.mark.parametrize(
    ("texts", "place"),
    [
        ({"address": "40001"}, Place("holding", "40001", "")),
        ({"address": "400001"}, Place("holding", "400001", "")),
        ({"address": "4x0001"}, Place("holding", "40001", "")),
        ({"address": "3x10000"}, Place("input", "310000", "")),
        ({"address": "HR 12"}, Place("holding", "12", "")),
        ({"address": "40001.3"}, Place("holding", "40001", "3")),
        ({"address": "40001", "bit": "4"}, Place("holding", "40001", "4")),
        ({"address": "00017"}, Place("coil", "00017", "")),
        ({"address": "7", "register_type": "Input Register"}, Place("input", "7", "")),
        ({"address": "7", "register_type": "03"}, Place("holding", "7", "")),
        ({"address": "7", "register_type": "4"}, Place("input", "7", "")),
        ({"address": "7", "type": "Holding Register"}, Place("holding", "7", "")),
        ({"address": "0x0010", "register_type": "coil"}, Place("coil", "0x0010", "")),
        ({"+logical_address": "%Q0.5"}, Place("coil", "6", "")),
        ({"+logical_address": "%I2.0"}, Place("discrete", "17", "")),
        ({"+logical_address": "%IW64"}, Place("input", "33", "")),
        ({"+logical_address": "%E1.7"}, Place("discrete", "16", "")),
    ],
    ids=str,
)
def test_registers(texts, place):
    """The device counts from 1, so computed addresses do too."""
    assert modbus_place(texts, 1, "") == place


@pytest.mark.parametrize(
    ("texts", "says"),
    [
        ({}, "there is no address"),
        ({"address": "7"}, "which kind of register"),
        ({"address": "40001 [10]"}, "is no register"),
        ({"address": "D100"}, "is no register"),
        ({"+logical_address": "%MW10"}, "memory of the PLC"),
        ({"+logical_address": "%DB1.DBD4"}, "memory of the PLC"),
        ({"+logical_address": "%IW3"}, "memory of the PLC"),
    ],
    ids=str,
)
def test_places_that_nobody_can_tell_are_refused_with_a_remedy(texts, says):
    with pytest.raises(PlaceError, match=says) as refused:
        modbus_place(texts, 0, "")
    assert refused.value.remedy


def test_a_plain_number_takes_the_register_type_that_was_given():
    assert modbus_place({"address": "7"}, 0, "holding") == Place("holding", "7", "")


@pytest.mark.parametrize(
    ("texts", "node"),
    [
        ({"node_id": "NS2|String|Demo.Tank"}, "ns=2;s=Demo.Tank"),
        ({"node_id": "NS0|Numeric|2258"}, "i=2258"),
        ({"node_id": "nsu=urn:a;s=x"}, "nsu=urn:a;s=x"),
        ({"address": "ns=3;i=7"}, "ns=3;i=7"),
        (
            {"+logical_address": "%MW10", "name": "Motor Speed"},
            'nsu=http://www.siemens.com/simatic-s7-opcua;s="Motor Speed"',
        ),
    ],
    ids=str,
)
def test_nodes(texts, node):
    assert opcua_node(texts) == node


@pytest.mark.parametrize("texts", [{}, {"node_id": "Demo.Tank"}, {"address": "40001"}], ids=str)
def test_what_is_no_node_is_refused(texts):
    with pytest.raises(PlaceError, match="no node id"):
        opcua_node({"name": "x", **texts})
