"""Overrides from the command line reach the gateway as one typed request."""

from __future__ import annotations

import os

from gatewayd.model.view import ClearRequest, OverrideRequest


def test_an_override_is_set_with_value_time_and_reason(gatewayd, daemon, gateway):
    said = gatewayd("override", "set", "pump_1.speed_sp", "40", "--for", "30m", "--reason", " bearing check ")
    assert said.code == 0
    assert "pump_1.speed_sp is held at 40" in said.out
    assert "Ends in 30 min" in said.out
    assert "decisions explain 42" in said.out
    ((request, actor),) = gateway.asked
    assert request == OverrideRequest(point="pump_1.speed_sp", value=40, duration_s=1800, reason="bearing check")
    assert (actor.uid, actor.method) == (os.getuid(), "socket")


def test_a_value_beyond_the_limits_is_refused_by_the_gateway(gatewayd, daemon):
    said = gatewayd("override", "set", "pump_1.speed_sp", "140", "--for", "30m", "--reason", "more!")
    assert said.code == 9
    assert said.err == "Error: pump_1.speed_sp: 140 is above write_max 100\nRemedy: Ask for at most 100.\n"


def test_an_override_is_cleared_with_a_reason(gatewayd, daemon, gateway):
    assert gatewayd("override", "clear", "inlet.valve", "--reason", "flushed").code == 0
    assert gateway.asked[0][0] == ClearRequest(reason="flushed")
    assert gatewayd("override", "list").out == "No override holds a point.\n"


def test_the_list_says_who_why_and_for_how_long(gatewayd, daemon):
    line = gatewayd("override", "list").out.splitlines()[1]
    assert line.split() == ["6", "inlet.valve", "1", "ana", "10", "min", "ago", "20", "min", "flushing", "the", "inlet"]
