"""Units are compared while expressions are compiled; what people write on drawings is understood, or told apart."""

from __future__ import annotations

import subprocess
import sys

import pytest

from gatewayd.core.expr import units


@pytest.mark.parametrize(
    ("left", "right"),
    [("m/s*s", "m"), ("kWh", "(kW)*(h)"), ("°C", "degC"), ("degC/s", "K/s"), ("m/s2", "m/s**2"), ("pH", "pH")],
)
def test_one_unit_may_be_spelled_in_two_ways(left, right):
    assert units.are_equal(left, right)


@pytest.mark.parametrize(
    ("of", "wanted", "written"),
    [
        ("mbar", "bar", "`b * 0.001`"),
        ("m3/h", "l/s", "`b * 0.2777777777777778`"),
        ("K", "°C", "`b * 1 - 273.15`"),
        ("degC", "degF", "`b * 1.8 + 32`"),
        ("V", "mV", "`b * 1000`"),
        ("rpm", "deg/s", "`b * 6`"),
    ],
)
def test_a_unit_of_the_same_kind_comes_with_the_factor_to_write(of, wanted, written):
    assert not units.are_equal(of, wanted)
    assert units.remedy("`b`", False, of=of, wanted=wanted).startswith(f"Write {written}, which is in {wanted}")


def test_a_quoted_name_stays_quoted():
    assert units.remedy("``flow-2``", False, of="V", wanted="mV").startswith("Write ``flow-2` * 1000`")


def test_a_compound_operand_gets_parentheses():
    assert "`(a + b) * 1000`" in units.remedy("`a + b`", True, of="V", wanted="mV")


@pytest.mark.parametrize(
    ("of", "wanted"),
    [
        ("bar", "°C"),
        ("Nm3/h", "m3/h"),
        ("rpm", "1/s"),  # by 60, or by 60 / 2 pi
        ("9**9**9", "m"),
        ("1e999999999 m", "m"),
        ("m**999999999", "m"),
        ("(9)**9999", "m"),
        ("1/0", "m"),
        ("__import__('os')", "m"),
        ("(" * 150 + "m" + ")" * 150, "m"),
        ("m(", "m"),
    ],
)
def test_what_cannot_be_converted_has_no_factor(of, wanted):
    assert units.conversion(of, wanted) is None
    assert "does not become" in units.remedy("`b`", False, of=of, wanted=wanted)


def test_units_that_agree_do_not_load_the_library():
    code = (
        "import sys; from gatewayd.core.expr.compiler import Compiler; from gatewayd.core.expr import units;"
        "assert units.are_equal('bar', 'bar'); assert 'pint' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
