"""`device browse`: a tree for people, a tag list for the site."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cli.test_device_read import opcua_site
from tests.device.opcua.conftest import ServerProcess

PLANT = ("--from", "nsu=urn:gatewayd:test;s=plant")


@pytest.fixture(scope="module")
def server() -> Iterator[ServerProcess]:
    running = ServerProcess()
    yield running
    running.stop()


@pytest.fixture
def site(server: ServerProcess, tmp_path: Path) -> Path:
    return opcua_site(tmp_path, server)


def test_the_tree_shows_children_below_their_parent(gatewayd, site):
    said = gatewayd("device", "browse", str(site), "scada", "--limit", "10")
    lines = said.out.splitlines()
    assert said.code == 0
    plant = next(at for at, line in enumerate(lines) if line.startswith("plant "))
    assert lines[plant + 1].split() == ["bool", "Boolean", "r", "True", "nsu=urn:gatewayd:test;s=bool"]
    assert lines[plant + 1].startswith("  bool")
    assert "there may be more" in said.err


def test_a_search_shows_paths(gatewayd, site):
    said = gatewayd("device", "browse", str(site), "scada", "--search", "FLOAT32")
    rows = [line.split() for line in said.out.splitlines()[1:]]
    assert rows == [
        ["plant", "/", "float32", "Float", "r", "1.5", "nsu=urn:gatewayd:test;s=float32"],
        ["plant", "/", "float32.set", "Float", "rw", "1.5", "nsu=urn:gatewayd:test;s=float32.set"],
    ]
    assert said.err.startswith("2 of ")


def test_a_tag_list_is_written_that_makes_a_site(gatewayd, site):
    tags = site / "devices" / "new.csv"
    said = gatewayd("device", "browse", str(site), "scada", *PLANT, "--to-tags", str(tags))
    assert (said.code, said.err) == (0, "")
    assert "left out" in said.out
    tags.replace(site / "devices" / "scada.tags.csv")
    checked = json.loads(gatewayd("config", "check", str(site), "--json").out)
    assert (checked["ok"], checked["errors"]) == (True, 0)
    assert (site / "devices" / "scada.tags.csv").read_text().count("\n") > 1000


def test_a_list_that_is_there_is_not_overwritten(gatewayd, site):
    said = gatewayd("device", "browse", str(site), "scada", "--to-tags", str(site / "devices" / "scada.tags.csv"))
    assert said.code == 1
    assert "exists" in said.err


def test_programs_get_json(gatewayd, site):
    found = json.loads(gatewayd("device", "browse", str(site), "scada", *PLANT, "--limit", "3", "--json").out)
    assert (found["complete"], found["found"], found["interrupted"]) == (False, 3, False)
    assert found["nodes"][0]["node_id"] == "nsu=urn:gatewayd:test;s=bool"


def test_a_modbus_device_cannot_be_browsed(gatewayd, site):
    said = gatewayd("device", "browse", str(site), "plc")
    assert said.code == 1
    assert "cannot tell what it has" in said.err


def test_the_daemons_rules_of_trust_hold(gatewayd, site):
    """Security that nobody accepted to leave out, and no pinned certificate: no connection, not even to look."""
    file = site / "devices" / "scada.toml"
    file.write_text(file.read_text().replace('insecure = "accepted-by=test"\n', ""))
    said = gatewayd("device", "browse", str(site), "scada")
    assert said.code == 1
    assert "insecure" in said.err
