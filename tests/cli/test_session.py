"""Which daemon is asked."""

from __future__ import annotations


def test_the_option_wins_over_the_environment(gatewayd, daemon, tmp_path):
    assert gatewayd("status").code == 0
    assert gatewayd("--socket", str(tmp_path / "other.sock"), "status").code == 8


def test_without_either_the_path_of_the_unit_is_taken(gatewayd, monkeypatch):
    monkeypatch.delenv("GATEWAYD_SOCKET", raising=False)
    assert "/run/gatewayd/control.sock" in gatewayd("status").err
