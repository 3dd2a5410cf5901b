from __future__ import annotations

import math

import pytest

from gatewayd.core.expr.render import render
from gatewayd.model.record import EvidenceTerm
from tests.core.expr.plant import TagNames, program

BEARING = "bearing_temp > 85 for 5s and rate(bearing_temp, 60s) > 0.5"


def shown(text, *values, kind="condition", names=None):
    terms = program(text, kind=kind, names=names).programs[0].terms
    return render(text, terms, values)


def test_a_rule_is_shown_with_what_it_saw():
    found = shown(BEARING, 91.3, 0.0, 0.72, names=TagNames("bearing_temp"))
    assert found == "bearing_temp [91.3] > 85 for 5s [false] and rate(bearing_temp, 60s) [0.72] > 0.5"


def test_terms_out_of_the_journal_do_as_well():
    terms = [EvidenceTerm("rate(bearing_temp, 60s)", math.nan), EvidenceTerm("bearing_temp", 91.3)]
    found = render(BEARING, terms, [term.value for term in terms])
    assert found == "bearing_temp [91.3] > 85 for 5s and rate(bearing_temp, 60s) [unknown] > 0.5"


@pytest.mark.parametrize(
    ("text", "values", "rendered"),
    [
        ("a > 1 or a < -1", [0.5], "a [0.5] > 1 or a [0.5] < -1"),
        ("s > 5 for 5s", [6.0, 0.0], "s [6] > 5 for 5s [false]"),
        ("latch(a > 5, (b < 1 for 5s))", [6.0, 2.0, 0.0, 1.0], "latch(a [6] > 5, (b [2] < 1 for 5s [false])) [true]"),
        ("a - prev(a) > 3", [6.0, 2.0], "a [6] - prev(a [6]) [2] > 3"),
        ('within("22:00", "6:00") or age(a) > 5', [1.0, 3.5], 'within("22:00", "6:00") [true] or age(a) [3.5] > 5'),
        ("(a) > 1", [2.0], "(a [2]) > 1"),
        ("stale(a) or anomaly(a)", [1.0, 0.0], "stale(a) [true] or anomaly(a) [false]"),
        ("anomaly(a)", [math.nan], "anomaly(a) [unknown]"),
        ("quality(a) == 2", [1.0], "quality(a) [1] == 2"),
        ("a > 1234567.89", [1234567.89], "a [1.23457e+06] > 1234567.89"),
        ("true", [], "true"),
        ("(a if b > 1 else c) > 2", [1.0, 2.0, 3.0], "(a [1] if b [2] > 1 else c [3]) > 2"),
        ("vote(a > 1, b > 1, max(c, 5s) > 1)", [1.0, 2.0, 3.0], "vote(a [1] > 1, b [2] > 1, max(c, 5s) [3] > 1)"),
    ],
)
def test_values_stand_behind_their_terms(text, values, rendered):
    assert shown(text, *values, names=TagNames("a", "b", "c", "s")) == rendered


def test_a_term_without_a_value_stays_bare():
    assert render("a > 1 and b > 2", [EvidenceTerm("b", 3.0)], [3.0]) == "a > 1 and b [3] > 2"
