"""What a tag takes of a device's registers, and how "no value" is written."""

from __future__ import annotations

from typing import get_args

import pytest

from gatewayd.model.device import RegisterValueType
from gatewayd.model.registers import parse_not_a_value, span, words
from tests.device.modbus.plant import tag


@pytest.mark.parametrize("type_", [type_ for type_ in get_args(RegisterValueType) if type_ != "string"])
def test_a_value_takes_as_many_registers_as_its_bits_need(type_: str) -> None:
    digits = "".join(filter(str.isdigit, type_)) or "16"
    assert words(tag(type=type_)) == max(1, int(digits) // 16)


def test_a_string_takes_what_its_tag_says() -> None:
    assert words(tag(type="string", length=16)) == 16


def test_a_scale_register_widens_what_one_request_must_cover() -> None:
    assert span(tag(address=10, type="int32")) == (10, 12)
    assert span(tag(address=10, type="int32", scale_register=15)) == (10, 16)
    assert span(tag(address=10, type="int32", scale_register=7)) == (7, 12)
    assert span(tag(address=10, type="int32", scale_register=11)) == (10, 12)


@pytest.mark.parametrize(
    ("text", "type_", "bits"),
    [
        ("sunspec", "int16", -(2**15)),
        ("SunSpec", "uint16", -1),
        ("sunspec", "int32", -(2**31)),
        ("sunspec", "uint32", -1),
        ("sunspec", "int64", -(2**63)),
        ("sunspec", "uint64", -1),
        ("sunspec", "float32", 0x7FC00000),
        ("0x8000", "int16", -(2**15)),
        ("0x8000", "uint16", -(2**15)),
        ("0xFF", "uint8", -1),
        ("0x7FFF", "int32", 0x7FFF),
        ("-32768", "int16", -(2**15)),
        ("65535", "uint16", -1),
        ("255", "uint8", -1),
        ("18446744073709551615", "uint64", -1),
        ("9999", "bcd16", 0x9999 - 0x10000),
        ("0xFFFF", "bcd16", -1),
        ("-9999.0", "float32", 0xC61C3C00 - 2**32),
        ("9999", "float64", 0x40C3878000000000),
    ],
)
def test_no_value_is_raw_bits_or_a_raw_number_of_the_type(text: str, type_: str, bits: int) -> None:
    assert parse_not_a_value(text, type_) == bits


@pytest.mark.parametrize(
    ("text", "type_"),
    [
        ("0x10000", "uint16"),
        ("0x100", "int8"),
        ("32768", "int16"),
        ("-1", "uint16"),
        ("10000", "bcd16"),
        ("1.5", "int16"),
        ("1e39", "float32"),
        ("none", "int16"),
        ("", "int16"),
        ("nothing", "float32"),
        ("sunspec", "bcd16"),
        ("sunspec", "string"),
        ("0x0", "string"),
        ("0", "string"),
        ("1", "bool"),
    ],
)
def test_what_the_type_cannot_hold_is_no_value_for_nobody(text: str, type_: str) -> None:
    assert parse_not_a_value(text, type_) is None
