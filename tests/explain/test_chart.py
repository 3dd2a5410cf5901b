"""The drawing: well-formed, bounded, with the moments and limits, and words for who cannot see it."""

from __future__ import annotations

from datetime import UTC
from xml.etree import ElementTree as ET

from hypothesis import given
from hypothesis import strategies as st

from gatewayd.explain.chart import Limit, Mark, chart, ticks
from gatewayd.model.account import Trend

S = 1_000_000_000
NOW_NS = 1_750_000_000 * S


def trend(*values: float | None, tag: str = "pump.speed") -> Trend:
    times = tuple(NOW_NS + place * S for place in range(len(values)))
    return Trend(tag=tag, units="%", source="recorder", times_ns=times, values=values)


def of_class(drawn: ET.Element, name: str) -> list[ET.Element]:
    return [element for element in drawn.iter() if name in element.get("class", "").split()]


def test_the_moments_limits_units_and_both_times_are_on_it():
    marks = [Mark("decision", NOW_NS + S), Mark("write", NOW_NS + 2 * S), Mark("read-back", 0)]
    drawn = ET.fromstring(chart([trend(80.0, 40.0)], marks, [Limit("pump.speed", "write_max", 90.0)], UTC))
    said = " ".join(drawn.itertext())
    assert [mark.text for mark in of_class(drawn, "mark-name")] == ["decision", "write"]
    assert "write_max 90" in said
    assert "pump.speed [%]" in said
    assert " local" in said
    assert " UTC" in said
    assert "2 samples, 40 to 80 %" in drawn.findtext("desc")


def test_the_line_ends_where_a_sample_is_not_good():
    (line,) = of_class(ET.fromstring(chart([trend(1.0, None, 2.0)], [], [])), "line")
    assert line.get("d").count("M") == 2


def test_hostile_names_stay_text():
    drawn = ET.fromstring(chart([trend(1.0, tag="<script>alert(1)</script>\x1b[2J")], [Mark("<b>", NOW_NS)], []))
    assert not [element for element in drawn.iter() if element.tag in {"script", "b"}]
    assert "\x1b" not in "".join(drawn.itertext())


def test_nothing_to_draw_is_nothing():
    assert chart([], [Mark("decision", NOW_NS)], []) == ""


@given(st.lists(st.none() | st.floats(-1e12, 1e12, allow_nan=False), min_size=1, max_size=50))
def test_any_values_are_drawn(values):
    drawn = ET.fromstring(chart([trend(*values)], [Mark("decision", NOW_NS)], []))
    assert "nan" not in ET.tostring(drawn, encoding="unicode").replace("nance", "")


def test_ticks_are_round_and_few():
    assert ticks(0.0, 100.0) == [0.0, 50.0, 100.0]
    assert ticks(80.4, 86.1) == [82.0, 84.0, 86.0]
    assert ticks(1.0, 1.0) == [1.0]
