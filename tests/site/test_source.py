from __future__ import annotations

import pytest

from gatewayd.site.source import Origin, Source, spelled, toml_lines

TEXT = '''# comment = 1
top = 1
[device]
name = "a"
"quoted key" = 2
[device.scan_classes.fast]   # a table
scan_rate_ms = 100
[[rule]]
id = "one"
then = { set = "x", to = "y" }
[[rule]]
text = """
id = "not a key"
"""
id = "two"
[rule.alarm]
text = "t"
a.b.c = 1
'''


def test_every_key_and_table_has_its_line():
    lines = toml_lines(TEXT)

    assert lines[("top",)] == 2
    assert lines[("device", "name")] == 4
    assert lines[("device", "quoted key")] == 5
    assert lines[("device", "scan_classes", "fast", "scan_rate_ms")] == 7
    assert lines[("rule", 0, "id")] == 9
    assert lines[("rule", 1, "id")] == 15
    assert lines[("rule", 1, "alarm", "text")] == 17
    assert lines[("rule", 1, "alarm", "a", "b", "c")] == 18


def test_a_key_of_an_inline_table_has_the_line_of_the_table():
    assert Source("f", TEXT).line_of(("rule", 0, "then", "set")) == 10


def test_an_unknown_place_has_the_line_of_what_is_around_it_or_none():
    assert Source("f", TEXT).line_of(("device", "host")) == 3
    assert Source("f", TEXT).line_of(("nothing",)) == 0


def test_a_key_path_is_spelled_as_people_read_it():
    assert spelled(("rule", 0, "then", "set")) == "rule[0].then.set"


def test_an_unknown_name_suggests_the_nearest():
    problem = Origin(Source("f", TEXT), ("device", "name")).unknown(
        "plc_l", what="device", known=["plc_1", "scada_1"], remedy="The devices are plc_1, scada_1."
    )

    assert problem.message == "device.name: there is no device 'plc_l'; did you mean plc_1?"
    assert problem.remedy == "Write plc_1, or: the devices are plc_1, scada_1."
    assert problem.line == 4


@pytest.mark.parametrize(
    ("text", "position"),
    [
        ('[a]\nwhen = "x > y"\n', (2, 13)),
        ("[a]\nwhen = 'x > y'\n", (2, 13)),
        ('[a]\nwhen = """x > y"""\n', (2, 15)),
        ('[a]\nthen = { when = "x > y" }\n', (2, 22)),
        ('[a]\nwhen = "x \\u003e y"\n', (2, 0)),
    ],
    ids=["basic", "literal", "multi-line", "inline", "escaped"],
)
def test_a_character_of_a_value_has_a_line_and_a_column_if_it_reads_as_it_is_spelled(text, position):
    assert Source("x.toml", text).position_of(("a", "when"), "x > y", 4) == position
