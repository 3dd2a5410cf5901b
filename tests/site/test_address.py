"""The three spellings of a Modbus address, and what happens where they cannot be told apart."""

from __future__ import annotations

import pytest

from gatewayd.site.address import AddressError, parse_address, parse_place


@pytest.mark.parametrize(
    ("text", "register_type", "base", "address"),
    [
        ("0", "holding", 0, 0),
        ("1", "holding", 1, 0),
        ("65535", "holding", 0, 65_535),
        ("65536", "input", 1, 65_535),
        ("0x0010", "input", 0, 16),
        ("0x10", "input", 1, 15),
        ("0x9C41", "holding", 0, 40_001),
        ("40001", "holding", 0, 0),
        ("40001", "holding", 1, 0),
        ("49999", "holding", 0, 9_998),
        ("400001", "holding", 0, 0),
        ("465536", "holding", 0, 65_535),
        ("30001", "input", 0, 0),
        ("365536", "input", 0, 65_535),
        ("10001", "discrete", 0, 0),
        ("100001", "discrete", 0, 0),
        ("00001", "coil", 0, 0),
        ("000017", "coil", 0, 16),
        ("20000", "holding", 0, 20_000),
        ("40000", "holding", 0, 40_000),
        ("9999", "holding", 0, 9_999),
    ],
)
def test_a_written_address_becomes_the_zero_based_one_on_the_wire(text, register_type, base, address):
    assert parse_address(text, register_type, base) == address


def test_a_notation_that_contradicts_the_register_type_is_explained_not_guessed():
    error = parse_address("40001", "input", 0)

    assert isinstance(error, AddressError)
    assert error.message == "address 40001 is holding register 1 in the 4xxxx notation, but register_type is input"
    assert error.remedy == (
        "Set register_type = holding, write 30001 for input register 1, or 0x9C41 if the plain address 40001 is meant."
    )


def test_six_digits_beyond_sixteen_bits_are_no_plain_address():
    error = parse_address("300005", "holding", 0)

    assert isinstance(error, AddressError)
    assert "plain" not in error.remedy
    assert "400005" in error.remedy


@pytest.mark.parametrize("text", ["-1", "4.0", "1e3", "40 001", "40001h", "", "\u0663", "1234567", "0x", "0xG1"])
def test_what_is_no_number_is_refused(text):
    assert isinstance(parse_address(text, "holding", 0), AddressError)


@pytest.mark.parametrize(("text", "base"), [("0", 1), ("0x0", 1), ("65536", 0), ("0x10000", 0), ("999999", 0)])
def test_an_address_outside_sixteen_bits_is_refused(text, base):
    assert isinstance(parse_address(text, "holding", base), AddressError)


@pytest.mark.parametrize(
    ("text", "base", "place"),
    [
        ("holding:0", 0, ("holding", 0)),
        ("holding:1", 1, ("holding", 0)),
        ("input:0x10", 0, ("input", 16)),
        ("holding:40001", 1, ("holding", 0)),
        ("40001", 0, ("holding", 0)),
        ("30002", 0, ("input", 1)),
        ("10003", 0, ("discrete", 2)),
        ("00004", 0, ("coil", 3)),
        ("465536", 0, ("holding", 65_535)),
    ],
)
def test_a_place_names_its_register_type_or_has_it_in_its_number(text, base, place):
    assert parse_place(text, base) == place


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("7", "names no register type"),
        ("50001", "names no register type"),
        ("", "names no register type"),
        ("register:7", "there is no register type"),
        ("holding:x", "address is 'x'"),
        ("input:40001", "is holding register 1"),
        ("holding:0", "counts from 1"),
    ],
)
def test_a_place_that_can_be_read_two_ways_is_refused(text, says):
    refused = parse_place(text, 1)
    assert isinstance(refused, AddressError)
    assert says in refused.message
    assert refused.remedy
