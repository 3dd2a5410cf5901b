"""What a decision was made on is kept at a person's word, and let go at another."""

from __future__ import annotations

import json

import pytest

from gatewayd.model.retention_view import RetainRequest


def test_a_decision_is_retained_with_a_reason(gatewayd, daemon, gateway):
    said = gatewayd("decisions", "retain", "40", "--reason", " inquiry into the trip ")
    assert (said.code, said.out) == (0, "decision 40 is retained\n")
    assert gateway.asked[0][0] == RetainRequest(reason="inquiry into the trip")


def test_a_decision_is_released_with_a_reason(gatewayd, daemon, gateway):
    assert gatewayd("decisions", "release", "41", "--reason", "inquiry closed").out == "decision 41 is released\n"
    assert gatewayd("decisions", "list", "--retained").out == "No decision is retained.\n"


def test_the_list_says_what_is_retained_and_whether_its_inputs_are_there(gatewayd, daemon, gateway):
    gatewayd("decisions", "retain", "40", "--reason", "inquiry")
    lines = gatewayd("decisions", "list", "--retained").out.splitlines()
    assert lines[0].split() == ["ID", "POINT", "CYCLE", "RETAINED", "INPUTS"]
    assert [line.split()[0] for line in lines[1:]] == ["41", "40"]
    assert lines[1].endswith("recorded")
    assert lines[2].endswith("not recorded")
    found = json.loads(gatewayd("decisions", "list", "--retained", "--json").out)
    assert [one["recorded"] for one in found["retained"]] == [True, False]


def test_without_a_reason_nothing_is_asked(gatewayd, daemon, gateway):
    assert gatewayd("decisions", "retain", "40", "--reason", "x").code == 2
    assert gateway.asked == []


def test_what_is_not_retained_cannot_be_released(gatewayd, daemon):
    said = gatewayd("decisions", "release", "40", "--reason", "closed")
    assert said.code == 9
    assert "not retained" in said.err


@pytest.mark.parametrize("option", [("--rule", "pump_1/hot"), ("--since", "7d"), ("--before", "40")])
def test_the_list_of_what_is_retained_takes_no_other_wish_which_it_would_pass_over(gatewayd, daemon, option):
    said = gatewayd("decisions", "list", "--retained", *option)
    assert said.code == 2
    assert "goes with --json alone" in said.err
