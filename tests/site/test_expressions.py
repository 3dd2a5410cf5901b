"""Every expression of a site is compiled before it starts, in the place where it was written."""

from __future__ import annotations

import pytest

POLICIES, TYPES = "policies/station.toml", "twins/types.toml"


@pytest.mark.parametrize(
    ("file", "old", "new", "key", "said"),
    [
        (
            TYPES,
            "bearing_temp < 75 for 5s",
            "bearing_tmp < 75 for 5s",
            "asset_type.pump.rule[1].clear",
            "no tag `bearing_tmp`",
        ),
        (TYPES, "min(speed_sp, 40)", "min(speed_sp, )", "asset_type.pump.rule[1].then.to", "character 15"),
        (TYPES, 'when = "local == 0"', 'when = "local"', "asset_type.valve.rule[0].when", "needs a condition"),
        (POLICIES, "pump_1.tripped == 1", "pump_1.tripped = 1", "point[0].interlocks.tripped", "`=` has no meaning"),
        (POLICIES, "tank_1.level > 3.5 for 2s", "tank_1.level > pump_1.speed", "rule[0].when", "in m"),
    ],
)
def test_a_wrong_expression_is_reported_where_it_stands(site, file, old, new, key, said):
    site.replace(file, old, new)

    problem = site.only_error()

    assert (problem.file, problem.key) == (file, key)
    assert said in problem.message
    assert problem.line == site.line(file, new)


def test_all_wrong_expressions_are_reported_at_once_even_if_a_tag_list_is_broken(site):
    site.replace("devices/plc_1.tags.csv", "remote,discrete", "remote,discretee")
    site.replace(POLICIES, "tank_1.level > 3.5 for 2s", "tank_1.level >> 3.5")
    site.replace(TYPES, 'when = "anomaly(vibration)"', 'when = "anomaly(vibrations)"')

    assert [(p.file, p.key) for p in site.errors()] == [
        ("devices/plc_1.tags.csv", "row 22.register_type"),
        (POLICIES, "rule[0].when"),
        (TYPES, "asset_type.pump.rule[2].when"),
    ]


def test_the_rules_of_a_type_without_assets_are_checked_too(site):
    site.append(
        TYPES,
        '[asset_type.fan]\ntags = { speed = {} }\n[[asset_type.fan.rule]]\nid = "x"\nwhen = "sped > 1"\nalarm = { text = "t" }\n',
    )

    assert site.only_error().key == "asset_type.fan.rule[0].when"


def test_a_window_shorter_than_two_scans_of_one_asset_s_tag_is_found(site):
    site.replace(POLICIES, 'when = "avg(station.rain, 10s) > 20', 'when = "avg(station.rain, 1s) > 20')

    assert "looks back 1 s" in site.only_error().message


def test_a_64_bit_integer_in_an_expression_is_a_warning(site):
    site.replace("devices/plc_1.tags.csv", "pump_1_run_time,input,30041,uint32", "pump_1_run_time,input,30041,uint64")
    site.append(POLICIES, '[[rule]]\nid = "x"\nwhen = "pump_1.run_time > 5"\nalarm = { text = "t" }\n')

    assert "rule[4].when: pump_1.run_time is uint64; beyond 9007199254740992 an expression rounds it" in [
        w.message for w in site.warnings()
    ]
    assert site.errors() == []


def test_a_text_in_an_expression_or_a_number_s_contract_is_refused_where_it_stands(site):
    head, *rows = (site.path / "devices/plc_1.tags.csv").read_text().splitlines()
    changed = [
        row.replace("uint16,,0.01,mm/s,fast,r,", "string,,,,fast,r,") + ",4" if "pump_1_vibration" in row else row + ","
        for row in rows
    ]
    site.write("devices/plc_1.tags.csv", "\n".join((f"{head},length", *changed, "")))

    found = [problem.message for problem in site.errors()]

    assert any("vibration is a string; an expression knows numbers" in message for message in found), found
    assert any("pump_1.vibration is a string by its tag list, and its contract has" in message for message in found)
