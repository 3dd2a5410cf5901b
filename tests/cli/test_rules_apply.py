"""`gatewayd rules apply` tells what the daemon made of it."""

from __future__ import annotations

import json

from gatewayd.errors import ConfigError


def test_it_tells_which_rules_went_on(gatewayd, daemon, gateway):
    said = gatewayd("rules", "apply")

    assert said.code == 0
    assert "13 rules are in force: 12 went on, 1 began, 1 ended." in said.out
    assert json.loads(gatewayd("rules", "apply", "--json").out)["waited_ms"] == 0.25
    assert gateway.asked[0][0] == "apply_rules"


def test_a_refusal_is_the_daemon_s_own(gatewayd, daemon, gateway):
    gateway.fails = ConfigError("policies/x.toml:3:9: no tag `a`", remedy="Mend it.")

    said = gatewayd("rules", "apply")

    assert said.code == 1
    assert "policies/x.toml:3:9: no tag `a`" in said.err
