"""Redaction from the command line: asked twice, told in full."""

from __future__ import annotations

import io
import json

import pytest

from gatewayd.errors import RequestRefused
from gatewayd.model.view import RedactRequest


def test_it_says_what_is_gone_and_what_stays(gatewayd, daemon, gateway):
    said = gatewayd("journal", "redact", "bob", "--reason", "he asked", "--yes")

    assert said.code == 0
    assert said.out == "5 texts of 3 records are gone; their hashes stay, and so does every proof.\n"
    assert gateway.asked[0][0] == RedactRequest(name="bob", reason="he asked")
    assert json.loads(gatewayd("journal", "redact", "bob", "--reason", "he asked", "--yes", "--json").out)["texts"] == 5


@pytest.mark.parametrize("answer", ["n\n", "\n", ""])
def test_without_a_yes_nothing_happens(gatewayd, daemon, gateway, monkeypatch, answer):
    monkeypatch.setattr("sys.stdin", io.StringIO(answer))
    said = gatewayd("journal", "redact", "bob", "--reason", "he asked")

    assert said.code == 130
    assert "for good?" in said.err
    assert gateway.asked == []


def test_a_person_who_holds_a_point_now_is_not_forgotten(gatewayd, daemon, gateway):
    gateway.fails = RequestRefused("bob holds pump_1.speed_sp", remedy="Clear the override.")

    assert gatewayd("journal", "redact", "bob", "--reason", "he asked", "--yes").code == 9
