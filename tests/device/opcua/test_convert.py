"""Between contract units and what a node holds."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gatewayd.device.opcua.convert import RANGES, to_contract_units, to_node_value
from gatewayd.errors import DeviceRefused
from tests.device.opcua.rig import tag


@pytest.mark.parametrize("kind", list(RANGES))
def test_the_ends_of_an_integers_range_fit_and_one_beyond_does_not(kind):
    low, high = RANGES[kind]
    step = 2**11 if high > 2**53 else 1  # float64 knows no nearer neighbour there
    inside = float(high) if high < 2**53 else float(high + 1 - step)
    assert to_node_value(tag("x", kind), float(low)) == low
    assert to_node_value(tag("x", kind), inside) == int(inside)
    for outside in (float(low) - step, float(high) + step):
        with pytest.raises(DeviceRefused, match="cannot be written"):
            to_node_value(tag("x", kind), outside)


def test_an_integer_takes_the_nearest_step_of_its_scale():
    assert to_node_value(tag("x", "int16", scale=0.5), 10.3) == 21
    assert to_node_value(tag("x", "int16", scale=-1.0, offset=5.0), 7.0) == -2


def test_a_float32_is_sent_as_the_float32_it_will_be():
    assert to_node_value(tag("x", "float32"), 0.1) == 0.10000000149011612


def test_a_scale_of_zero_can_be_read_but_never_written():
    assert to_contract_units(tag("x", scale=0.0, offset=2.0), 9.0) == 2.0
    with pytest.raises(DeviceRefused):
        to_node_value(tag("x", scale=0.0), 1.0)


@given(st.integers(-(2**31), 2**31 - 1), st.sampled_from([0.001, 0.1, 1.0, 2.5, -4.0]), st.floats(-1e3, 1e3))
def test_what_was_read_is_written_back_as_the_same_number(raw, scale, offset):
    scaled = tag("x", "int32", scale=scale, offset=offset)
    assert to_node_value(scaled, to_contract_units(scaled, raw)) == raw
