"""The interpreter checks nothing: whatever it must not see is refused here."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gatewayd.core.expr import opcodes as op
from gatewayd.core.expr.programme import Compiled, Programme, Term, WindowSpec, digest_of
from gatewayd.core.expr.verifier import CODE_MAX, ProgrammeRejected, verify
from gatewayd.errors import GatewayError
from tests.core.expr.plant import SECOND, program

TAGS = 3


def signed(programme, **changes):
    """With changes, and a digest that fits: an attacker can compute one as well."""
    changed = msgspec.structs.replace(programme, **changes)
    return msgspec.structs.replace(changed, digest=digest_of(changed))


def code(*cells, kind="condition", consts=(1.0, 5e9), rows=(), registers=0, terms=(), windows=()):
    """One program of bare cells."""
    compiled = Compiled("bare", kind, 0, len(cells), rows, terms)
    ops, args = (tuple(column) for column in zip(*cells, strict=True)) if cells else ((), ())
    return signed(Programme((compiled,), ops, args, consts, registers, windows, b""))


def refused(programme, said):
    with pytest.raises(ProgrammeRejected) as caught:
        verify(programme, tag_count=TAGS)
    assert said in caught.value.message
    assert caught.value.remedy


def test_what_the_compiler_makes_passes():
    text = "rate(a, 60s) > avg(b, 10s) for 5s and not (stale(c) or anomaly(a)) and quality(b) >= -abs(min(a, 1) / 2)"
    verify(program(text), tag_count=TAGS)


def test_a_refusal_is_one_of_the_projects_errors():
    assert issubclass(ProgrammeRejected, GatewayError)


TRUE = (op.PUSH_BOOLEAN, 1)
ONE = (op.PUSH_CONST, 0)
FIVE_SECONDS = (op.PUSH_CONST, 1)


@pytest.mark.parametrize(
    ("programme", "said"),
    [
        (code(), "leaves the code"),
        (code((0, 0)), "there is no operation 0"),
        (code((46, 0)), "there is no operation 46"),
        (code((-1, 0)), "there is no operation -1"),
        (code((op.PUSH_TAG, 3), kind="number", rows=(3,)), "tag 3 does not exist"),
        (code((op.PUSH_TAG, -1), kind="number", rows=(-1,)), "tag -1 does not exist"),
        (code((op.STALE, 3), rows=(3,)), "tag 3 does not exist"),
        (code((op.QUALITY, -1), kind="number", rows=(-1,)), "tag -1 does not exist"),
        (code((op.ANOMALY, 99), rows=(99,)), "tag 99 does not exist"),
        (code((op.PUSH_CONST, 2), kind="number"), "const 2 does not exist"),
        (code((op.PUSH_CONST, -1), kind="number"), "const -1 does not exist"),
        (code((op.PUSH_BOOLEAN, 2)), "boolean 2 does not exist"),
        (code((op.RATE, 0), kind="number"), "window 0 does not exist"),
        (code((op.AVG, -1), kind="number"), "window -1 does not exist"),
        (code(ONE, (op.NEGATE, 1), kind="number"), "none 1 does not exist"),
        (code((op.ADD, 0), kind="number"), "the stack is empty"),
        (code(ONE, (op.ADD, 0), kind="number"), "the stack is empty"),
        (code((op.NOT, 0)), "the stack is empty"),
        (code(ONE, ONE, kind="number"), "leaves 2 results"),
        (code(ONE), "is not a condition"),
        (code(TRUE, kind="number"), "is not a number"),
        (code(TRUE, ONE, (op.ADD, 0), kind="number"), "+ needs a number"),
        (code(ONE, (op.NOT, 0)), "not needs a condition"),
        (code(*[ONE] * 17, *[(op.ADD, 0)] * 16, kind="number"), "deeper than 16"),
        (code(TRUE, FIVE_SECONDS, (op.FOR, 0)), "registers belong to no"),
        (code(TRUE, FIVE_SECONDS, (op.FOR, 1), registers=2), "register 1 is not the next one"),
        (code(TRUE, FIVE_SECONDS, (op.FOR, -1), registers=1), "register -1 is not the next one"),
        (
            code(TRUE, FIVE_SECONDS, (op.FOR, 0), FIVE_SECONDS, (op.FOR, 0), registers=1),
            "register 0 is not the next one",
        ),
        (code(TRUE, ONE, ONE, (op.ADD, 0), (op.FOR, 0), registers=1), "the duration is not a constant"),
        (code((op.FOR, 0), registers=1), "the duration is not a constant"),
        (code(TRUE, ONE, (op.FOR, 0), registers=1, consts=(0.5,)), "the duration is not valid"),
        (code(TRUE, ONE, (op.FOR, 0), registers=1, consts=(0.0,)), "the duration is not valid"),
        (code(TRUE, ONE, (op.FOR, 0), registers=1, consts=(-5.0,)), "the duration is not valid"),
        (code(TRUE, ONE, (op.FOR, 0), registers=1, consts=(8.64e13 + 1,)), "the duration is not valid"),
        (code(ONE, kind="number", consts=(float("nan"),)), "a constant is not finite"),
        (code(ONE, kind="number", consts=(float("inf"),)), "a constant is not finite"),
        (code((op.PUSH_TAG, 1), kind="number"), "does not name the tags it reads"),
        (code((op.PUSH_TAG, 1), kind="number", rows=(0, 1)), "does not name the tags it reads"),
        (code((op.PUSH_TAG, 1), kind="number", rows=(1, 1)), "does not name the tags it reads"),
        (code(TRUE, terms=(Term("a", "tag", 0),)), "shows a tag that it does not read"),
        (code(TRUE, registers=1), "registers belong to no"),
        (code(TRUE, TRUE, (op.VOTE, 2)), "no vote can be 2"),
        (code(TRUE, TRUE, (op.VOTE, 3 * 32 + 2)), "no vote can be 98"),
        (code(TRUE, (op.VOTE, 32)), "no vote can be 32"),
        (code(*[TRUE] * 17, (op.VOTE, 32 + 17)), "deeper than 16"),
        (code(TRUE, TRUE, (op.VOTE, 32 + 17)), "no vote can be 49"),
        (code(TRUE, (op.VOTE, 2 * 32 + 2)), "the stack is empty"),
        (code(TRUE, (op.DELAY_ON, 0), registers=1), "the duration is not a constant"),
        (code(TRUE, ONE, (op.DELAY_OFF, 0), registers=1, consts=(-1.0,)), "the duration is not valid"),
        (code((op.PUSH_TAG, 0), (op.AGE, 0), kind="number", rows=(0,)), "the duration is not a constant"),
        (code(ONE, (op.AGE, 0), kind="number", rows=(0,), consts=(-2.0,)), "the duration is not valid"),
        (code(ONE, (op.TIME_OF_DAY, 0), kind="number", registers=1, consts=(1e300,)), "the duration is not valid"),
        (code(ONE, (op.WITHIN, 0), registers=1), "the duration is not a constant"),
        (code(ONE, ONE, (op.WITHIN, 0), registers=1, consts=(-1.0,)), "the duration is not valid"),
        (code(ONE, ONE, (op.PREV, 0), kind="number", registers=1), "there is no sequence"),
        (code(TRUE, terms=(Term("rising(a)", "memory", -1, register=0),)), "shows what it does not remember"),
        (code(TRUE, windows=(WindowSpec(3, SECOND, 16),)), "window 0 looks at no tag"),
        (code(TRUE, windows=(WindowSpec(-1, SECOND, 16),)), "window 0 looks at no tag"),
        (code(TRUE, windows=(WindowSpec(0, 0, 16),)), "window 0 has no valid duration"),
        (code(TRUE, windows=(WindowSpec(0, 86_400 * SECOND + 1, 16),)), "window 0 has no valid duration"),
        (code(TRUE, windows=(WindowSpec(0, SECOND, 15),)), "window 0 has no valid ring"),
        (code(TRUE, windows=(WindowSpec(0, SECOND, 16, -1),)), "window 0 has no valid patience"),
        (code(TRUE, windows=(WindowSpec(0, SECOND, 65_537),)), "window 0 has no valid ring"),
        (code(TRUE, windows=(WindowSpec(0, SECOND, 65_536),) * 65), "windows are too large"),
    ],
)
def test_what_the_interpreter_must_not_see_is_refused(programme, said):
    refused(programme, said)


def test_a_window_term_must_show_the_window_it_names():
    good = program("rate(a, 60s) > avg(b, 60s)")
    (compiled,) = good.programs
    for wrong in (
        Term("rate(a, 60s)", "window", 0, 1, "rate"),
        Term("rate(a, 60s)", "window", 0, 2, "rate"),
        Term("rate(a, 60s)", "window", 0, 0, ""),
        Term("rate(a, 60s)", "tag", 0, 0, "rate"),
    ):
        changed = msgspec.structs.replace(compiled, terms=(wrong,))
        refused(signed(good, programs=(changed,)), "shows a")


def test_programs_must_cover_the_code_one_after_the_other():
    good = program("a > 1")
    (compiled,) = good.programs

    def moved(**changes):
        return signed(good, programs=(msgspec.structs.replace(compiled, **changes),))

    refused(moved(start=1, length=2), "does not start where")
    refused(moved(start=-1), "does not start where")
    refused(moved(length=4), "leaves the code")
    refused(moved(length=0), "leaves the code")
    refused(moved(length=1, kind="number"), "code belongs to no program")
    refused(signed(good, programs=(compiled, compiled)), "does not start where")
    refused(signed(good, programs=()), "code belongs to no program")


def test_code_of_no_valid_length_is_refused():
    good = program("a > 1")
    refused(signed(good, args=good.args[:-1]), "no valid length")
    refused(signed(good, ops=(1,) * (CODE_MAX + 1), args=(0,) * (CODE_MAX + 1)), "no valid length")


def test_a_digest_of_something_else_is_refused():
    refused(msgspec.structs.replace(program("a > 1"), consts=(2.0,)), "digest")
    refused(msgspec.structs.replace(program("a > 1"), digest=b""), "digest")


SUBJECT = program(
    "rate(a, 60s) + c > avg(b, 10s) for 5s and not (stale(c) or a / 2 == 1) or anomaly(b) and (true for 1ms)"
)
CELLS = len(SUBJECT.ops)


@settings(max_examples=400, deadline=None)
@given(st.sampled_from(["ops", "args"]), st.integers(0, CELLS - 1), st.integers(-3, 60))
def test_a_mutated_cell_is_refused_or_still_safe(column, cell, value):
    """An independent walk over what got through: the interpreter would stay inside every table."""
    cells = list(getattr(SUBJECT, column))
    cells[cell] = value
    mutant = signed(SUBJECT, **{column: tuple(cells)})
    try:
        verify(mutant, tag_count=TAGS)
    except ProgrammeRejected:
        return
    depth, registers = 0, []
    for number, arg in zip(mutant.ops, mutant.args, strict=True):
        if number in (op.PUSH_TAG, op.STALE, op.QUALITY, op.ANOMALY):
            assert 0 <= arg < TAGS
        elif number == op.PUSH_CONST:
            assert 0 <= arg < len(mutant.consts)
        elif number in (op.RATE, op.AVG):
            assert 0 <= arg < len(mutant.windows)
        elif number >= op.FOR or number in (op.TIME_OF_DAY, op.WITHIN):
            registers.append(arg)
        takes = 2
        if number in (op.AGE, op.TIME_OF_DAY, op.NEGATE, op.ABS, op.NOT, op.RISING, op.FALLING):
            takes = 1
        elif number < op.NEGATE and number != op.WITHIN:
            takes = 0
        elif number in (op.IF, op.IF_CONDITION, op.HYSTERESIS):
            takes = 3
        elif number == op.VOTE:
            takes = arg % 32
        assert depth >= takes
        depth += 1 - takes
        assert depth <= 16
    assert depth == 1
    assert registers == list(range(mutant.registers))


def test_almost_no_mutation_gets_through():
    """So that the test above is not one that only ever sees refusals or only ever passes."""
    passed = refusals = 0
    for cell in range(CELLS):
        for value in range(-1, 60):
            ops = (*SUBJECT.ops[:cell], value, *SUBJECT.ops[cell + 1 :])
            try:
                verify(signed(SUBJECT, ops=ops), tag_count=TAGS)
                passed += 1
            except ProgrammeRejected:
                refusals += 1
    assert passed > CELLS  # each cell as it was, and one sign for another of its kind
    assert refusals > 8 * passed
