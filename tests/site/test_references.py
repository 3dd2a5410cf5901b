"""What one table says of another must hold before anything starts."""

from __future__ import annotations

import pytest

TWINS, TYPES, POLICIES = "twins/station_1.toml", "twins/types.toml", "policies/station.toml"


def test_an_unknown_tag_names_the_nearest_of_its_device(site):
    site.replace(TWINS, '"plc_1/pump_1_current"', '"plc_1/pump_1_curent"')

    problem = site.only_error()

    assert (problem.file, problem.key, problem.nearest) == (TWINS, "asset.pump_1.tags.current", "pump_1_current")
    assert problem.line == site.line(TWINS, "pump_1_curent")


def test_an_unknown_device_names_the_nearest(site):
    site.replace(TWINS, '"plc_1/pump_1_current"', '"plc1/pump_1_current"')

    assert site.only_error().nearest == "plc_1"


def test_a_tag_bound_twice_names_both(site):
    site.replace(TWINS, '"plc_1/pump_1_current"', '"plc_1/pump_2_current"')

    message = site.only_error().message

    assert message == "pump_2.current binds plc_1/pump_2_current, which is bound to pump_1.current already"


def test_an_asset_of_an_unknown_type_names_the_nearest(site):
    site.append(TWINS, '[asset.tank_2]\ntype = "tnak"\ntags = {}\n')

    assert site.only_error().nearest == "tank"


def test_an_asset_binds_every_member_of_its_type_and_no_other(site):
    site.replace(TWINS, 'level = "scada_1', 'lvel = "scada_1')

    assert [p.message for p in site.errors() if p.file == TWINS] == [
        "tank_1 lacks level, which every tank has",
        "tank has no member lvel; did you mean level?",
    ]


def test_a_contract_s_range_is_not_upside_down(site):
    site.replace(TYPES, "high = 4.2", "high = -4.2")

    problem = site.only_error()

    assert problem.key == "asset_type.tank.tags.level.low"
    assert problem.allowed == "below high = -4.2"


def test_units_of_the_contract_and_of_the_tag_list_agree(site):
    site.replace("devices/scada_1.tags.csv", "tank_1.level,float64,m,", "tank_1.level,float64,cm,")

    assert site.only_error().message == "tank_1.level is in m by its contract and in cm by the tag list of scada_1"


def test_a_tag_that_would_always_be_stuck_or_stale_is_refused(site):
    site.replace(TYPES, "stuck_after_s = 4", "stuck_after_s = 0.2")

    assert "stuck_after_s = 0.2 s, but the tag is read every 0.25 s" in site.only_error().message


@pytest.mark.parametrize(
    ("target", "said"),
    [
        ("run", "whose guard list is incomplete, so it is read-only"),
        ("current", "which is no point"),
        ("sped_sp", "there is no tag"),
    ],
)
def test_a_rule_writes_only_what_may_be_written(site, target, said):
    site.append(
        TYPES, f'[[asset_type.pump.rule]]\nid = "x"\nwhen = "running == 1"\nthen = {{ set = "{target}", to = "1" }}\n'
    )

    errors = site.errors()

    assert errors
    assert said in errors[0].message
    assert {p.key for p in errors} == {"asset_type.pump.rule[4].then.set"}


def test_a_rule_of_the_site_names_the_asset_it_writes(site):
    site.append(POLICIES, '[[rule]]\nid = "x"\nwhen = "pump_1.running == 1"\nthen = { set = "speed_sp", to = "1" }\n')

    assert site.only_error().allowed == "ASSET.MEMBER in a rule of the site"


def test_a_fail_safe_of_a_rule_that_writes_nothing_makes_no_sense(site):
    site.append(POLICIES, '[[rule]]\nid = "x"\nwhen = "true"\non_unknown = "fail_safe"\nalarm = { text = "t" }\n')

    assert site.only_error().key == "rule[4].on_unknown"


def test_a_rule_id_stands_once(site):
    site.append(POLICIES, '[[rule]]\nid = "tank-high"\nwhen = "true"\nalarm = { text = "t" }\n')

    assert site.only_error().message.startswith(
        "the site has two rules tank-high; the first is in policies/station.toml:"
    )


def test_a_rule_that_does_nothing_is_noticed(site):
    site.append(POLICIES, '[[rule]]\nid = "x"\nwhen = "true"\n')

    assert "rule x has neither `then` nor `alarm`: it is journalled and does nothing" in [
        w.message for w in site.warnings()
    ]


@pytest.mark.parametrize(
    ("contract", "says"),
    [
        ("stuck_after_s = 20", "stuck_after_s = 20 s, but the tag is read every 30 s"),
        ("source_age_max_s = 30", "source_age_max_s = 30 s, but the tag is read every 30 s"),
        ("stale_after_s = 1.9", "stale_after_s = 1.9 s, but the tag is read every 2 s"),
        ("stuck_after_s = 40", ""),
    ],
)
def test_a_subscribed_tag_is_reported_often_enough_for_its_contract(site, contract, says):
    """Without a change there is no sample to judge, but for the regular report; and staleness is counted in keep-alives."""
    site.replace("devices/scada_1.toml", "scan_rate_ms = 250", 'scan_rate_ms = 250\nmode = "subscribe"')
    tags = "devices/scada_1.tags.csv"
    rows = (site.path / tags).read_text().splitlines()
    site.write(
        tags,
        "\n".join(
            [rows[0] + ",max_report_interval_s", *(row + ",30" if "fast" in row else row + "," for row in rows[1:])]
        ),
    )
    site.replace(TYPES, "stuck_after_s = 4", contract)
    messages = [problem.message for problem in site.errors()]
    assert any(says in message for message in messages) if says else messages == []


def test_members_that_are_watched_together_must_be_of_the_type(site):
    site.replace(TYPES, "[asset_type.pump]\n", '[asset_type.pump]\ntogether = { tags = ["speed", "currant"] }\n')

    problem = site.only_error()

    assert (problem.file, problem.nearest) == (TYPES, "current")


@pytest.mark.parametrize("named", [["speed"], ["speed", "speed"]], ids=["one", "the same twice"])
def test_what_is_watched_together_is_at_least_two(site, named):
    names = ", ".join(f'"{name}"' for name in named)
    site.replace(TYPES, "[asset_type.pump]\n", f"[asset_type.pump]\ntogether = {{ tags = [{names}] }}\n")

    messages = [problem.message for problem in site.errors()]

    assert len(messages) == 2, "one for each pump"
    assert all("it takes at least 2 different numbers" in message for message in messages)
