"""Answers and requests as JSON."""

from __future__ import annotations

import json
import math

import msgspec
import pytest

from gatewayd.model.view import OverrideRequest, StatusView, SyncView, number
from tests.control.fake_gateway import STATUS, SYNC


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_what_json_cannot_carry_is_null(value):
    assert number(value) is None


@pytest.mark.parametrize("value", [0.0, -2.5, 1e308])
def test_numbers_stay_what_they_are(value):
    assert number(value) == value


def test_an_older_command_line_reads_a_newer_daemon():
    newer = json.loads(msgspec.json.encode(STATUS)) | {"moon_phase": "full"}
    assert msgspec.json.decode(json.dumps(newer), type=StatusView) == STATUS


def test_a_request_refuses_what_it_does_not_know():
    request = {"point": "pump_1.speed_sp", "value": 1, "duration_s": 60, "reason": "test", "force": True}
    with pytest.raises(msgspec.ValidationError, match="force"):
        msgspec.json.decode(json.dumps(request), type=OverrideRequest)


def test_what_waits_for_the_cloud_is_counted_over_all_streams():
    two = msgspec.structs.replace(SYNC, streams=SYNC.streams * 2)
    assert (SYNC.waiting, two.waiting, SyncView(state="offline", broker="", streams=()).waiting) == (50, 100, 0)
