from __future__ import annotations

from gatewayd.site.draft import Draft
from gatewayd.site.read import read_site


def draft_of(site):
    draft = Draft(folder=site.path)
    read_site(draft)
    return draft


def test_an_alias_leads_to_its_tag_device_and_contract(site):
    member = draft_of(site).resolve("tank_1.level")

    assert (member.device.name, member.tag.name, member.units) == ("scada_1", "tank_1_level", "m")
    assert member.contract.stuck_after_s == 4.0


def test_an_alias_that_leads_nowhere_is_none(site):
    draft = draft_of(site)

    assert [draft.resolve(alias) for alias in ("tank_1", "tank_1.", ".level", "tank_9.level", "tank_1.depth")] == [
        None
    ] * 5


def test_a_name_is_excused_only_if_something_it_needs_is_already_known_to_be_broken(site):
    draft = draft_of(site)
    draft.broken.add("asset tank_9")

    assert draft.is_excused("tank_9.level")
    assert not draft.is_excused("tank_8.level")
    assert not draft.is_excused("tank_1.depth")


def test_writable_are_the_points_with_a_complete_guard_list(site):
    assert draft_of(site).writable() == {"pump_1.speed_sp", "pump_2.speed_sp", "inlet_valve.position_sp"}


def test_a_broken_member_is_one_problem_whoever_speaks_of_it(site):
    """Rules, points and the other table that name it are not reported on top."""
    site.replace("twins/station_1.toml", '"scada_1/tank_1_level"', '"scada_1.tank_1_level"')
    site.replace("twins/types.toml", "[asset_type.valve.tags.local]", "[asset_type.valve.tags]\nlocal = 5")

    assert [p.key for p in site.errors()] == ["asset.tank_1.tags.level", "asset_type.valve.tags.local"]
