"""Index keys sort so that the newest is found from the end."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from gatewayd.journal.index import decision_key, kind_term, marks_of, outcomes_prefix, places_back, point_term, rows_of
from gatewayd.model.record import Kind
from gatewayd.store.tables import u64
from tests.journal.samples import decision, gap, outcome

ids = st.integers(0, 2**63)


@given(ids, ids)
def test_decisions_sort_by_their_ids(a, b):
    assert (decision_key(a) < decision_key(b)) == (a < b)


def test_a_tile_is_found_by_what_its_records_have_in_common():
    records = [gap(), decision(3, point="a.b"), outcome(3), decision(4, point="a.c"), decision(5, point="a.b")]
    rows = rows_of(7, [(place, marks_of(record.body)) for place, record in enumerate(records)])
    assert rows == {
        decision_key(3): u64(7),
        outcomes_prefix(3) + u64(1794): b"",
        kind_term(Kind.GAP) + u64(7): bytes([0]),
        kind_term(Kind.DECISION) + u64(7): bytes([1, 3, 4]),
        kind_term(Kind.OUTCOME) + u64(7): bytes([2]),
        point_term("a.b") + u64(7): bytes([1, 4]),
        point_term("a.c") + u64(7): bytes([3]),
    }
    assert list(places_back(rows[point_term("a.b") + u64(7)])) == [4, 1]


def test_a_record_is_marked_by_its_kind_and_what_it_decides():
    assert marks_of(decision(3, point="a.b").body) == ((kind_term(Kind.DECISION), point_term("a.b")), 3, 0)
    assert marks_of(outcome(3).body) == ((kind_term(Kind.OUTCOME),), 0, 3)
    assert marks_of(gap().body) == ((kind_term(Kind.GAP),), 0, 0)


def test_a_point_whose_name_begins_another_is_apart():
    assert not point_term("pump_10.x").startswith(point_term("pump_1"))
