"""Lists of other tools, row by row. The samples are written here; the columns are those that the tools write."""

from __future__ import annotations

import pytest

from gatewayd.errors import ConfigError
from gatewayd.model.device import ModbusTag, ModbusTcpDevice, OpcuaDevice, OpcuaTag, ScanClass
from gatewayd.site.problem import Findings
from gatewayd.site.source import Source
from gatewayd.site.tag_import import Imported, Options, import_tags
from gatewayd.site.tag_list import read_tag_list

PLC = ModbusTcpDevice(name="plc", host="192.0.2.7", scan_classes={"default": ScanClass(), "fast": ScanClass()})
FROM_1 = ModbusTcpDevice(name="plc", host="192.0.2.7", address_base=1)
SCADA = OpcuaDevice(name="scada", endpoint="opc.tcp://192.0.2.8:4840")

KEPWARE = """\
Tag Name,Address,Data Type,Respect Data Type,Client Access,Scan Rate,Scaling,Raw Low,Raw High,Scaled Low,Scaled High,\
Scaled Data Type,Clamp Low,Clamp High,Eng Units,Description,Negate Value
"Pumps.Speed 1",400001,Word,1,R/W,100,Linear,0,1000,0,100,Double,0,0,%,"Speed, pump 1",0
"Pumps.Temp 1",300005,Float,1,RO,100,None,,,,,,,,°C,,
"Pumps.Ready",400010.3,Boolean,1,RO,100,,,,,,,,,,Ready,
"Pumps.Run",000001,Boolean,1,R/W,100,,,,,,,,,,,
"Pumps.Level",400020,Short,1,RO,100,Linear,0,27648,-5,5,Double,0,0,m,,1
"""
MODBUS_POLL = """\
Exported;2026-01-02
Name;Function;Address;Format;Scale;Unit;Comment
Strömung;03 Read Holding Registers;0;Float CD AB;;m³/h;Durchfluss
Druck;04 Read Input Registers;12;Signed;0,001;bar;
Laeuft;02 Read Discrete Inputs;5;;;;
Zaehler;3;100;32-bit unsigned Big-endian;1;kWh;
"""
UAEXPERT = """\
#,Server,Node Id,Display Name,Value,Datatype,Source Timestamp,Server Timestamp,Statuscode
1,plant,NS2|String|Tank.Level,Level,1.5,Double,10:00:00,10:00:00,Good
2,plant,NS2|Numeric|1007,Pump Running,true,Boolean,10:00:00,10:00:00,Good
3,plant,NS0|Numeric|2258,CurrentTime,10:00,DateTime,,,Good
"""
TIA = """\
Name\tPath\tData Type\tLogical Address\tComment\tHmi Visible
Motor\tTags\tBool\t%Q0.0\tMotor on\tTrue
Level\tTags\tInt\t%IW64\tRaw\tTrue
Total\tTags\tReal\t%MD20\tLiters\tTrue
"""


def tags_of(text: str, device, encoding: str = "utf-8", **options) -> Imported:
    return import_tags(text.encode(encoding), "list.csv", device, Options(**options))


def test_a_kepserverex_export():
    found = tags_of(KEPWARE, PLC, "cp1252")
    assert found.problems == ()
    assert found.tags == (
        ModbusTag(
            name="Pumps_Speed_1", register_type="holding", address=0, type="uint16", scale=0.1, units="%",
            description="Speed, pump 1",
        ),
        ModbusTag(
            name="Pumps_Temp_1", register_type="input", address=4, type="float32", units="degC",
            description="Pumps.Temp 1",
        ),
        ModbusTag(name="Pumps_Ready", register_type="holding", address=9, type="bool", bit=3, description="Ready"),
        ModbusTag(name="Pumps_Run", register_type="coil", address=0, type="bool", description="Pumps.Run"),
        ModbusTag(
            name="Pumps_Level", register_type="holding", address=19, type="int16", scale=-0.000361689814815,
            offset=5.0, units="m", description="Pumps.Level",
        ),
    )  # fmt: skip
    assert any("no byte order" in note for note in found.notes)
    assert any("Respect Data Type" in note for note in found.notes)


def test_a_list_for_modbus_poll_with_semicolons_and_decimal_commas():
    found = tags_of(MODBUS_POLL, PLC, "utf-16")
    assert found.problems == ()
    assert found.tags == (
        ModbusTag(
            name="Str_mung", register_type="holding", address=0, type="float32", byte_order="CDAB", units="m3/h",
            description="Durchfluss",
        ),
        ModbusTag(name="Druck", register_type="input", address=12, type="int16", scale=0.001, units="bar"),
        ModbusTag(name="Laeuft", register_type="discrete", address=5, type="bool"),
        ModbusTag(name="Zaehler", register_type="holding", address=100, type="uint32", units="kWh"),
    )  # fmt: skip


def test_an_uaexpert_view():
    found = tags_of(UAEXPERT, SCADA)
    assert found.tags == (
        OpcuaTag(name="Level", node_id="ns=2;s=Tank.Level", type="float64"),
        OpcuaTag(name="Pump_Running", node_id="ns=2;i=1007", type="bool", description="Pump Running"),
    )
    (problem,) = found.problems
    assert problem.line == 4
    assert "DateTime" in problem.message
    assert problem.remedy


def test_plc_tags_of_tia_portal_on_both_protocols():
    found = tags_of(TIA, FROM_1)
    assert found.tags == (
        ModbusTag(name="Motor", register_type="coil", address=0, type="bool", description="Motor on"),
        ModbusTag(name="Level", register_type="input", address=32, type="int16", description="Raw"),
    )
    assert [problem.line for problem in found.problems] == [4]
    assert "read the PLC by OPC UA" in found.problems[0].remedy
    by_opcua = tags_of(TIA, SCADA)
    assert by_opcua.problems == ()
    assert by_opcua.tags[2] == OpcuaTag(
        name="Total", node_id='nsu=http://www.siemens.com/simatic-s7-opcua;s="Total"', type="float32",
        description="Liters",
    )  # fmt: skip


def test_a_list_made_by_hand():
    text = "Signal,Register,Datatype,Word order,Gain,Bias,R/W\nspeed,40001,uint32,low word first,0.1,-5,rw\n"
    (tag,) = tags_of(text, PLC, keep_access=True).tags
    assert tag == ModbusTag(
        name="speed", register_type="holding", address=0, type="uint32", byte_order="CDAB", scale=0.1, offset=-5.0,
        access="rw",
    )  # fmt: skip


def test_what_is_imported_is_read_only_unless_somebody_says_otherwise():
    text = "name,address,access\nspeed,40001,R/W\nlevel,30001,R/W\nready,40002.1,R/W\n"
    assert {tag.access for tag in tags_of(text, PLC).tags} == {"r"}
    kept = tags_of(text, PLC, keep_access=True)
    assert kept.problems == ()
    assert [tag.access for tag in kept.tags] == ["rw", "r", "r"]


def test_the_byte_order_a_tool_keeps_per_device_can_be_given():
    text = "name,address,type\na,40001,Float\nb,40003,Word\nc,40004,LLong\n"
    assert [tag.byte_order for tag in tags_of(text, PLC, byte_order="CDAB").tags] == ["CDAB", "ABCD", "CDAB"]


def test_every_bad_row_is_listed_at_its_own_line():
    text = (
        "Plant list\n\nname,address,type,scale\n"
        "a,40001,uint16,1\n"
        "\n"
        "b,40002,String,1\n"
        "a,40003,uint16,1\n"
        '"c\nd",40004,uint16,fast\n'
        ",40005,uint16,1\n"
        "e,X7,uint16,1\n"
        "f,465536,float32,1\n"
        "g,40007,uint16,1\n"
    )
    found = tags_of(text, PLC)
    assert [tag.name for tag in found.tags] == ["a", "g"]
    assert [problem.line for problem in found.problems] == [6, 7, 9, 10, 11, 12]
    assert "length" in found.problems[0].message, "a text needs one, and tools count it in bytes or not at all"
    assert "is that of row 4" in found.problems[1].message
    assert all(problem.remedy for problem in found.problems)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("name,address,scaling,raw low,raw high,scaled low,scaled high\na,40001,Square Root,0,1,0,1\n", "not linear"),
        ("name,address,scaling,raw low,raw high,scaled low,scaled high\na,40001,Linear,5,5,0,1\n", "is no scaling"),
        ("name,address,scan class\na,40001,hourly\n", "scan class"),
    ],
)
def test_rows_that_contradict_themselves_are_refused(text, says):
    (problem,) = tags_of(text, PLC).problems
    assert says in problem.message


def test_a_list_without_names_is_no_list():
    with pytest.raises(ConfigError, match="no column holds names"):
        tags_of("address,type\n40001,uint16\n", PLC)


def test_what_is_written_is_read_by_the_site_as_the_same_tags():
    for text, device in ((KEPWARE, PLC), (MODBUS_POLL, PLC), (UAEXPERT, SCADA), (TIA, SCADA), (TIA, FROM_1)):
        found = tags_of(text, device)
        findings = Findings()
        rows = read_tag_list(Source("plc.tags.csv", found.text), device, findings).rows
        assert findings.all() == ()
        assert tuple(row.tag for row in rows) == found.tags


def test_a_device_without_a_default_class_gives_its_slowest():
    device = ModbusTcpDevice(
        name="plc", host="192.0.2.7",
        scan_classes={"fast": ScanClass(scan_rate_ms=100), "slow": ScanClass(scan_rate_ms=5000)},
    )  # fmt: skip
    text = "name,address\na,40001\n"
    found = tags_of(text, device)
    assert (found.tags[0].scan_class, found.problems) == ("slow", ())
    assert any("scan class slow" in note for note in found.notes)
    assert tags_of(text, device, scan_class="fast").tags[0].scan_class == "fast"
    assert tags_of("name,address,scan class\na,40001,fast\n", device).tags[0].scan_class == "fast"


def test_long_lists_tell_how_far_they_are():
    said: list[str] = []
    rows = "".join(f"t{n},4{n + 1:05d}\n" for n in range(2500))
    import_tags(("name,address\n" + rows).encode(), "list.csv", PLC, Options(), said.append)
    assert said == ["row 0 of 2500", "row 1000 of 2500", "row 2000 of 2500", "checking 2500 tags"]


def test_a_list_may_name_the_unit_of_each_row():
    text = "name,address,slave id\na,40001,7\nb,40001,\n"
    assert [tag.unit_id for tag in tags_of(text, PLC).tags] == [7, None]
