"""The cloud link as people read it."""

from __future__ import annotations

import json

import msgspec

from tests.control.fake_gateway import STATUS


def test_the_backlog_of_each_stream_is_shown(gatewayd, daemon):
    said = gatewayd("sync", "status").out
    assert "offline to broker.example:8883" in said
    assert said.splitlines()[-1].split() == ["journal", "1", "1300", "1250", "50", "5", "min", "ago"]


def test_json_is_null_without_a_cloud(gatewayd, daemon, gateway, monkeypatch):
    async def none():
        return None

    async def status():
        return msgspec.structs.replace(STATUS, sync=None)

    monkeypatch.setattr(gateway, "sync_status", none)
    monkeypatch.setattr(gateway, "status", status)
    assert json.loads(gatewayd("sync", "status", "--json").out) is None
    assert "keeps everything to itself" in gatewayd("sync", "status").out
