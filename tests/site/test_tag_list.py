"""Tag lists: every bad row by its number, good rows as they are meant."""

from __future__ import annotations

import pytest

from gatewayd.model.device import ModbusTag, ModbusTcpDevice, OpcuaDevice, OpcuaScanClass, OpcuaTag, ScanClass
from gatewayd.site.problem import Findings
from gatewayd.site.source import Source
from gatewayd.site.tag_list import read_tag_list

PLC = ModbusTcpDevice(name="plc", host="h", scan_classes={"default": ScanClass(), "fast": ScanClass(scan_rate_ms=100)})
SCADA = OpcuaDevice(name="scada", endpoint="opc.tcp://h:1")


def read(text, device=PLC, **limits):
    findings = Findings()
    tag_list = read_tag_list(Source("plc.tags.csv", text), device, findings, **limits)
    return [row.tag for row in tag_list.rows], findings.all(), tag_list


def only_problem(text, device=PLC):
    _, problems, _ = read(text, device)
    assert len(problems) == 1, [p.message for p in problems]
    return problems[0]


def test_a_row_becomes_a_tag_and_an_empty_cell_its_default():
    tags, problems, _ = read(
        "name,register_type,address,type,bit,scale,units,scan_class,access,description\n"
        'speed,holding,40003,,,0.1,%,fast,rw,"with, comma"\n'
        "\n"
        "high,holding,0x10,bool,3,,,,,\n"
        " run , coil ,00002,,,,,,,\n"
    )

    assert problems == ()
    assert tags == [
        ModbusTag(
            name="speed",
            register_type="holding",
            address=2,
            scale=0.1,
            units="%",
            scan_class="fast",
            access="rw",
            description="with, comma",
        ),
        ModbusTag(name="high", register_type="holding", address=16, type="bool", bit=3),
        ModbusTag(name="run", register_type="coil", address=1, type="bool"),
    ]


def test_plain_addresses_follow_the_device_s_address_base():
    device = ModbusTcpDevice(name="plc", host="h", address_base=1)

    tags, _, _ = read("name,register_type,address\na,holding,1\nb,holding,40001\n", device)

    assert [tag.address for tag in tags] == [0, 0]


def test_a_spreadsheet_s_byte_order_mark_and_line_ends_do_not_matter():
    tags, problems, _ = read("name,register_type,address\r\na,holding,1\r\n")

    assert (len(tags), problems) == (1, ())


def test_every_bad_row_is_listed_by_its_number():
    tags, problems, tag_list = read(
        "name,register_type,address,type,scale,access\n"
        "good,holding,1,,,\n"
        "a,holdin,2,,,\n"
        "b,holding,3,uint12,,\n"
        "c,holding,4,,0.1x,\n"
        "d,holding,70000,,nan,\n"
        "e,holding\n"
        ",holding,5,,,\n"
        "good2,input,6,,,\n"
    )

    assert [tag.name for tag in tags] == ["good", "good2"]
    assert [(p.line, p.key) for p in problems] == [
        (3, "row 3.register_type"),
        (4, "row 4.type"),
        (5, "row 5.scale"),
        (6, "row 6.address"),
        (6, "row 6.scale"),
        (7, "row 7"),
        (8, "row 8.name"),
    ]
    assert problems[0].nearest == "holding"
    assert tag_list.broken == {"a", "b", "c", "d", "e"}


@pytest.mark.parametrize("number", ["1_000", "nan", "inf", "1e999", "0x1", "true", "1,5", "\u0661"])
def test_a_numeric_cell_holds_a_number_and_nothing_else(number):
    assert only_problem(f'name,register_type,address,scale\na,holding,1,"{number}"\n').key == "row 2.scale"


def test_a_decimal_comma_is_told_to_be_a_point():
    assert only_problem('name,register_type,address,scale\na,holding,1,"0,1"\n').remedy == "Write 0.1."


def test_a_contradicting_notation_names_its_row():
    problem = only_problem("name,register_type,address\na,input,40001\n")

    assert problem.message.startswith("row 2: address 40001 is holding register 1 in the 4xxxx notation")


@pytest.mark.parametrize(
    ("row", "key"),
    [
        ("a,coil,1,uint16,,r,1,default", "type"),
        ("a,input,1,,,rw,1,default", "access"),
        ("a,discrete,1,,,w,1,default", "access"),
        ("a,holding,1,uint16,3,r,1,default", "bit"),
        ("a,holding,65535,float32,,r,1,default", "address"),
        ("a,holding,1,,,r,0,default", "scale"),
        ("a,holding,1,,,r,1,fats", "scan_class"),
        ("a,holding,1,bool,16,r,1,default", "bit"),
    ],
)
def test_cells_that_contradict_each_other_are_refused(row, key):
    problem = only_problem(f"name,register_type,address,type,bit,access,scale,scan_class\n{row}\n")

    assert problem.key == f"row 2.{key}"


def test_a_wrong_header_is_explained_and_no_row_is_guessed():
    tags, problems, _ = read("name,register_typ,address,address\na,holding,1,2\n")

    assert tags == []
    assert [p.message for p in problems] == [
        "there is no column 'register_typ'; did you mean register_type?",
        "column address stands twice",
        "column register_type is missing",
    ]


def test_a_semicolon_list_is_told_to_use_commas():
    assert only_problem("name;register_type;address\na;holding;1\n").message == "the header is not separated by commas"


def test_broken_quotes_end_the_reading_with_the_number_of_the_row():
    tags, problems, _ = read('name,register_type,address\na,holding,1\nb,hol"d"ing,"2" 3\nc,holding,3\n')

    assert [tag.name for tag in tags] == ["a"]
    assert problems[0].message.startswith("row 3 is not CSV")


@pytest.mark.parametrize(
    "node_id",
    [
        "nsu=urn:a:b;s=tank.level",
        "ns=2;s=with;semicolon",
        "i=2258",
        "ns=1;i=7",
        "ns=2;b=AAEC",
        "ns=3;g=09087e75-8e5e-499b-954f-f2a9603db28a",
    ],
)
def test_a_node_id_in_any_of_its_forms_is_taken(node_id):
    tags, problems, _ = read(f"name,node_id\na,{node_id}\n", SCADA)

    assert problems == ()
    assert tags == [OpcuaTag(name="a", node_id=node_id, scan_class="default")]


@pytest.mark.parametrize(
    "node_id", ["tank.level", "ns=x;s=a", "ns=2,s=a", "nsu=;s=a", "ns=2;i=abc", "s=", "g=123", "ns=2;x=1"]
)
def test_what_is_no_node_id_is_refused(node_id):
    tags, problems, _ = read(f'name,node_id\na,"{node_id}"\n', SCADA)

    assert tags == []
    assert [p.key for p in problems] == ["row 2.node_id"]


def test_a_site_s_tags_have_a_limit():
    tags, problems, _ = read(
        "name,register_type,address\n" + "".join(f"t{n},holding,{n}\n" for n in range(9)), tags_max=5
    )

    assert len(tags) == 5
    assert [(p.line, p.message) for p in problems] == [(7, "row 7: a site has at most 200000 tags")]


def test_an_empty_file_lacks_its_header():
    tags, problems, _ = read("")

    assert tags == []
    assert [p.message for p in problems] == ["the tag list is empty"]


SUBSCRIBED = OpcuaDevice(
    name="scada", endpoint="opc.tcp://h:1", scan_classes={"default": OpcuaScanClass(mode="subscribe")}
)
SUBSCRIBED_HEADER = (
    "name,node_id,sampling_interval_ms,queue_size,discard_oldest,deadband,deadband_type,max_report_interval_s\n"
)


def test_a_subscribed_tag_says_how_it_is_watched():
    tags, problems, _ = read(
        SUBSCRIBED_HEADER + "a,ns=2;s=a,50,10,FALSE,0.5,percent,20\nb,ns=2;s=b,,,,,,\n", SUBSCRIBED
    )
    watched = {"sampling_interval_ms": 50, "queue_size": 10, "discard_oldest": False, "deadband": 0.5}
    assert problems == ()
    assert tags == [
        OpcuaTag(name="a", node_id="ns=2;s=a", deadband_type="percent", max_report_interval_s=20.0, **watched),
        OpcuaTag(name="b", node_id="ns=2;s=b"),
    ]


@pytest.mark.parametrize(
    ("cells", "key", "allowed"),
    [
        ("0,0,,,,", "queue_size", "1 to 100"),
        ("-1,,,,,", "sampling_interval_ms", "0"),
        (",,maybe,,,", "discard_oldest", "true or false"),
        (",,,-1,,", "deadband", "0"),
        (",,,101,percent,", "deadband", "0 to 100 percent"),
        (",,,,relative,", "deadband_type", "absolute"),
        (",,,,,0", "max_report_interval_s", "0"),
    ],
)
def test_a_subscribed_tag_is_watched_within_limits(cells, key, allowed):
    problem = only_problem(SUBSCRIBED_HEADER + f"a,ns=2;s=a,{cells}\n", SUBSCRIBED)
    assert key in problem.key
    assert allowed in problem.allowed


def test_settings_of_a_subscription_in_a_polled_scan_class_are_refused_with_the_cure():
    problem = only_problem("name,node_id,deadband\na,ns=2;s=a,0.5\n", SCADA)
    assert problem.key == "row 2.deadband"
    assert 'mode = "subscribe"' in problem.remedy


@pytest.mark.parametrize("element", ["3", '"2,1"', "[3]", ".Speed", "Speed", "Motor[2].Speed", '"[2].A.B[1,0]"'])
def test_an_element_of_a_node_is_taken(element):
    tags, problems, _ = read(f"name,node_id,element\na,i=1,{element}\n", SCADA)

    assert problems == ()
    assert tags == [OpcuaTag(name="a", node_id="i=1", element=element.strip('"'))]


@pytest.mark.parametrize("element", ["-1", "1:3", "a b", "[]", "a[b]", "a..b", "3a", "[1]x", "1.5"])
def test_what_is_no_element_is_refused(element):
    _, problems, _ = read(f"name,node_id,element\na,i=1,{element}\n", SCADA)

    assert [p.key for p in problems] == ["row 2.element"]


def test_an_element_of_an_array_may_be_written_and_a_field_of_a_structure_not():
    _, problems, _ = read("name,node_id,element,access\na,i=1,3,rw\nb,i=1,.Speed,rw\nc,i=1,[2].Speed,w\n", SCADA)

    assert [p.key for p in problems] == ["row 3.access", "row 4.access"]


def test_an_element_is_polled_never_subscribed():
    problem = only_problem("name,node_id,element\na,ns=2;s=a,3\n", SUBSCRIBED)
    assert problem.key == "row 2.element"
    assert 'mode = "poll"' in problem.remedy
