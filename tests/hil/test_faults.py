"""`make fault-test` in small: whichever call to the disk fails, what was acknowledged before and after is there."""

from __future__ import annotations

import pytest

from hil.faults import campaign

FAULTS = 16


@pytest.mark.slow
@pytest.mark.timeout(240)
def test_calls_that_fail_or_are_the_last_lose_nothing_that_was_acknowledged(tmp_path):
    """P-JOURNAL. A journal that goes on after a fault keeps both what it had and what it takes on."""
    result = campaign(tmp_path / "faults", most=FAULTS, seed=16)

    assert result.first_failure == ""
    assert result.faults == FAULTS
    assert len(result.ends) > 1, "every run ended in the same way: the faults hit nothing"
    assert result.passed
