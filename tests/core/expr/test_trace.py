from __future__ import annotations

import math

import pytest
from hypothesis import given, settings

from gatewayd.core.expr.trace import TracedStep, trace
from gatewayd.model.record import EvidenceTerm
from tests.core.expr.test_reference import Twice, bits, expressions, passes, steady

NAN = math.nan


def test_every_part_of_a_rule_is_shown_in_the_order_in_which_it_ran():
    evidence = [EvidenceTerm("a", 91.5), EvidenceTerm("b", 2.0), EvidenceTerm("c - 1 > 2 for 5s", 0.0)]
    evidence.append(EvidenceTerm("c", 4.0))
    assert trace("a > 85 and not b < 3 or (c - 1 > 2 for 5s)", evidence) == [
        TracedStep("a", 91.5, False),
        TracedStep("a > 85", 1.0, True),
        TracedStep("b", 2.0, False),
        TracedStep("b < 3", 1.0, True),
        TracedStep("not b < 3", 0.0, True),
        TracedStep("a > 85 and not b < 3", 0.0, True),
        TracedStep("c", 4.0, False),
        TracedStep("c - 1", 3.0, False),
        TracedStep("c - 1 > 2", 1.0, True),
        TracedStep("c - 1 > 2 for 5s", 0.0, True),
        TracedStep("a > 85 and not b < 3 or (c - 1 > 2 for 5s)", 0.0, True),
    ]


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("a > 1 and true", NAN),
        ("a > 1 and false", 0.0),
        ("a > 1 or true", 1.0),
        ("not a > 1", NAN),
        ("vote(2, true, true, a > 1)", 1.0),
        ("vote(true, false, a > 1)", NAN),
        ("1 / 0", NAN),
        ("-(1 - 1)", 0.0),
        ("3 if a > 1 else 4", NAN),
        ("true if b > 1 else a > 1", 1.0),
        ("true", 1.0),
        ("3", 3.0),
    ],
)
def test_what_is_not_in_the_evidence_is_unknown_and_goes_through_logic(text, wanted):
    whole = trace(text, [EvidenceTerm("b", 2.0)])[-1]
    assert repr(whole.value) == repr(wanted)
    assert whole.text == text


@settings(steady, max_examples=100)
@given(expressions, passes)
def test_the_whole_of_a_trace_is_what_the_interpreter_gave(expression, past):
    twice = Twice([expression], "aot")
    for seconds, happened in past[:4]:
        twice.plant.advance(seconds)
        for event in happened:
            twice.tell(event)
        twice.plant.run()
        terms = twice.plant.programme.programs[0].terms
        values = twice.plant.term_values()
        evidence = [EvidenceTerm(term.text, value) for term, value in zip(terms, values, strict=True)]
        assert bits(trace(expression[0], evidence)[-1].value) == bits(twice.plant.result()), expression[0]
