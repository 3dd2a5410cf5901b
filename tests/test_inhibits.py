"""Automatic writes come back when the last cause is gone, and not before."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from gatewayd.inhibits import Inhibit, Inhibits

STEPS = st.lists(st.tuples(st.booleans(), st.sampled_from(Inhibit)), max_size=40)


def test_the_first_cause_stops_and_the_last_one_permits() -> None:
    inhibits = Inhibits()
    assert inhibits.begin(Inhibit.STORAGE, "the disk is nearly full")
    assert not inhibits.begin(Inhibit.JOURNAL, "journal is full")
    assert inhibits.reasons == ("the disk is nearly full", "journal is full")
    assert not inhibits.end(Inhibit.STORAGE)
    assert inhibits.is_only(Inhibit.JOURNAL)
    assert inhibits.end(Inhibit.JOURNAL)
    assert inhibits.reasons == ()


def test_a_cause_that_does_not_stand_cannot_end() -> None:
    inhibits = Inhibits()
    assert not inhibits.end(Inhibit.SETTLING)
    inhibits.begin(Inhibit.EPOCH, "look")
    assert not inhibits.end(Inhibit.SETTLING)
    assert inhibits.stands(Inhibit.EPOCH)


@given(STEPS)
def test_writes_are_permitted_exactly_when_nothing_stands(steps: list[tuple[bool, Inhibit]]) -> None:
    inhibits, model, writes = Inhibits(), set(), True
    for begins, inhibit in steps:
        if begins:
            writes = False if inhibits.begin(inhibit, "why") else writes
            model.add(inhibit)
        else:
            writes = True if inhibits.end(inhibit) else writes
            model.discard(inhibit)
        assert writes is not bool(model)
