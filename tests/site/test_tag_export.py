"""Round trips: what is exported is imported as the same tags."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gatewayd.errors import ConfigError
from gatewayd.model.device import ModbusTag, ModbusTcpDevice, OpcuaDevice, OpcuaTag
from gatewayd.site.tag_export import FORMATS, export_tags
from gatewayd.site.tag_import import Options, import_tags

PLC = ModbusTcpDevice(name="plc", host="192.0.2.7", address_base=1)
SCADA = OpcuaDevice(name="scada", endpoint="opc.tcp://192.0.2.8:4840")
TYPES = ("int16", "uint16", "int32", "uint32", "int64", "uint64", "float32", "float64")
SCALES = st.integers(1, 10**6).flatmap(lambda digits: st.sampled_from([1, 10, 1000]).map(lambda by: digits / by))
KEEP = Options(keep_access=True)
texts = st.text(st.characters(codec="utf-8", exclude_categories=("C", "Z")), max_size=20)


@st.composite
def modbus_tags(draw: st.DrawFn, with_byte_order: bool = True) -> ModbusTag:
    register_type = draw(st.sampled_from(["coil", "discrete", "input", "holding"]))
    is_bits = register_type in ("coil", "discrete")
    bit = draw(st.none() | st.integers(0, 15)) if not is_bits else None
    type_name = "bool" if is_bits or bit is not None else draw(st.sampled_from(TYPES))
    is_wide = type_name.endswith(("32", "64"))
    writable = register_type in ("coil", "holding") and bit is None
    return ModbusTag(
        name=draw(st.from_regex(r"[A-Za-z][A-Za-z0-9_-]{0,20}", fullmatch=True)).rstrip("_") or "x",
        register_type=register_type,
        address=draw(st.integers(0, 65_532)),
        type=type_name,
        bit=bit,
        byte_order=draw(st.sampled_from(["ABCD", "BADC", "CDAB", "DCBA"])) if with_byte_order and is_wide else "ABCD",
        scale=draw(st.just(1.0) | SCALES),
        units=draw(st.sampled_from(["", "degC", "m3/h", "%"])),
        access=draw(st.sampled_from(["r", "rw"])) if writable else "r",
        description=draw(texts),
    )


lists = st.lists(modbus_tags(), min_size=1, max_size=10, unique_by=lambda tag: tag.name)
lists_without_order = st.lists(
    modbus_tags(with_byte_order=False), min_size=1, max_size=10, unique_by=lambda tag: tag.name
)


@given(lists)
def test_our_own_format_brings_everything_back(tags):
    found = import_tags(export_tags(PLC, tags, "gatewayd").encode(), "x.csv", PLC, KEEP)
    assert found.problems == ()
    assert found.tags == tuple(tags)


@given(lists_without_order)
def test_kepware_brings_everything_back_but_the_byte_order(tags):
    found = import_tags(export_tags(PLC, tags, "kepware").encode(), "x.csv", PLC, KEEP)
    assert found.problems == ()
    assert found.tags == tuple(tags)


@pytest.mark.parametrize("to", FORMATS)
def test_opc_ua_tags_come_back_from_every_format(to):
    tags = (
        OpcuaTag(name="level", node_id="nsu=urn:a:b;s=Tank.Level", type="float64"),
        OpcuaTag(name="running", node_id="ns=2;i=1007", type="bool"),
        OpcuaTag(name="count", node_id="i=2258", type="uint32"),
    )
    found = import_tags(export_tags(SCADA, tags, to).encode(), "x.csv", SCADA, KEEP)
    assert found.problems == ()
    assert found.tags == tags


def test_modbus_tags_are_nothing_for_uaexpert():
    with pytest.raises(ConfigError, match="no OPC UA device"):
        export_tags(PLC, (), "uaexpert")
