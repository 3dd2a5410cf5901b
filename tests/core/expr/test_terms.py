"""The random comparison with the interpreter is in test_reference.py; here what people will read in evidence."""

from __future__ import annotations

import math
import struct

from tests.core.expr.plant import BAD, Plant


def test_each_kind_of_term_has_the_value_the_interpreter_saw():
    plant = Plant(["a > 1 and stale(b) and quality(b) < 2 and anomaly(c) and rate(a, 4s) > avg(a, 8s)"])
    plant.sample("a", 1.0)
    plant.advance(4)
    plant.sample("a", 3.0)
    plant.sample("b", 7.0, BAD)
    plant.tag.anomaly[2] = 3
    assert plant.term_values() == [3.0, 0.0, 0.0, 1.0, 0.5, 2.0]


def test_what_is_unknown_is_the_one_nan_whatever_arithmetic_made_of_it():
    plant = Plant(["rate(a, 4s) > b"])
    plant.sample("a", math.inf)
    plant.advance(4)
    plant.sample("a", math.inf)
    assert [struct.pack("<d", value).hex() for value in plant.term_values()] == ["000000000000f87f"] * 2
