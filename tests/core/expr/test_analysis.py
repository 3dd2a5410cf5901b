"""What the grammar allows and the plant does not."""

from __future__ import annotations

import pytest

from gatewayd.core.expr.analysis import Analysis
from gatewayd.core.expr.parser import parse
from gatewayd.errors import ExpressionError
from tests.core.expr.plant import SECOND, TagNames

NAMES = TagNames(
    "bearing_temp",
    "ambient_temp",
    "pressure",
    "ratio",
    "position",
    "speed",
    "pump-1.flow",
    "running",
    units={"bearing_temp": "degC", "ambient_temp": "degC", "pressure": "bar", "position": "m", "speed": "m/s"},
)


def check(text, kind="condition", names=NAMES):
    Analysis(text, parse(text), names).check(kind)


@pytest.mark.parametrize(
    "text",
    [
        "bearing_temp > 85",
        "bearing_temp > ambient_temp + 10",
        "min(bearing_temp, ambient_temp) > 3",
        "bearing_temp > ratio",  # nobody said what ratio is in
        "pressure * 3 > bearing_temp",  # a product is not checked
        "pressure / bearing_temp > ratio",
        "rate(position, 60s) > speed",
        "avg(bearing_temp, 60s) > bearing_temp",
        "quality(pressure) == 2",
        "-bearing_temp < abs(ambient_temp)",
        "running == 1 and not stale(pressure) or anomaly(speed)",
        "true",
        "clamp(bearing_temp, 0, ambient_temp) > 3",
        "max(bearing_temp, 60s) - min(bearing_temp, 60s) > std(ambient_temp, 60s)",
        "count(pressure, 60s) > count(speed, 60s)",
        "vote(stale(pressure), running == 1, anomaly(speed))",
        "(bearing_temp if running == 1 else ambient_temp) > 85",
        "(3 if running == 1 else ambient_temp) > bearing_temp",
    ],
)
def test_what_the_plant_allows(text):
    check(text)


@pytest.mark.parametrize(
    ("text", "position", "said"),
    [
        ("bearing_temp > pressure", 0, "`>` joins `bearing_temp` in degC and `pressure` in bar"),
        ("ratio > 1 and bearing_temp + pressure > 3", 14, "`+` joins `bearing_temp` in degC and `pressure` in bar"),
        ("min(bearing_temp, 3, pressure) > 3", 0, "in degC and `pressure` in bar"),
        ("(bearing_temp + 1) - -pressure > 3", 0, "`-` joins `bearing_temp + 1` in degC and `-pressure` in bar"),
        ("ratio + bearing_temp < pressure", 0, "in degC and `pressure` in bar"),
        ("(pressure if running == 1 else speed) > 3", 1, "`if` joins `pressure` in bar and `speed` in m/s"),
        ("(3 if running == 1 else speed) > pressure", 0, "in m/s and `pressure` in bar"),
        ("integral(position, 60s) > position", 0, "in m*s and `position` in m"),
        ("pressure * speed > pressure", 0, "`pressure * speed` in (bar)*(m/s) and `pressure` in bar"),
        ("hysteresis(pressure, 3, speed)", 0, "`hysteresis` joins `pressure` in bar and `speed` in m/s"),
        ("age(speed) > position", 0, "`age(speed)` in s and `position` in m"),
        ("prev(speed) > pressure", 0, "`prev(speed)` in m/s and `pressure` in bar"),
        ("min(speed, 60s) > position", 0, "in m/s and `position` in m"),
        ("clamp(pressure, 0, speed) > 3", 0, "in bar and `speed` in m/s"),
        ("rate(position, 60s) > position", 0, "in m/s and `position` in m"),
        ("avg(pressure, 60s) == bearing_temp", 0, "in bar and `bearing_temp` in degC"),
    ],
)
def test_units_that_differ_are_named(text, position, said):
    error = refusal(text)
    assert said in error.message
    assert error.position == position
    assert "factor" in error.remedy


@pytest.mark.parametrize(
    ("text", "kind", "position", "said"),
    [
        ("running", "condition", 0, "the whole expression needs a condition, and `running` is a number"),
        ("ratio > 1 and running", "condition", 14, "`and` needs a condition, and `running` is a number"),
        ("running or true", "condition", 0, "`or` needs a condition"),
        ("not running", "condition", 4, "`not` needs a condition"),
        ("running for 5s", "condition", 0, "`for` needs a condition"),
        ("(ratio > 1) > 2", "condition", 1, "`>` needs a number, and `ratio > 1` is true or false"),
        ("true == true", "condition", 0, "`==` needs a number"),
        ("-true > 1", "condition", 1, "`-` needs a number"),
        ("abs(stale(ratio)) > 1", "condition", 4, "`abs` needs a number"),
        ("1 + anomaly(ratio)", "number", 4, "`+` needs a number"),
        ("1 if running else 2", "number", 5, "`if` needs a condition, and `running` is a number"),
        ("stale(ratio) if running == 1 else 1", "condition", 34, "`if` needs a condition, and `1` is a number"),
        ("2 if running == 1 else true", "number", 23, "`if` needs a number, and `true` is true or false"),
        ("vote(running, true, false)", "condition", 5, "`vote` needs a condition"),
        ("ratio > 1", "number", 0, "the whole expression needs a number, and `ratio > 1` is true or false"),
        ("ratio > 1 for 5s > 2", "condition", 0, "`>` needs a number, and `ratio > 1 for 5s` is true or false"),
    ],
)
def test_a_number_is_no_condition_and_a_condition_no_number(text, kind, position, said):
    error = refusal(text, kind)
    assert said in error.message
    assert error.position == position


@pytest.mark.parametrize(
    ("text", "position", "remedy"),
    [
        ("1 < bearing_tmp", 4, "Did you mean `bearing_temp` or `ambient_temp`?"),
        ("rate(pressuree, 60s) > 1", 5, "Did you mean `pressure`?"),
        ("pump - 1 > 3", 0, "Did you mean `pump-1.flow` (backticks included)?"),
        ("stale > 1", 0, "The function `stale` needs parentheses."),
        ("qqq > 1", 0, "`gatewayd tags list` shows every tag."),
    ],
)
def test_an_unknown_tag_is_answered_with_the_nearest_right_name(text, position, remedy):
    error = refusal(text)
    assert "there is no tag" in error.message
    assert error.position == position
    assert error.remedy == remedy


def test_a_hyphened_name_works_between_backticks():
    check("`pump-1.flow` > 3")


def test_a_window_must_span_two_samples():
    slow = TagNames("level", period_ns=10 * SECOND)
    check("avg(level, 20s) > 1", names=slow)
    error = refusal("1 < avg(level, 19s)", names=slow)
    assert "`avg(level, 19s)` looks back 19 s, and the tag is sampled every 10 s" in error.message
    assert error.remedy == "Look back at least 20 s, or scan it more often."
    assert error.position == 4


def test_a_tag_without_a_period_may_be_looked_back_on_at_will():
    check("avg(level, 1ms) > 1", names=TagNames("level", period_ns=0))


def test_sixteen_values_may_wait_for_each_other_and_no_more():
    check("ratio + (" * 15 + "ratio" + ")" * 15, "number")
    error = refusal("ratio + (" * 16 + "ratio" + ")" * 16, "number")
    assert "more than 16 values" in error.message
    assert error.position == 16 * len("ratio + (")


def test_a_for_needs_a_place_on_the_stack_for_its_duration():
    check("true or (" * 14 + "ratio > 1 for 5s" + ")" * 14)
    assert "more than 16 values" in refusal("true or (" * 15 + "true for 5s" + ")" * 15).message


def refusal(text, kind="condition", names=NAMES):
    with pytest.raises(ExpressionError) as caught:
        check(text, kind, names)
    assert caught.value.remedy
    return caught.value
