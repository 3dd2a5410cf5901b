"""All readings of some registers, and which of them a plant would have."""

from __future__ import annotations

import math
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gatewayd.device.modbus.interpret import BYTE_ORDERS, FORMATS, TYPES, interpret, is_plausible, width_of
from gatewayd.device.modbus.values import decode
from tests.device.modbus.plant import tag


def reading_of(registers: list[int], type_name: str, order: str) -> float | None:
    (candidate,) = interpret(registers, type_name)
    return candidate.values[BYTE_ORDERS.index(order)]


@pytest.mark.parametrize("order", BYTE_ORDERS)
@pytest.mark.parametrize("type_name", TYPES)
@given(data=st.data())
def test_every_reading_is_the_one_that_the_daemon_would_make(type_name, order, data):
    count = width_of(type_name)
    registers = data.draw(st.lists(st.integers(0, 65_535), min_size=count, max_size=count))
    daemon = decode(tag(type=type_name, byte_order=order), struct.pack(f">{count}H", *registers))
    reading = reading_of(registers, type_name, order)
    assert reading is None if not math.isfinite(daemon) else float(reading) == daemon


def test_a_temperature_stands_out_in_the_byte_order_it_has():
    """21.5 degC, sent by a device with swapped words."""
    registers = [0x0000, 0x41AC]
    (candidate,) = interpret(registers, "float32")
    assert candidate.values[BYTE_ORDERS.index("CDAB")] == 21.5
    assert candidate.plausible == (False, False, True, False)


def test_four_registers_are_read_alone_in_pairs_and_as_one():
    found = interpret([1, 2, 3, 4])
    assert [(each.place, each.type) for each in found if each.type == "uint16"] == [(n, "uint16") for n in range(4)]
    assert [each.place for each in found if each.type == "float32"] == [0, 2]
    assert [each.place for each in found if each.type == "int64"] == [0]
    assert len(found) == 4 * 2 + 2 * 3 + 3
    assert interpret([1, 2, 3], "uint64") == ()


def test_nan_is_no_number_for_programs_and_a_word_for_people():
    (candidate,) = interpret([0x7FC0, 0], "float32")
    assert candidate.values[0] is None
    assert candidate.texts[0] == "nan"
    assert not candidate.plausible[0]


@pytest.mark.parametrize(
    ("type_name", "value", "plausible"),
    [
        ("float32", 0.0, True),
        ("float32", -273.15, True),
        ("float32", math.inf, False),
        ("float32", 1e-40, False),  # denormal
        ("float32", 3e27, False),
        ("int16", -32768, True),
        ("uint32", 2_000_000_000, False),
        ("uint32", 86_400, True),
        ("int64", -(2**60), False),
        ("float64", 1e9, True),
    ],
)
def test_what_a_plant_hardly_has_is_implausible(type_name, value, plausible):
    assert is_plausible(type_name, value) is plausible


def test_every_type_has_a_width():
    assert {name: width_of(name) for name in TYPES} == {
        name: width for width, formats in FORMATS.items() for name in formats
    }
