"""Decisions as people read them."""

from __future__ import annotations

import msgspec

from gatewayd.model.view import Explanation
from gatewayd.model.wanted import Wanted
from tests.cli.golden import golden
from tests.control.fake_gateway import EXPLANATION


def test_the_list_reads_like_this(gatewayd, daemon):
    golden("cli/decisions_list.txt", gatewayd("decisions", "list").out)


def test_an_explanation_reads_like_this(gatewayd, daemon):
    golden("cli/decisions_explain.txt", gatewayd("decisions", "explain", "41").out)


def test_a_decision_of_a_person_reads_like_this(gatewayd, daemon):
    golden("cli/decisions_show.txt", gatewayd("decisions", "show", "40").out)


def test_json_carries_the_whole_explanation(gatewayd, daemon):
    said = gatewayd("decisions", "explain", "41", "--json").out
    assert msgspec.json.decode(said, type=Explanation) == EXPLANATION


def test_pages_and_points_are_asked_of_the_daemon(gatewayd, daemon):
    assert "inlet.valve" not in gatewayd("decisions", "list", "--limit", "1").out
    assert "pump_1" not in gatewayd("decisions", "list", "--before", "41").out
    assert "pump_1" not in gatewayd("decisions", "list", "--point", "inlet.valve").out
    assert gatewayd("decisions", "list", "--point", "nothing").out == "No decisions match.\n"


def test_whatever_they_have_in_common_is_asked_of_the_daemon(gatewayd, daemon, gateway):
    asked = ("--asset", "pump_1", "--tag", "pump_1.temp", "--rule", "pump_1/hot", "--actor", "1001")
    gatewayd("decisions", "list", *asked, "--since", "1970-01-02", "--until", "1970-01-03", "--limit", "5")
    day_ns = 86_400_000_000_000
    assert gateway.wanted == Wanted(
        asset="pump_1", tag="pump_1.temp", rule="pump_1/hot", actor_uid=1001, since_ns=day_ns, until_ns=2 * day_ns
    )
