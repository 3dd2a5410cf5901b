"""What several callers ask for becomes the rows of one batch."""

from __future__ import annotations

from gatewayd.journal.batch import Item, apply_items
from gatewayd.journal.leaf import Stamp, draft
from gatewayd.journal.reserve import Reserve
from gatewayd.journal.tiles.bundle import slice_key
from gatewayd.model.decision import NewRecord
from gatewayd.model.record import ClockQuality
from gatewayd.proof.merkle import leaf_hash
from gatewayd.proof.tiles import Tree
from gatewayd.store.tables import Table, u64
from gatewayd.store.transaction import Batch
from tests.journal.samples import command, decision, gap, outcome

STAMP = Stamp(1, 2, bytes(16), ClockQuality.NTP)


EMPTY = Tree()


def rows(items: list[Item], tree: Tree = EMPTY) -> tuple[Tree, list[tuple[int, ...]], dict]:
    batch = Batch()
    grown, seqs = apply_items(batch, items, tree, STAMP)
    found: dict[Table, dict[bytes, bytes | None]] = {}
    for table, key, value in batch.changes:
        found.setdefault(table, {})[key] = value
    return grown, seqs, found


def of(*records: NewRecord, **more: object) -> Item:
    return Item(tuple(draft(record) for record in records), **more)


def test_records_follow_each_other_in_the_order_of_the_callers():
    grown, seqs, found = rows([of(gap(1), gap(2)), of(), of(decision(1))])
    assert seqs == [(0, 1), (), (2,)]
    assert sorted(found[Table.ENTRY]) == [u64(0), u64(1), u64(2)]
    young = [found[Table.ENTRY][u64(seq)] for seq in range(3)]
    assert [row[:32] for row in young] == [leaf_hash(row[32:]) for row in young]
    assert grown == Tree().grown([row[:32] for row in young])[0]


def test_without_records_the_tree_stays_as_it_is():
    tree = rows([of(gap(1))])[0]
    grown, _, found = rows([of(saves={"kept": b"x", "gone": b""}), of(resolves=(7,))], tree)
    assert grown is tree
    assert found[Table.SAVE][b"gone"] is None
    assert found[Table.SAVE][b"kept"].endswith(b"x")
    assert found[Table.INTENT] == {u64(7): None}


def test_what_comes_with_a_record_stands_beside_it():
    record = decision(1)
    _, _, found = rows([of(record, intents=(command(1),))])
    assert found[Table.EVIDENCE] == {slice_key(0): record.evidence}
    assert Table.INDEX not in found
    assert list(found[Table.INTENT]) == [u64(1)]


def test_rows_of_others_are_told_the_records_places():
    told = []
    rows([of(gap(1)), of(gap(2), gap(3), extra=lambda writing, seqs: told.append(seqs))])
    assert told == [(1, 2)]


def test_last_words_may_use_the_reserve_and_decisions_may_not():
    assert of(gap(1), NewRecord(outcome(1).body)).reserve is Reserve.LAST_WORDS
    assert of(decision(1)).reserve is Reserve.NONE
    assert of(gap(1), decision(1)).reserve is Reserve.NONE, "they are durable together or not at all"
    assert of(gap(1), extra=lambda *_: None).reserve is Reserve.NONE
    assert of(extra=lambda *_: None, gives_room=True).reserve is Reserve.LAST_WORDS
    assert of(saves={"kept": b"x"}).reserve is Reserve.LAST_WORDS
