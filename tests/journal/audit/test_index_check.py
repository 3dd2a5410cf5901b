"""The index of a tile, compared with its records; how each part is found wrong stands in test_sound_tile.py."""

from __future__ import annotations

import pytest

from gatewayd.journal.audit.index_check import Told
from gatewayd.journal.tiles import index
from gatewayd.store.tables import Table
from tests.journal.samples import open_store

TERM, TAG = index.rule_term("hot"), index.tag_term("a.t")


@pytest.fixture
def store(tmp_path):
    store = open_store(tmp_path)
    store.write(lambda writing: [writing.put(Table.INDEX, key, row) for key, row in stored().items()])
    yield store
    store.close()


def stored() -> dict[bytes, bytes]:
    rows = {index.outcome_key(number, 900 + number): b"" for number in range(5)}
    rows |= {index.outcome_key(number, 9_000 + number): b"" for number in range(5)}  # of another tile, in between
    rows[index.term_key(TERM, 3)] = index.with_tile(index.with_tile(b"", 2, b"\x01"), 3, b"\x04\x05")
    rows[index.term_key(TAG, 3)] = index.with_tile(b"", 3, b"\x07\x08")
    return rows


def tile(*, outcomes=range(5), places=b"\x04\x05", tags=b"\x07\x08") -> index.TileIndex:
    rows = {index.outcome_key(number, 900 + number): b"" for number in outcomes}
    return index.TileIndex(rows, {TERM: places}, {TAG: tags})


def told(store, found, *, is_evidence_kept=True) -> bool:
    return store.read(lambda reading: Told(reading).agrees(3, found, is_evidence_kept=is_evidence_kept))


def test_an_index_that_says_what_it_should_is_sound(store):
    assert told(store, tile())
    assert told(store, tile(outcomes=()))


def test_an_outcome_or_a_place_that_is_not_told_is_noticed(store):
    assert not told(store, tile(outcomes=range(6)))
    assert not told(store, tile(places=b"\x04\x05\x06"))
    assert not told(store, tile(tags=b"\x07\x08\x09"), is_evidence_kept=False)


def test_tags_of_evidence_that_was_pruned_may_be_told_beside_the_others(store):
    assert told(store, tile(tags=b"\x07"), is_evidence_kept=False)
    assert not told(store, tile(tags=b"\x07"), is_evidence_kept=True)
    assert not told(store, tile(places=b"\x04"), is_evidence_kept=False), "only of tags"


@pytest.mark.parametrize("after", [b"\x03\x01\x04", b"\x02\x01\x01"])
def test_a_row_that_tells_of_a_tile_twice_is_noticed(store, after):
    key = index.term_key(TERM, 3)
    store.write(lambda writing: writing.put(Table.INDEX, key, stored()[key] + after))
    assert not told(store, tile())
