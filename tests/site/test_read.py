"""Every file is fitted table by table; names are unique; nothing is silently ignored."""

from __future__ import annotations

MINIMAL_DEVICE = '[device]\nprotocol = "modbus-tcp"\nname = "{name}"\nhost = "127.0.0.1"\n'
ONE_TAG = "name,register_type,address\na,holding,1\n"


def test_a_device_of_the_same_name_says_where_the_first_is(site):
    site.write("devices/second.toml", MINIMAL_DEVICE.format(name="plc_1"))
    site.write("devices/second.tags.csv", ONE_TAG)

    problem = site.only_error()

    assert (problem.file, problem.line) == ("devices/second.toml", 3)
    assert problem.message == "device plc_1 stands twice; the first is in devices/plc_1.toml:3"


def test_a_tag_of_the_same_name_says_where_the_first_is(site):
    site.append("devices/plc_1.tags.csv", "remote,discrete,10009,,,,,normal,r,again\n")

    assert "tag remote stands twice; the first is in devices/plc_1.tags.csv:22" in site.only_error().message


def test_an_asset_and_an_asset_type_have_names_of_their_own_across_files(site):
    site.write("twins/zz.toml", '[asset_type.pump]\ntags = {}\n[asset.tank_1]\ntype = "tank"\ntags = {}\n')

    assert [p.message.split(";")[0] for p in site.errors()] == [
        "asset type pump stands twice",
        "asset tank_1 stands twice",
    ]


def test_a_tag_list_of_another_name_is_found_by_the_key_tags(site):
    (site.path / "devices/plc_1.tags.csv").rename(site.path / "devices/pumps.csv")
    site.replace("devices/plc_1.toml", 'host = "127.0.0.1"', 'host = "127.0.0.1"\ntags = "pumps.csv"')

    assert site.errors() == []


def test_a_missing_tag_list_is_one_problem(site):
    (site.path / "devices/plc_1.tags.csv").unlink()

    assert site.only_error().message == "devices/plc_1.tags.csv does not exist"


def test_a_tag_list_is_never_read_from_outside_the_site(site):
    site.replace("devices/plc_1.toml", 'host = "127.0.0.1"', 'host = "127.0.0.1"\ntags = "../../etc/passwd"')

    assert site.errors()[0].key == "device.tags"


def test_a_tag_list_that_no_device_reads_is_noticed(site):
    site.write("devices/old.tags.csv", ONE_TAG)

    assert "no device reads old.tags.csv" in [w.message for w in site.warnings()]


def test_an_unknown_table_names_the_nearest(site):
    site.append("twins/station_1.toml", '[assets.pump_3]\ntype = "pump"\n')
    site.append("policies/station.toml", '[[points]]\ntag = "a.b"\n')
    site.append("devices/plc_1.toml", "[devise]\n")

    assert [(p.key, p.nearest) for p in site.errors()] == [
        ("devise", "device"),
        ("points", "point"),
        ("assets", "asset"),
    ]


def test_a_table_with_one_bracket_too_few_is_explained(site):
    site.write("policies/more.toml", '[point]\ntag = "pump_1.run"\n')

    assert site.only_error().remedy == "Write [[point]] with two brackets."


def test_a_device_file_without_a_device_is_noticed(site):
    site.write("devices/empty.toml", "# nothing yet\n")

    assert site.only_error().message == "the file has no [device] table"


def test_an_asset_name_that_no_expression_could_spell_is_refused(site):
    site.append("twins/station_1.toml", '[asset."pump 3"]\ntype = "pump"\ntags = {}\n')

    assert site.only_error().key == "asset.pump 3"


def test_lists_in_the_place_of_tables_are_problems_and_never_a_crash(site):
    site.write("twins/odd.toml", "asset = [1]\nasset_type = 2\n")
    site.write("policies/odd.toml", "point = 3\nrule = [4]\n")
    site.write("devices/odd.toml", "device = [5]\n")

    assert [(p.file, p.key) for p in site.errors()] == [
        ("devices/odd.toml", "device"),
        ("policies/odd.toml", "point"),
        ("policies/odd.toml", "rule[0]"),
        ("twins/odd.toml", "asset"),
        ("twins/odd.toml", "asset_type"),
    ]
