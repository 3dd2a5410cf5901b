"""`make damage-test` in small: whatever is damaged in the store, the gateway starts, serves nothing wrong and says so."""

from __future__ import annotations

import pytest

from hil.damage import Harm, campaign

FLIPS, TRUNCATIONS = 40, 10


@pytest.mark.slow
@pytest.mark.timeout(240)
def test_fifty_damaged_stores_start_serve_nothing_wrong_and_tell_of_the_gap(tmp_path):
    """The last of them with the real daemon."""
    result = campaign(tmp_path / "damage", flips=FLIPS, truncations=TRUNCATIONS, seed=3)

    assert result.first_failure == ""
    assert result.failed == 0
    assert result.cases == FLIPS + TRUNCATIONS
    assert result.daemons == 1
    assert result.slowest_s < 60
    assert {"given up", "named"} <= set(result.outcomes), "the damage hit nothing: the test would prove nothing"
    assert result.passed


def test_a_flip_changes_its_bit_and_nothing_else(tmp_path):
    (tmp_path / "redo").write_bytes(bytes(4))
    Harm(is_killed=True, file="redo", flips=(0, 31)).do(tmp_path)
    assert (tmp_path / "redo").read_bytes() == b"\x01\0\0\x80"


def test_a_truncation_keeps_what_lies_before_it(tmp_path):
    (tmp_path / "redo").write_bytes(b"abcd")
    Harm(is_killed=True, file="redo", size=2).do(tmp_path)
    assert (tmp_path / "redo").read_bytes() == b"ab"
