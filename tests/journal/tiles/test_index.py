"""The index: terms, places and times of full tiles, in rows that sort so that the newest is found from the end."""

from __future__ import annotations

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from gatewayd.journal.tiles.index import (
    BITMAP_BYTES,
    Entry,
    actor_term,
    asset_of,
    asset_term,
    decision_key,
    index_of,
    kind_term,
    marks_of,
    outcomes_prefix,
    packed,
    point_term,
    rule_term,
    span_key,
    span_of,
    span_over,
    span_row,
    tag_term,
    tags_of,
    term_key,
    tiles_of,
    unpacked,
    with_tile,
)
from gatewayd.model.record import EvidenceRow, EvidenceSlice, Kind
from gatewayd.store.tables import u64
from tests.journal.samples import decision, gap, outcome

ids = st.integers(0, 2**63)


@given(ids, ids)
def test_decisions_sort_by_their_ids(a, b):
    assert (decision_key(a) < decision_key(b)) == (a < b)


def slice_of(*tags):
    rows = tuple(EvidenceRow(tag, "plc-1", 1.0, 0, 1, 2, 3) for tag in tags)
    return msgspec.msgpack.encode(EvidenceSlice(1, "x > 1", rows, ()))


def test_a_tile_is_found_by_what_its_records_have_in_common():
    records = [gap(), decision(3, point="a.b"), outcome(3), decision(4, point="a.c"), decision(5, point="a.b")]
    walls = [50, 20, 30, 40, 10]
    slices = [b"", slice_of("a.t", "a.t"), b"", slice_of("a.u", "a.t"), b"no slice"]
    found = index_of(
        7,
        [Entry(place, marks_of(record.body), walls[place], slices[place]) for place, record in enumerate(records)],
    )
    assert found.rows == {
        decision_key(3): u64(7),
        outcomes_prefix(3) + u64(1794): b"",
        span_key(0, 7): span_row(10, 50),
    }
    assert found.places == {
        kind_term(Kind.GAP): bytes([0]),
        kind_term(Kind.DECISION): bytes([1, 3, 4]),
        kind_term(Kind.OUTCOME): bytes([2]),
        point_term("a.b"): bytes([1, 4]),
        point_term("a.c"): bytes([3]),
        asset_term("a"): bytes([1, 3, 4]),
        rule_term("bearing-hot"): bytes([1, 3, 4]),
        actor_term(1001): bytes([1, 3, 4]),
    }
    assert found.tags == {tag_term("a.t"): bytes([1, 3]), tag_term("a.u"): bytes([3])}


@given(st.sets(st.integers(0, 255), min_size=1))
def test_places_of_a_tile_take_at_most_32_bytes_and_come_back(places):
    bits = sum(1 << place for place in places)
    assert len(packed(bits)) <= BITMAP_BYTES
    assert unpacked(packed(bits)) == bits


@given(st.dictionaries(st.integers(32, 47), st.integers(1, 2**256 - 1), min_size=1))
def test_a_row_tells_of_up_to_16_tiles_in_order(found):
    key, row = term_key(kind_term(Kind.GAP), 32), b""
    for tile in sorted(found):
        assert term_key(kind_term(Kind.GAP), tile) == key
        row = with_tile(row, tile, packed(found[tile]))
    assert dict(tiles_of(key, row)) == {tile: packed(bits) for tile, bits in found.items()}
    assert [tile for tile, _ in tiles_of(key, row)] == sorted(found)


def test_a_tile_that_is_told_of_again_replaces_what_was_told_from_there_on():
    row = with_tile(with_tile(b"", 3, b"\x01"), 4, b"\x02")
    assert with_tile(row, 4, b"\x09") == with_tile(with_tile(b"", 3, b"\x01"), 4, b"\x09")


def test_the_times_of_tiles_need_not_rise():
    rows = [span_row(5, 9), span_row(1, 2), span_row(7, 8)]
    assert span_of(span_over(rows)) == (1, 9)


def test_the_asset_of_a_point_is_what_stands_before_its_last_dot():
    assert [asset_of(name) for name in ("pump_1.speed", "a.b.c", "lonely")] == ["pump_1", "a.b", ""]


def test_tags_are_those_of_the_slice_and_what_is_no_slice_has_none():
    assert tags_of(slice_of("a.t", "a.u")) == ("a.t", "a.u")
    assert tags_of(b"evidence of decision 7") == tags_of(b"") == ()
    assert tags_of(slice_of("a.t").replace(b"a.t", b"a.\xff")) == (), "it is not UTF-8"


def test_a_record_is_marked_by_its_kind_and_what_it_decides():
    terms = (kind_term(Kind.DECISION), point_term("a.b"), asset_term("a"), rule_term("bearing-hot"), actor_term(1001))
    assert marks_of(decision(3, point="a.b").body) == (terms, 3, 0)
    assert marks_of(outcome(3).body) == ((kind_term(Kind.OUTCOME),), 0, 3)
    assert marks_of(gap().body) == ((kind_term(Kind.GAP),), 0, 0)


def test_terms_of_a_letter_have_one_length_so_that_none_begins_another():
    assert len({len(point_term(name)) for name in ("a", "pump_1", "pump_10.x")}) == 1
    assert len({point_term("a"), asset_term("a"), rule_term("a"), tag_term("a")}) == 4
