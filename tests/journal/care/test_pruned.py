"""How far the log was pruned, in words and as a tree; the rest is in test_prune.py."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gatewayd.errors import RequestRefused
from gatewayd.facade import told_when_pruned
from gatewayd.journal.care.pruned import PrunedState, date_of, first_tree, pruned_state, refuse_pruned, state_row
from gatewayd.proof.tiles import Tree

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@given(st.integers(0, 253_402_300_799))
def test_a_day_is_written_as_everybody_does(second):
    assert date_of(second * 10**9) == (EPOCH + timedelta(seconds=second)).date().isoformat()


def test_a_log_that_was_never_pruned_begins_at_its_beginning(journal):
    assert journal.store.read(pruned_state) == PrunedState()
    assert journal.store.read(first_tree) == Tree()


def test_the_words_say_how_far_when_and_who_has_it():
    state = PrunedState(512, 9, 1_750_000_000_000_000_000, "mirror.example/two")
    error = refuse_pruned("decision 7", state)
    assert error.message == (
        "decision 7 is not here any more: records 0 to 511 were pruned on 2025-06-15; "
        "the mirror mirror.example/two has them"
    )
    assert state_row(state).startswith(b"\x94\xcd\x02\x00\x09")


def test_the_api_refuses_what_was_pruned_instead_of_calling_the_store_broken():
    state = PrunedState(512, 9, 1_750_000_000_000_000_000, "mirror.example/two")
    with pytest.raises(RequestRefused, match="decision 7 is not here any more"), told_when_pruned():
        raise refuse_pruned("decision 7", state)
