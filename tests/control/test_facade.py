"""How tags are matched by name."""

from __future__ import annotations

import pytest

from gatewayd.control.facade import name_matcher


@pytest.mark.parametrize(
    ("glob", "matches"),
    [
        ("", True),
        ("*", True),
        ("pump_1.*", True),
        ("plc1/*", True),
        ("*temp", True),
        ("pump_1.bearing_tem?", True),
        ("pump_[12].*", True),
        ("pump_1", False),
        ("PUMP_1.*", False),
        ("[", False),
    ],
)
def test_a_glob_covers_the_whole_name_or_the_whole_alias(glob, matches):
    assert name_matcher(glob)("plc1/p1_temp", "pump_1.bearing_temp") is matches


def test_a_tag_without_alias_is_not_matched_by_an_empty_one():
    assert name_matcher("?*.?*")("plc1/spare", "") is False


def test_a_glob_full_of_stars_ends_soon():
    """A pattern from outside must not cost more than its length."""
    assert name_matcher("*a" * 60 + "b")("a" * 128, "a" * 128) is False
