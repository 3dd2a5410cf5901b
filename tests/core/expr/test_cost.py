"""What a cycle may cost is known before it runs, and refused where it is too much."""

from __future__ import annotations

import pytest

from gatewayd.core.expr.compiler import Compiler
from gatewayd.core.expr.cost import PROGRAM_COST_MAX, SITE_COST_MAX, costs
from gatewayd.errors import ExpressionError
from tests.core.expr.plant import TagNames, program

NAMES = TagNames(*(f"t{number}" for number in range(64)))


def test_a_cell_is_a_step_and_so_is_each_sample_a_window_may_hold():
    assert list(costs(program("a > 1"))) == [3]
    assert list(costs(program("avg(a, 60s) > 1"))) == [3 + 128]
    assert list(costs(program("std(a, 60s) > 1"))) == [3 + 2 * 128]


def test_an_expression_that_looks_at_too_much_is_refused_with_its_cost():
    compiler = Compiler(NAMES)
    compiler.add("avg(t0, 9h) + avg(t1, 9h) > 1", kind="condition")
    with pytest.raises(ExpressionError, match=f"takes up to 324047 steps, more than {PROGRAM_COST_MAX}") as caught:
        compiler.add("std(t0, 9h) + std(t1, 9h) + avg(t0, 9h) > 1", kind="condition")
    assert caught.value.remedy
    compiler.add("t2 > 1 for 5s", kind="condition")
    assert compiler.finish().registers == 1


def test_the_expression_that_is_one_too_many_for_a_cycle_is_refused():
    compiler = Compiler(NAMES)
    fits = SITE_COST_MAX // (2 * 64_808 + 3)
    for number in range(fits):
        compiler.add(f"std(t0, 9h) > {number}", kind="condition")
    with pytest.raises(ExpressionError, match=f"a cycle has {SITE_COST_MAX}"):
        compiler.add("std(t0, 9h) > -1", kind="condition")
    compiler.add("t0 > 1", kind="condition")
    assert len(compiler.finish().programs) == fits + 1
