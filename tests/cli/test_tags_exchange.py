"""`tags import` and `tags export` as a technician runs them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.cli.sites import write_site

GOOD = "Tag Name;Address;Data Type\nspeed;40001;Word\ntemp;30005;Float\n"
BAD = GOOD + "text;40010;String\n"


@pytest.fixture
def site(tmp_path: Path) -> Path:
    return write_site(tmp_path)


def written(folder: Path, text: str) -> str:
    file = folder / "kepware.csv"
    file.write_text(text, encoding="utf-16")
    return str(file)


def test_a_good_list_is_printed_and_what_to_know_beside_it(gatewayd, site, tmp_path):
    device = str(site / "devices" / "plc.toml")
    said = gatewayd("tags", "import", written(tmp_path, GOOD), "--device", device, "--default", "byte_order=CDAB")
    assert said.code == 0
    assert said.out == (
        "name,register_type,address,type,byte_order\nspeed,holding,40001,uint16,\ntemp,input,30005,float32,CDAB\n"
    )
    assert "2 rows, 2 tags, 0 problems; printed" in said.err


def test_the_list_that_was_written_makes_a_site_that_starts(gatewayd, site, tmp_path):
    tags = site / "devices" / "plc.tags.csv"
    tags.unlink()
    device = str(site / "devices" / "plc.toml")
    assert gatewayd("tags", "import", written(tmp_path, GOOD), "--device", device, "--out", str(tags)).code == 0
    checked = json.loads(gatewayd("config", "check", str(site), "--json").out)
    assert checked["ok"] is True


def test_nothing_is_written_while_a_row_has_a_problem(gatewayd, site, tmp_path):
    out = tmp_path / "new.csv"
    arguments = (
        "tags", "import", written(tmp_path, BAD), "--device", str(site / "devices" / "plc.toml"), "--out", str(out),
    )  # fmt: skip
    said = gatewayd(*arguments)
    assert (said.code, said.out) == (1, "")
    assert not out.exists()
    assert "kepware.csv:4: row 4.length is 'empty'" in said.err
    assert "remedy: " in said.err
    assert "--skip-bad" in said.err
    assert gatewayd(*arguments, "--skip-bad").code == 0
    assert out.read_text().count("\n") == 3
    again = gatewayd(*arguments, "--skip-bad")
    assert again.code == 1
    assert "exists" in again.err, "a list that somebody may have worked on is not overwritten"


def test_programs_get_json(gatewayd, site, tmp_path):
    arguments = ("tags", "import", written(tmp_path, BAD), "--device", str(site / "devices" / "plc.toml"), "--json")
    refused = json.loads(gatewayd(*arguments).out)
    assert (refused["rows"], refused["tags"], refused["problems"][0]["line"]) == (3, [], 4)
    taken = json.loads(gatewayd(*arguments, "--skip-bad").out)
    assert [tag["name"] for tag in taken["tags"]] == ["speed", "temp"]


@pytest.mark.parametrize("wrong", ["byte_order=XYZ", "byteorder=ABCD", "access", "register_type=4"])
def test_a_wrong_default_is_wrong_use(gatewayd, site, tmp_path, wrong):
    device = str(site / "devices" / "plc.toml")
    said = gatewayd("tags", "import", written(tmp_path, GOOD), "--device", device, "--default", wrong)
    assert said.code == 2
    assert "byte_order=ABCD|" in said.err


def test_a_list_is_exported_for_another_tool(gatewayd, site, tmp_path):
    said = gatewayd("tags", "export", str(site), "plc", "--format", "kepware")
    assert said.code == 0
    assert said.out.splitlines()[1].startswith("speed,400001,Word,1,RO,1000,Linear,0,1,0.0,0.1,")
    out = tmp_path / "out.csv"
    assert "3 tags" in gatewayd("tags", "export", str(site), "plc", "--out", str(out)).out
    assert out.read_text().startswith("name,register_type,address,")
    assert json.loads(gatewayd("tags", "export", str(site), "plc", "--json").out)["tags"] == 3


def test_a_format_that_cannot_hold_the_tags_is_refused(gatewayd, site):
    said = gatewayd("tags", "export", str(site), "plc", "--format", "uaexpert")
    assert said.code == 1
    assert "Remedy: " in said.err
