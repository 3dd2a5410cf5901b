"""Rows of a Modbus tag list that mean what no register can be: found, allowed and the cure, by row and column."""

from __future__ import annotations

from gatewayd.model.device import ModbusDevice, ModbusTag
from gatewayd.site.problem import Findings, Problem
from gatewayd.site.source import Source
from gatewayd.site.tag_list import read_tag_list
from tests.device.modbus.plant import device

PLC = device()


def read(row: dict[str, str], owner: ModbusDevice = PLC) -> tuple[ModbusTag | None, tuple[Problem, ...]]:
    cells = {"name": "a", "register_type": "holding", "address": "1"} | row
    findings = Findings()
    text = ",".join(cells) + "\n" + ",".join(cells.values()) + "\n"
    rows = read_tag_list(Source("plc.tags.csv", text), owner, findings).rows
    tag = rows[0].tag if rows else None
    assert tag is None or isinstance(tag, ModbusTag)
    return tag, findings.all()


def sound(owner: ModbusDevice = PLC, **row: str) -> ModbusTag:
    tag, problems = read(row, owner)
    assert problems == ()
    assert tag is not None
    return tag


def refused(owner: ModbusDevice = PLC, **row: str) -> Problem:
    _, problems = read(row, owner)
    assert len(problems) == 1, [problem.message for problem in problems]
    assert problems[0].remedy
    return problems[0]


def test_every_column_of_a_value_is_read_as_it_is_meant():
    tag = sound(type="uint8", byte="high", not_a_value="0xFF", own_request="yes")
    assert (tag.byte, tag.not_a_value, tag.own_request) == ("high", -1, True)
    tag = sound(type="string", length="16", byte_order="BADC", own_request="no")
    assert (tag.length, tag.byte_order, tag.own_request) == (16, "BADC", False)
    tag = sound(type="int16", address="40073", scale_register="40077", not_a_value="sunspec")
    assert (tag.address, tag.scale_register, tag.not_a_value) == (72, 76, -(2**15))
    assert sound(type="bcd32", not_a_value="0xFFFFFFFF").not_a_value == -1


def test_a_bit_or_a_byte_of_a_holding_register_may_be_written():
    assert sound(type="bool", bit="3", access="rw").access == "rw"
    assert sound(type="int8", access="rw").access == "rw"


def test_the_scale_register_follows_the_address_base_like_the_address():
    tag = sound(device(address_base=1), address="10", scale_register="11", type="int16")
    assert (tag.address, tag.scale_register) == (9, 10)


def test_a_text_names_its_length_in_registers():
    problem = refused(type="string")
    assert problem.key == "row 2.length"
    assert problem.message == "row 2.length is 'empty'; allowed is 1 to 125 registers for a string"
    assert "two characters" in problem.remedy
    assert refused(type="string", length="126").key == "row 2.length"
    assert refused(type="uint16", length="2").message == "row 2.length is 2; allowed is empty, but for a string"


def test_a_text_is_only_read_has_no_scale_and_its_registers_are_in_order():
    assert refused(type="string", length="4", access="rw").key == "row 2.access"
    assert refused(type="string", length="4", scale="0.1").key == "row 2.scale"
    assert refused(type="string", length="4", offset="1").key == "row 2.offset"
    assert refused(type="string", length="4", scale_register="9").key == "row 2.scale_register"
    assert refused(type="string", length="4", byte_order="CDAB").allowed.startswith("ABCD, or BADC")


def test_a_byte_is_named_only_where_there_is_one():
    problem = refused(type="uint16", byte="high")
    assert (problem.key, problem.allowed) == ("row 2.byte", "empty, but for an int8 or uint8")
    assert refused(type="uint8", byte="upper").key == "row 2.byte"


def test_a_value_and_its_scale_register_must_fit_into_one_request():
    """Read apart they could be of two moments."""
    problem = refused(type="int16", address="1", scale_register="200")
    assert problem.message == (
        "row 2.scale_register is 200; allowed is within 125 registers (max_registers of plc) of the value"
    )
    assert "of one moment" in problem.remedy
    assert refused(device(max_registers=3), scale_register="4").found == "4"
    assert sound(device(max_registers=4), scale_register="4").scale_register == 4


def test_a_scale_register_stands_beside_a_whole_number():
    assert refused(type="float32", scale_register="9").allowed == "empty for a float32"
    assert refused(type="int32", scale_register="2").allowed == "a register beside the value"
    assert refused(type="int16", scale_register="70000").key == "row 2.scale_register"
    assert refused(type="bool", bit="1", scale_register="9").key == "row 2.scale_register"


def test_no_value_is_something_the_type_can_hold():
    problem = refused(type="uint16", not_a_value="-1")
    assert (problem.key, problem.found) == ("row 2.not_a_value", "'-1'")
    assert problem.allowed == "sunspec, raw bits such as 0x8000, or a raw number that uint16 can hold"
    assert refused(type="bcd16", not_a_value="sunspec").key == "row 2.not_a_value"
    assert refused(type="bool", not_a_value="1").key == "row 2.not_a_value"
    assert refused(register_type="coil", not_a_value="1").allowed == "empty for a single bit"
    assert refused(type="uint61", not_a_value="1").key == "row 2.type", "one mistake is reported once"


def test_a_value_larger_than_a_request_is_refused_with_the_number_to_raise():
    problem = refused(device(max_registers=3), type="float64")
    assert (problem.key, problem.allowed) == ("row 2.type", "at most 3 registers, max_registers of plc")
    assert problem.remedy.startswith("Set max_registers to at least 4")
    assert refused(device(max_registers=8), type="string", length="9").key == "row 2.length"


def test_a_request_of_its_own_is_said_as_a_spreadsheet_says_it():
    assert [sound(own_request=word).own_request for word in ("TRUE", "Yes", "0", "FALSE")] == [True, True, False, False]
    assert refused(own_request="maybe").key == "row 2.own_request"


def test_coils_hold_one_bit_and_no_more_is_said():
    assert refused(register_type="coil", type="string", length="4").key == "row 2.type"
