"""The example site and the simulated station describe the same plant; neither is made from the other."""

from __future__ import annotations

from pathlib import Path

import pytest

from gatewayd.model.device import ModbusTag
from gatewayd.site.load import load_site
from hil.plants.modbus_server import encode
from hil.plants.opcua_server import PATH
from hil.plants.tags import NAMESPACE, NODES, PLC_UNIT_ID, REGISTERS, Register

ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture(scope="module")
def config():
    loaded = load_site(ROOT / "config")
    assert loaded.config is not None
    return loaded.config


@pytest.fixture(scope="module")
def by_alias(config):
    tags = {f"{device}/{tag.name}": tag for device, listed in config.tags.items() for tag in listed}
    return {
        f"{name}.{member}": tags[reference]
        for name, asset in config.assets.items()
        for member, reference in asset.tags.items()
    }


def test_every_tag_of_the_site_is_in_the_plant_and_the_other_way_round(by_alias):
    assert set(by_alias) == {tag.tag for tag in (*REGISTERS, *NODES)}


@pytest.mark.parametrize("register", REGISTERS, ids=lambda register: register.tag)
def test_a_register_is_where_the_tag_list_says(by_alias, register):
    tag = by_alias[register.tag]

    assert isinstance(tag, ModbusTag)
    assert (
        Register(register.tag, tag.register_type, tag.address, tag.type, tag.scale, tag.byte_order, tag.access == "rw")
        == register
    )


@pytest.mark.parametrize("node", NODES, ids=lambda node: node.tag)
def test_a_node_is_where_the_tag_list_says(by_alias, node):
    tag = by_alias[node.tag]

    assert (tag.node_id, tag.type, tag.access == "rw") == (f"nsu={NAMESPACE};s={node.tag}", node.type, node.writable)


def test_the_devices_are_where_the_demo_starts_them(config):
    plc, scada = config.devices["plc_1"], config.devices["scada_1"]

    assert (plc.host, plc.port, plc.unit_id, plc.max_outstanding) == ("127.0.0.1", 15020, PLC_UNIT_ID, 4)
    assert scada.endpoint == f"opc.tcp://127.0.0.1:14840{PATH}"


def test_a_plc_keeps_the_limits_of_its_registers():
    assert encode(Register("t", "input", 0, scale=0.1), 6.5) == (65,)
    assert encode(Register("t", "input", 0), -3.0) == (0,)
    assert encode(Register("t", "input", 0), 1e9) == (65_535,)
    assert encode(Register("t", "input", 0, type="int16"), -1.0) == (65_535,)
    assert encode(Register("t", "input", 0, type="float32", order="CDAB"), 1.0) == (0x0000, 0x3F80)
    assert encode(Register("t", "input", 0, type="uint32"), 65_536.0) == (1, 0)
