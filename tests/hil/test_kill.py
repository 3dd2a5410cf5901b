"""`make kill-test` in small: whatever moment the daemon dies at, nothing acknowledged is lost and nothing doubled."""

from __future__ import annotations

import pytest

from hil.kill import _undecided, campaign

KILLS = 10


@pytest.mark.slow
@pytest.mark.timeout(240)
def test_ten_kills_under_load_lose_double_and_invent_nothing(tmp_path):
    """Each figure comes from bytes: the lake's table, the store, and the PLC's own log of the writes it received."""
    result = campaign(tmp_path / "kill", kills=KILLS, seed=10)

    assert (result.lost, result.doubled, result.undecided) == (0, 0, 0)
    assert result.verified
    assert result.kills == KILLS
    assert result.records > KILLS
    assert 0 < result.writes <= result.decisions
    assert result.passed


def test_a_write_counts_as_undecided_unless_an_earlier_decision_of_its_own_accounts_for_it():
    """The judge itself is judged: an accusation it cannot make would prove nothing."""
    decisions = [(10, 1.0), (20, 2.0)]
    assert _undecided(decisions, [(11, 1.0), (21, 2.0)]) == 0
    assert _undecided(decisions, [(9, 1.0)]) == 1  # written before its decision
    assert _undecided(decisions, [(11, 1.0), (12, 1.0)]) == 1  # one decision, two writes
    assert _undecided(decisions, [(30, 3.0)]) == 1  # never decided
