from __future__ import annotations

from gatewayd.core.expr import opcodes
from gatewayd.core.expr.opcodes import BY_NAME, OPERATIONS


def test_every_number_has_one_signature_and_every_name_one_number():
    numbers = [value for name, value in vars(opcodes).items() if name.isupper() and isinstance(value, int)]
    numbers.remove(opcodes.STACK_MAX)
    numbers.remove(opcodes.VOTERS_MAX)
    assert sorted(numbers) == sorted(OPERATIONS)
    assert len(BY_NAME) == len(OPERATIONS)


def test_a_vote_takes_as_many_as_its_argument_says():
    assert opcodes.pops_of(OPERATIONS[opcodes.VOTE], 32 * 2 + 3) == ("condition",) * 3
    assert opcodes.pops_of(OPERATIONS[opcodes.LATCH], 0) == ("condition", "condition")
