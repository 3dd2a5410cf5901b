"""`gatewayd rules check` and `show`: what rules there are, where they stand, what they cost, and what is wrong."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

EXAMPLE = Path(__file__).resolve().parents[2] / "config"


@pytest.fixture
def folder(tmp_path):
    shutil.copytree(EXAMPLE, tmp_path / "site")
    return tmp_path / "site"


def test_every_rule_is_listed_with_its_place_and_cost(gatewayd, folder):
    said = gatewayd("rules", "check", str(folder), "--json")

    assert said.code == 0
    answer = json.loads(said.out)
    rules = {rule["id"]: rule for rule in answer["rules"]}
    assert len(rules) == 13
    rain = rules["heavy-rain"]
    assert (sorted(rain["reads"]), rain["sets"]) == (["station.rain", "tank_1.level"], "")
    assert [window["seconds"] for window in rain["windows"]] == [10.0]
    assert rules["pump_1/bearing-hot"]["sets"] == "pump_1.speed_sp"
    line = (folder / rain["file"]).read_text().splitlines()[rain["line"] - 1]
    assert line[rain["column"] - 1 :].startswith("avg(station.rain, 10s) > 20")


def test_people_see_a_table_and_a_sum(gatewayd, folder):
    said = gatewayd("rules", "check", str(folder))

    assert said.code == 0
    assert "tank-high" in said.out
    assert said.out.splitlines()[-1].startswith(f"{folder}: 13 rules, ")


def test_one_bad_rule_leaves_no_rule_set_and_is_named_with_line_column_reason_and_remedy(gatewayd, folder):
    policy = folder / "policies/station.toml"
    policy.write_text(policy.read_text().replace('"tank_1.level > 3.5 for 2s"', '"tank_1.lvl > 3.5 for 2s"'))
    lines = policy.read_text().splitlines()
    line = next(number for number, text in enumerate(lines, 1) if "lvl" in text)
    column = lines[line - 1].index("tank_1.lvl") + 1

    said = gatewayd("rules", "check", str(folder))

    assert said.code == 1
    assert f"policies/station.toml:{line}:{column}: " in said.out
    assert "tank_1.level" in said.out
    assert "no rule would run" in said.out
    assert json.loads(gatewayd("rules", "check", str(folder), "--json").out)["rules"] == []


def test_a_rule_shows_the_code_that_runs_for_it(gatewayd, folder):
    said = gatewayd("rules", "show", str(folder), "tank-high")

    assert said.code == 0
    assert "policies/station.toml:" in said.out
    assert "clear" in said.out
    assert "tank_1.level > 3.5 for 2s  # condition" in said.out


def test_an_unknown_rule_is_answered_with_the_nearest(gatewayd, folder):
    said = gatewayd("rules", "show", str(folder), "tank-hihg")

    assert said.code == 1
    assert "did you mean tank-high?" in said.err
