"""`gatewayd config`: every problem at once, for people and for programs."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from gatewayd.cli.config import config

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def folder(tmp_path):
    shutil.copytree(ROOT / "config", tmp_path / "site")
    return tmp_path / "site"


def run(*arguments):
    return CliRunner().invoke(config, [str(argument) for argument in arguments])


def break_it(folder):
    path = folder / "devices/plc_1.toml"
    path.write_text(path.read_text().replace("unit_id = 1", "unit_id = 300").replace("max_gap", "max_gapp"))


def test_a_sound_site_ends_with_zero_and_says_how_much_it_is(folder):
    result = run("check", folder)

    assert result.exit_code == 0
    assert result.output.splitlines()[-1] == (
        f"{folder}: 0 errors, 1 warning; 2 devices, 29 tags, 5 assets, 13 rules, 4 points"
    )


def test_a_broken_site_ends_with_one_and_lists_each_problem_with_its_remedy(folder):
    break_it(folder)

    result = run("check", folder)

    assert result.exit_code == 1
    lines = result.output.splitlines()
    assert lines[0] == "devices/plc_1.toml"
    assert "devices/plc_1.toml:8: device.unit_id is 300; allowed is a whole number from 0 to 255" in lines
    assert "  remedy: Set the number on the device's label." in lines
    assert any("there is no key 'max_gapp' here; did you mean max_gap?" in line for line in lines)
    assert lines[-1] == f"{folder}: 2 errors, 1 warning; nothing would start"


def test_programs_get_the_same_as_json(folder):
    break_it(folder)

    result = run("check", folder, "--json")

    answer = json.loads(result.output)
    assert result.exit_code == 1
    assert (answer["ok"], answer["errors"], answer["warnings"]) == (False, 2, 1)
    assert answer["problems"][0]["key"] == "device.unit_id"
    assert answer["problems"][0]["remedy"]


def test_a_folder_that_does_not_exist_is_said_and_ends_with_one(tmp_path):
    result = run("check", tmp_path / "nowhere")

    assert result.exit_code == 1
    assert "is not a folder" in result.output


def test_the_schema_is_printed_or_written(tmp_path):
    printed = run("schema")
    written = run("schema", "--out", tmp_path / "schema.json")

    assert json.loads(printed.output)["$schema"] == "https://json-schema.org/draft/2020-12/schema"
    assert (tmp_path / "schema.json").read_text() == printed.output
    assert written.exit_code == 0


@pytest.mark.parametrize("command", ["check", "schema"])
def test_help_shows_examples(command):
    assert f"gatewayd config {command}" in run(command, "--help").output


def test_checking_loads_no_driver_no_store_and_no_compiler():
    """A technician's laptop may have none of them, and each costs start-up time."""
    code = "import sys, gatewayd.cli.config; print(sorted({'asyncua', 'lmdb', 'numba', 'numpy', 'gmqtt'} & set(sys.modules)))"
    result = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)

    assert result.stdout.strip() == "[]"
