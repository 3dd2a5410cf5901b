from __future__ import annotations

from gatewayd.core.expr import opcodes
from gatewayd.core.expr.opcodes import BY_NAME, OPERATIONS


def test_every_number_has_one_signature_and_every_name_one_number():
    numbers = [value for name, value in vars(opcodes).items() if name.isupper() and isinstance(value, int)]
    numbers.remove(opcodes.STACK_MAX)
    assert sorted(numbers) == sorted(OPERATIONS)
    assert len(BY_NAME) == len(OPERATIONS)


def test_the_ranges_the_kernel_asks_for_have_no_holes():
    comparisons = [
        number for number, operation in OPERATIONS.items() if operation.name in ["<", "<=", ">", ">=", "==", "!="]
    ]
    assert comparisons == list(range(opcodes.LESS, opcodes.NOT_EQUAL + 1))
    assert opcodes.AVG == opcodes.RATE + 1
