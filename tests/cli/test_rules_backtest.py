"""`gatewayd rules test`: what would have fired, for people and for programs."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from gatewayd.site.load import require_site
from tests.backtest.kept import keep_cycles

EXAMPLE = Path(__file__).resolve().parents[2] / "config"
T0 = 1_714_564_800


@pytest.fixture
def folder(tmp_path):
    shutil.copytree(EXAMPLE, tmp_path / "site")
    return tmp_path / "site"


@pytest.fixture
def rising(tmp_path):
    """A tank that fills for two minutes and then empties, twice a second."""
    path = tmp_path / "tank.csv"
    levels = [2.0 + 0.01 * half for half in range(180)] + [3.8 - 0.01 * half for half in range(180)]
    rows = [f"{T0 + half / 2},{level:.3f},1,0,60,60" for half, level in enumerate(levels)]
    head = "time,tank_1.level,station.remote,inlet_valve.local,inlet_valve.position_sp,inlet_valve.position"
    path.write_text("\n".join([head, *rows]) + "\n")
    return path


def test_a_rule_is_told_with_how_often_and_how_long(gatewayd, folder, rising):
    said = gatewayd("rules", "test", str(folder), "--from", str(rising), "--json")

    assert said.code == 0, said.err
    answer = json.loads(said.out)
    high = {rule["rule"]: rule for rule in answer["rules"]}["tank-high"]
    assert (high["activations"], high["deactivations"], high["alarms"]) == (1, 1, 1)
    assert high["writes"] >= 1
    # above 3.5 m from 75.5 s, for 2 s; below 3.2 m from 120.5 s, for 5 s
    assert (high["first_ns"] - T0 * 10**9) / 1e9 == 77.5
    assert 45 < high["active_ns"] / 1e9 < 50
    assert answer["samples"] == 5 * 360
    assert "pump_1.running" in answer["unsampled"]
    assert answer["events"] == []
    assert answer["interrupted"] is False


def test_people_see_a_line_per_rule_and_each_event_if_they_ask(gatewayd, folder, rising):
    said = gatewayd("rules", "test", str(folder), "--from", str(rising), "--rule", "tank-h*", "--events")

    assert said.code == 0
    lines = said.out.splitlines()
    assert [line.split()[0] for line in lines[:2]] == ["RULE", "tank-high"]
    assert any("2024-05-01 12:01:17.500+00:00  rule      tank-high  active" in line for line in lines)
    assert any("decision  inlet_valve.position_sp  write 35 by tank-high" in line for line in lines)
    assert "    step: clamp 20 -> 35" in lines
    assert "nothing was written" in said.out


def test_a_packed_recording_tells_the_same(gatewayd, folder, rising, tmp_path):
    packed = tmp_path / "tank.gwc"
    first = gatewayd("rules", "test", str(folder), "--from", str(rising), "--pack", str(packed), "--json")

    again = gatewayd("rules", "test", str(folder), "--from", str(packed), "--json")

    assert (again.code, again.out) == (0, first.out)
    refused = gatewayd("rules", "test", str(folder), "--from", str(rising), "--pack", str(packed))
    assert refused.code == 1
    assert "exists" in refused.err


def test_a_time_span_can_be_chosen(gatewayd, folder, rising):
    said = gatewayd("rules", "test", str(folder), "--from", str(rising), "--until", "2024-05-01T12:01:30Z", "--json")

    high = {rule["rule"]: rule for rule in json.loads(said.out)["rules"]}["tank-high"]
    assert (high["activations"], high["deactivations"], high["active_ns"]) == (1, 0, 12_500_000_000)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--rule", "tank-hihg"], "did you mean tank-high?"),
        (["--since", "noon"], "is no time"),
    ],
)
def test_what_cannot_be_meant_is_answered_with_what_could(gatewayd, folder, rising, arguments, said):
    told = gatewayd("rules", "test", str(folder), "--from", str(rising), *arguments)

    assert told.code != 0
    assert said in told.err


def test_ctrl_c_tells_what_was_found_so_far(gatewayd, folder, rising, monkeypatch):
    from gatewayd.backtest.engine import Backtest

    feed = Backtest.feed

    def interrupted(self, chunk, **settings):
        feed(self, chunk, **settings)
        raise KeyboardInterrupt

    monkeypatch.setattr(Backtest, "feed", interrupted)
    said = gatewayd("rules", "test", str(folder), "--from", str(rising), "--json")

    assert said.code == 130
    answer = json.loads(said.out)
    assert answer["interrupted"] is True
    assert answer["samples"] == 5 * 360


def test_a_csv_that_cannot_be_read_leaves_no_packed_file(gatewayd, folder, rising, tmp_path):
    rising.write_text(rising.read_text() + "noon,1,1,1,1,1\n")

    said = gatewayd("rules", "test", str(folder), "--from", str(rising), "--pack", str(tmp_path / "x.gwc"))

    assert said.code == 1
    assert "tank.csv:362: 'noon' is no time" in said.err
    assert not (tmp_path / "x.gwc").exists()


async def test_the_cycles_of_a_daemon_are_repeated(gatewayd, folder, tmp_path):
    config = require_site(folder)
    await keep_cycles(tmp_path / "storage", config, seconds=5)

    said = gatewayd("rules", "test", str(folder), "--from", str(tmp_path / "storage"), "--json")

    assert said.code == 0, said.err
    answer = json.loads(said.out)
    assert (answer["cycles"], answer["samples"]) == (5, 5 * 29)
    assert answer["notes"] == []


async def test_cycles_of_a_site_with_other_tags_are_refused(gatewayd, folder, tmp_path):
    await keep_cycles(tmp_path / "storage", require_site(folder), seconds=2)
    tags = folder / "devices/plc_1.tags.csv"
    lines = tags.read_text().splitlines()
    tags.write_text("\n".join([lines[0], *lines[2:], lines[1]]) + "\n")

    said = gatewayd("rules", "test", str(folder), "--from", str(tmp_path / "storage"))

    assert said.code == 1
    assert "recorded with other devices or tags" in said.err
