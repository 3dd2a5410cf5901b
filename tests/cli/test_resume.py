"""`gatewayd resume`: a person says that they have looked, and why automatic writes may come back."""

from __future__ import annotations

import json

from gatewayd.errors import RequestRefused
from gatewayd.model.view import ResumeRequest


def test_it_tells_what_the_daemon_made_of_it(gatewayd, daemon, gateway):
    said = gatewayd("resume", "--reason", "nothing is held")
    assert said.code == 0
    assert "automatic writes are on again" in said.out
    assert gateway.asked[0][0] == ResumeRequest(reason="nothing is held")
    assert json.loads(gatewayd("resume", "--reason", "again", "--json").out)["message"].startswith("acknowledged")


def test_a_reason_is_asked_for(gatewayd, daemon, gateway):
    assert gatewayd("resume").code == 2
    assert gatewayd("resume", "--reason", "x").code == 2
    assert gateway.asked == []


def test_a_refusal_is_the_daemon_s_own(gatewayd, daemon, gateway):
    gateway.fails = RequestRefused("nothing waits for a person", remedy="Look at the status.")
    said = gatewayd("resume", "--reason", "nothing is held")
    assert said.code == 9
    assert "nothing waits for a person" in said.err
