"""`gatewayd rules` names its verbs without loading them."""

from __future__ import annotations

_VERBS = ["check", "show", "test", "trace", "apply"]


def test_the_group_tells_what_an_engineer_can_ask(gatewayd):
    said = gatewayd("rules", "--help")

    assert said.code == 0
    assert [verb for verb in _VERBS if f"  {verb} " in said.out] == _VERBS
