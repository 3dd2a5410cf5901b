"""Guard lists (P-LIMIT): complete or read-only, and consistent with themselves, the contract and the register."""

from __future__ import annotations

import pytest

POLICIES = "policies/station.toml"
POINT = '[[point]]\ntag = "{tag}"\nwrite_min = 0\nwrite_max = {high}\nreadback = "{readback}"\n'


def test_a_point_without_a_complete_guard_list_is_read_only_and_says_what_it_lacks(site):
    site.replace(POLICIES, "readback_tolerance = 1.0\n", "")

    warning = next(w for w in site.warnings() if "inlet_valve" in w.message)

    assert warning.message == "inlet_valve.position_sp is read-only: its guard list lacks readback_tolerance"


def test_a_rule_that_writes_a_point_whose_guard_list_became_incomplete_never_starts(site):
    site.replace(POLICIES, "readback_tolerance = 1.0\n", "")

    assert {(p.file, p.found) for p in site.errors()} == {
        (POLICIES, "inlet_valve.position_sp"),
        ("twins/types.toml", "position_sp"),
    }


def test_a_point_over_an_unknown_tag_names_the_nearest(site):
    site.append(POLICIES, POINT.format(tag="pump_1.speedsp", high=1, readback="self"))

    assert site.only_error().nearest == "pump_1.speed_sp"


def test_a_point_over_a_tag_that_may_only_be_read_is_refused(site):
    site.append(POLICIES, POINT.format(tag="pump_1.current", high=1, readback="self"))

    problem = site.only_error()

    assert (problem.found, problem.allowed) == ("r", "rw or w")


def test_two_points_over_one_tag_are_refused(site):
    site.append(POLICIES, POINT.format(tag="pump_1.run", high=1, readback="self"))

    assert "pump_1.run has two points; the first is in policies/station.toml:" in site.only_error().message


@pytest.mark.parametrize("key", ["fail_safe_value = 30", "relinquish_default = 60"])
def test_fail_safe_and_relinquish_default_lie_inside_the_limits(site, key):
    name = key.split(" ")[0]
    site.replace(POLICIES, key, f"{name} = 100.5")

    assert site.only_error().message.startswith(
        f"point[2].{name} is 100.5; allowed is write_min to write_max, 0 to 100"
    )


def test_limits_are_not_upside_down(site):
    site.replace(POLICIES, "write_max = 100", "write_max = 0")

    assert site.only_error().key == "point[2].write_min"


def test_limits_lie_inside_the_contract(site):
    site.replace(POLICIES, "write_max = 100", "write_max = 150")

    assert site.only_error().allowed == "the contract's range of inlet_valve.position_sp, 0 to 100"


def test_limits_fit_the_register_they_are_written_to(site):
    site.replace("devices/plc_1.tags.csv", "40001,uint16,,0.1,%", "40001,uint16,,0.001,%")

    problem = site.only_error()

    assert problem.key == "point[0].write_max"
    assert "It would write 90000 to register 0." in problem.remedy


def test_an_unknown_readback_names_the_nearest(site):
    site.replace(POLICIES, '"inlet_valve.position" #', '"inlet_valve.positio" #')

    assert site.only_error().nearest == "inlet_valve.position"


def test_a_readback_is_in_the_units_of_its_point(site):
    site.replace(POLICIES, '"inlet_valve.position" #', '"tank_1.level" #')

    assert site.only_error().message == "inlet_valve.position_sp is in %, and its readback tank_1.level in m"


def test_a_tag_that_cannot_be_read_is_not_its_own_readback(site):
    site.replace("devices/scada_1.tags.csv", "position_sp,float64,%,normal,rw", "position_sp,float64,%,normal,w")
    site.replace(POLICIES, '"inlet_valve.position" #', '"self" #')

    assert [p.key for p in site.errors()] == ["point[2].readback"]
