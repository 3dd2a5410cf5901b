"""`gatewayd rules trace` shows how an expression came to its value, from the decision's own evidence."""

from __future__ import annotations

import json

from tests.control.fake_gateway import EXPLANATION


def test_every_part_is_shown_with_its_value_the_whole_last(gatewayd, daemon):
    said = gatewayd("rules", "trace", "41", "--json")

    assert said.code == 0
    answer = json.loads(said.out)
    lines = EXPLANATION.expression.splitlines()
    assert [each["text"] for each in answer["expressions"]] == lines
    first = answer["expressions"][0]["steps"]
    assert first[-1]["text"] == lines[0]
    values = {term.text: term.value for term in EXPLANATION.terms}
    assert {step["text"]: step["value"] for step in first if step["text"] in values}.items() <= values.items()


def test_people_see_a_table_per_expression(gatewayd, daemon):
    said = gatewayd("rules", "trace", "41")

    assert said.code == 0
    assert said.out.startswith(f"Decision 41: {EXPLANATION.detail.decision.point} by rule ")
    assert "VALUE" in said.out
    assert EXPLANATION.terms[0].text in said.out


def test_a_decision_that_is_not_there_is_told(gatewayd, daemon):
    said = gatewayd("rules", "trace", "9999")

    assert said.code == 9
    assert "no decision 9999" in said.err
