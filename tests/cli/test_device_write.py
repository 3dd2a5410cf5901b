"""`device write` shows and never sends (P-JOURNAL, P-LIMIT)."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

EXAMPLE = Path(__file__).resolve().parents[2] / "config"


@pytest.fixture
def site(tmp_path: Path) -> str:
    shutil.copytree(EXAMPLE, tmp_path / "site")
    return str(tmp_path / "site")


def test_a_dry_run_shows_bytes_read_back_and_the_guard_list(gatewayd, site):
    said = gatewayd("device", "write", site, "plc_1", "pump_1_speed_sp", "42.5", "--dry-run")
    assert (said.code, said.err) == (0, "")
    assert "FC 16, unit 1  10 00 00 00 01 02 01 a9" in said.out
    assert "Would read back as 42.5 %" in said.out
    rows = [line.split() for line in said.out.splitlines()]
    assert ["write_max", "90"] in rows
    assert ["interlocks", "tripped:", "pump_1.tripped", "==", "1"] in rows
    assert "42.5 is inside the limits of pump_1.speed_sp" in said.out


def test_an_opc_ua_tag_is_shown_as_a_variant(gatewayd, site):
    said = gatewayd("device", "write", site, "scada_1", "inlet_valve_position_sp", "60", "--dry-run", "--json")
    found = json.loads(said.out)
    assert (found["sent"], found["reads_back"]) == (False, 60.0)
    assert found["writes"] == [
        {
            "request": "Write nsu=urn:gatewayd:hil:station;s=inlet_valve.position_sp: Double 60.0",
            "data": "0b 00 00 00 00 00 00 4e 40",
        }
    ]
    assert found["points"][0]["point"] == "inlet_valve.position_sp"


def test_a_value_outside_the_limits_ends_with_1(gatewayd, site):
    said = gatewayd("device", "write", site, "plc_1", "pump_1_speed_sp", "95", "--dry-run")
    assert said.code == 1
    assert "outside the limits of pump_1.speed_sp" in said.out


def test_without_dry_run_it_refuses_and_names_the_way_through_the_daemon(gatewayd, site):
    said = gatewayd("device", "write", site, "plc_1", "pump_1_speed_sp", "42.5")
    assert (said.code, said.out) == (9, "")
    assert "no tool writes around the journal" in said.err
    assert 'gatewayd override set pump_1.speed_sp 42.5 --for 10m --reason "..."' in said.err


def test_a_tag_that_may_only_be_read_is_refused(gatewayd, site):
    said = gatewayd("device", "write", site, "plc_1", "pump_1_current", "1", "--dry-run")
    assert said.code == 1
    assert "its access is r" in said.err


def test_a_tag_without_a_point_is_never_written_by_the_daemon(gatewayd, site):
    tags = Path(site) / "devices" / "plc_1.tags.csv"
    tags.write_text(tags.read_text() + "spare,holding,40050,uint16,,,,normal,rw,\n")
    said = gatewayd("device", "write", site, "plc_1", "spare", "1", "--dry-run")
    assert said.code == 1
    assert "No point is declared over this tag" in said.out


def test_a_misspelt_tag_is_guessed(gatewayd, site):
    said = gatewayd("device", "write", site, "plc_1", "pump_1_sped_sp", "1", "--dry-run")
    assert said.code == 1
    assert "Did you mean pump_1_speed_sp?" in said.err


def test_a_negative_value_needs_no_special_spelling(gatewayd, site):
    said = gatewayd("device", "write", site, "plc_1", "pump_1_speed_sp", "-1", "--dry-run")
    assert said.code == 1
    assert "outside 0 to 65535" in said.err
