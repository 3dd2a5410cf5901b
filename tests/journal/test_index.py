"""Index keys sort so that the newest is found from the end."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from gatewayd.journal.index import decision_key, kind_prefix, outcomes_prefix, point_prefix, rows_of
from gatewayd.journal.leaf import draft
from gatewayd.model.record import Kind
from gatewayd.store.tables import u64
from tests.journal.samples import decision, gap, outcome

ids = st.integers(0, 2**63)


@given(ids, ids)
def test_decisions_sort_by_their_ids(a, b):
    assert (decision_key(a) < decision_key(b)) == (a < b)


def test_each_kind_of_record_is_found_by_what_people_ask_for():
    assert rows_of(draft(gap()), 5) == [(kind_prefix(Kind.GAP) + u64(5), b"")]
    assert rows_of(draft(outcome(3)), 9)[1:] == [(outcomes_prefix(3) + u64(9), b"")]
    assert rows_of(draft(decision(3, point="a.b")), 7)[1:] == [
        (decision_key(3), u64(7)),
        (point_prefix("a.b") + u64(3), u64(7)),
    ]


def test_a_point_whose_name_begins_another_is_apart():
    assert not point_prefix("pump_10.x").startswith(point_prefix("pump_1"))
