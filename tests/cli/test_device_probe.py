"""`device probe` against a device that answers, refuses or is absent."""

from __future__ import annotations

import json
import socket

import pytest

from gatewayd.compiled import library_path
from tests.cli.sites import small_plc, write_site

pytestmark = pytest.mark.skipif(not library_path().exists(), reason="the kernels are not compiled: run `make kernels`")


def test_a_probe_reads_everything_once_and_writes_nothing(gatewayd, tmp_path):
    with small_plc() as (port, heard):
        said = gatewayd("device", "probe", str(write_site(tmp_path, port=port)), "plc", "--json")
    assert (said.code, said.err) == (0, "")
    found = json.loads(said.out)
    assert found["connect_ms"] > 0
    assert [(one["request"], one["tags"], one["quality"]) for one in found["requests"]] == [
        ("FC 3, 3 from 0", 2, "Good"),
        ("FC 3, 1 from 500", 1, found["tags"][2]["quality"]),
    ]
    assert found["tags"][:2] == [
        {"name": "plc/speed", "raw": "0271", "value": 62.5, "quality": "Good", "units": "%"},
        {"name": "plc/flow", "raw": "4148 0000", "value": 12.5, "quality": "Good", "units": "m3/h"},
    ]
    assert found["tags"][2]["value"] is None
    assert found["tags"][2]["quality"].startswith("Bad")
    assert {pdu[0] for pdu in heard} == {3, 43}, "only reads"
    survey = found["survey"]
    assert survey["identity"] == {}, "the PLC does not say"
    assert survey["latency_min_ms"] <= survey["latency_median_ms"] <= survey["latency_max_ms"]
    assert survey["limits"] == {
        "registers_in_one_request": 100,
        "one_more_register": "exception 2, illegal data address",
        "requests_open_at_once": 16,
    }
    assert survey["suggested"]["max_outstanding"] == 16
    assert "max_registers" not in survey["suggested"], "its registers end there: that says nothing about its limit"


def test_a_quick_probe_asks_each_request_once_and_no_more(gatewayd, tmp_path):
    with small_plc() as (port, heard):
        said = gatewayd("device", "probe", str(write_site(tmp_path, port=port)), "plc", "--quick", "--json")
    assert json.loads(said.out)["survey"] is None
    assert [pdu[0] for pdu in heard] == [3, 3]


def test_the_page_shows_latency_raw_bytes_values_and_quality(gatewayd, tmp_path):
    with small_plc() as (port, _):
        said = gatewayd("device", "probe", str(write_site(tmp_path, port=port)), "plc")
    assert said.code == 0
    assert f"127.0.0.1:{port}, unit 1" in said.out
    assert [line.split() for line in said.out.splitlines() if line.startswith("plc/speed")] == [
        ["plc/speed", "0271", "62.5", "%", "Good"]
    ]
    assert "max_outstanding = 16" in said.out
    assert "min / median / max" in said.out


def test_an_absent_device_is_told_with_a_remedy_and_exit_code_1(gatewayd, tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    site = str(write_site(tmp_path, port=port))
    said = gatewayd("device", "probe", site, "plc", "--json")
    found = json.loads(said.out)
    assert said.code == 1
    assert found["connect_ms"] is None
    assert found["remedy"]
    assert {tag["value"] for tag in found["tags"]} == {None}
    assert "Error: " in gatewayd("device", "probe", site, "plc").out


def test_a_device_the_site_does_not_have_is_refused_with_the_names_it_has(gatewayd, tmp_path):
    said = gatewayd("device", "probe", str(write_site(tmp_path)), "plc9")
    assert said.code == 1
    assert "It has plc." in said.err
