"""Loading a site: the example is sound, and a broken one tells everything at once."""

from __future__ import annotations

import pytest

from gatewayd.errors import ConfigError
from gatewayd.model.config import missing_guards
from gatewayd.site.load import load_site, require_site


def test_the_example_site_is_sound_but_for_the_point_that_is_read_only_on_purpose(site):
    loaded = site.load()

    assert loaded.config is not None
    assert [(p.severity, p.file, p.line) for p in loaded.problems] == [
        ("warning", "policies/station.toml", site.line("policies/station.toml", 'tag = "pump_1.run"') - 1)
    ]
    assert [point.tag for point in loaded.config.points if missing_guards(point)] == ["pump_1.run"]
    assert loaded.config.folder == str(site.path)


def test_the_order_of_files_is_that_of_their_names_and_of_tags_that_of_their_rows(site):
    config = site.config()

    assert list(config.devices) == ["plc_1", "scada_1"]
    assert [tag.name for tag in config.tags["plc_1"]][:3] == ["pump_1_speed_sp", "pump_2_speed_sp", "pump_1_speed"]
    assert config.tags["plc_1"][0].address == 0


def test_problems_in_different_files_are_all_found_in_one_run(site):
    site.replace("gateway.toml", "quota_mb = 256", "quota_mb = 1")
    site.replace("devices/plc_1.toml", "unit_id = 1", "unit_id = 300")
    site.replace("devices/plc_1.tags.csv", "pump_1_current,input,30021", "pump_1_current,input,40021")
    site.replace("twins/types.toml", "z_max = 6.0", "z_maximum = 6.0")
    site.replace("policies/station.toml", "fail_safe_value = 30", "fail_safe_value = 130")

    errors = site.errors()

    assert [(p.file, p.key) for p in errors] == [
        ("devices/plc_1.tags.csv", "row 10.address"),
        ("devices/plc_1.toml", "device.unit_id"),
        ("gateway.toml", "storage.quota_mb"),
        ("policies/station.toml", "point[2].fail_safe_value"),
        ("twins/types.toml", "asset_type.pump.tags.vibration.ewma.z_maximum"),
    ]
    assert all(p.line and p.remedy for p in errors)


def test_a_broken_device_is_one_problem_not_one_for_each_of_its_tags(site):
    site.replace("devices/plc_1.toml", 'protocol = "modbus-tcp"', 'protocol = "modbus-tpc"')

    problem = site.only_error()

    assert (problem.key, problem.nearest) == ("device.protocol", "modbus-tcp")


def test_a_broken_asset_type_is_one_problem_not_one_for_each_of_its_assets(site):
    site.replace("twins/types.toml", "[asset_type.tank.tags.level]", "[asset_type.tank.tagz.level]")
    site.replace("twins/types.toml", "[asset_type.tank.tags.inlet_flow]", "[asset_type.tank.tagz.inlet_flow]")
    site.replace("twins/types.toml", "[asset_type.tank.tags.outlet_flow]", "[asset_type.tank.tagz.outlet_flow]")

    assert {p.key for p in site.errors()} == {"asset_type.tank.tagz", "asset_type.tank.tags"}


def test_a_folder_that_does_not_exist_is_one_problem(tmp_path):
    loaded = load_site(tmp_path / "nowhere")

    assert loaded.config is None
    assert len(loaded.problems) == 1


def test_an_empty_folder_lacks_its_gateway_file(tmp_path):
    assert [p.message for p in load_site(tmp_path).problems] == ["gateway.toml does not exist"]


def test_a_site_that_may_be_used_is_handed_over(site):
    assert require_site(site.path).gateway.gateway.name == "example.org/gw/station-1"


def test_a_site_that_may_not_is_refused_with_each_error_and_its_place(site):
    site.replace("devices/plc_1.toml", "unit_id = 1\n", "unit_id = 300\n")
    with pytest.raises(ConfigError) as refused:
        require_site(site.path)
    assert "devices/plc_1.toml:" in refused.value.message
    assert "gatewayd config check" in refused.value.remedy


def test_a_folder_that_is_none_says_which_file_to_look_for(tmp_path):
    with pytest.raises(ConfigError, match="is not a folder"):
        require_site(tmp_path / "nowhere")
