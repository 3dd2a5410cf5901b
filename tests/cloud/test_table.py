"""Real Delta tables: rows and positions in one transaction (P-SYNC)."""

from __future__ import annotations

from pathlib import Path

import pytest
from deltalake import DeltaTable

from gatewayd.cloud import table as table_module
from gatewayd.cloud.ledger import Key, Run
from gatewayd.cloud.read import check_table, read_table
from gatewayd.cloud.table import UNDECODED, JournalTable, TableConflict, leaf_head
from gatewayd.errors import StoreError
from gatewayd.model.record import FLAG_SEALED, Kind
from tests.sync.outbound import leaf

KEY: Key = ("acme.example/gw/1", "journal", 1)


def run(first: int, end: int, key: Key = KEY) -> Run:
    return Run(key, first, [leaf(seq) for seq in range(first, end)])


@pytest.fixture
def folder(tmp_path) -> Path:
    return tmp_path / "table"


def test_a_new_table_holds_nothing_of_any_stream(folder):
    assert JournalTable(folder).landed_upto(KEY) == 0


def test_rows_and_position_survive_a_restart_of_the_collector(folder):
    JournalTable(folder).append([run(0, 3)], received_ns=7)
    again = JournalTable(folder)
    assert again.landed_upto(KEY) == 3
    assert read_table(folder) == [(*KEY, seq, leaf(seq)) for seq in range(3)]


def test_a_row_carries_kind_wall_time_and_when_it_was_received(folder):
    JournalTable(folder).append([run(0, 1)], received_ns=7)
    (batch,) = DeltaTable(folder).scan(columns=["kind", "wall_ns", "received_ns"])
    assert [batch.column(place).to_pylist() for place in range(3)] == [
        [int(Kind.MODE)],
        [1_750_000_000_000_000_000],
        [7],
    ]


def test_one_transaction_moves_many_streams(folder):
    table = JournalTable(folder)
    other: Key = ("acme.example/gw/2", "journal", 5)
    table.append([run(0, 3), run(0, 2, other)], received_ns=1)
    assert (table.landed_upto(KEY), table.landed_upto(other), DeltaTable(folder).version()) == (3, 2, 1)


def test_of_two_collectors_on_one_table_the_slower_is_told_and_lands_nothing(folder):
    first, second = JournalTable(folder), JournalTable(folder)
    first.append([run(0, 3)], received_ns=1)
    with pytest.raises(TableConflict):
        second.append([run(0, 3)], received_ns=1)
    second.refresh()
    assert second.landed_upto(KEY) == 3
    second.append([run(3, 4)], received_ns=1)
    assert check_table(folder).rows == 4
    assert check_table(folder).is_exact


def test_rows_that_do_not_follow_the_tables_position_are_refused_even_without_a_race(folder):
    """The last line of defence: a handle that moved (by a compaction, say) under a position that did not."""
    table, other = JournalTable(folder), JournalTable(folder)
    other.append([run(0, 3)], received_ns=1)
    table.refresh()
    for stale in (run(0, 3), run(2, 5), run(4, 5)):
        with pytest.raises(TableConflict):
            table.append([stale], received_ns=1)
    assert check_table(folder).rows == 3


def test_compaction_keeps_rows_and_positions_and_merges_files(folder, monkeypatch):
    monkeypatch.setattr(table_module, "COMPACT_EVERY", 5)
    table = JournalTable(folder)
    for first in range(0, 10, 2):
        assert not table.compaction_due
        table.append([run(first, first + 2)], received_ns=1)
    assert table.compaction_due
    table.compact()
    assert not table.compaction_due
    again = JournalTable(folder)
    assert again.landed_upto(KEY) == 10
    assert len(again._table.file_uris()) == 1
    table.append([run(10, 12)], received_ns=1)
    assert [row[3] for row in read_table(folder)] == list(range(12))


def test_two_collectors_that_compact_the_same_files_do_not_double_the_rows(folder):
    """deltalake itself sees no conflict here: a compaction from a stale version puts every row in twice."""
    JournalTable(folder).append([run(0, 3)], received_ns=1)
    first, second = JournalTable(folder), JournalTable(folder)
    first.append([run(3, 6)], received_ns=1)
    second.refresh()
    assert first.compact()
    assert second.compact()
    assert check_table(folder).rows == 6
    assert check_table(folder).is_exact


def test_while_one_collector_compacts_another_leaves_it_alone(folder):
    table = JournalTable(folder)
    table.append([run(0, 3)], received_ns=1)
    version = table._table.version()
    with table_module._try_lock(folder / table_module.COMPACTION_LOCK) as is_ours:
        assert is_ours
        assert not table.compact()
    assert table._table.version() == version
    assert table.compact()


def test_a_leaf_that_does_not_decode_is_kept_with_kind_minus_one_and_counted(folder):
    rubbish = [b"", b"\x01", b"not a leaf", bytes((1, FLAG_SEALED)) + leaf(3)[2:], leaf(99), b"\x63\x00" + leaf(5)[2:]]
    table = JournalTable(folder)
    table.append([Run(KEY, 0, [*rubbish, leaf(6)])], received_ns=1)
    assert table.undecoded == len(rubbish)
    assert [row[4] for row in read_table(folder)] == [*rubbish, leaf(6)]
    kinds = [kind for batch in DeltaTable(folder).scan(columns=["kind"]) for kind in batch.column(0).to_pylist()]
    assert sorted(kinds) == [UNDECODED] * len(rubbish) + [int(Kind.MODE)]


def test_a_wall_time_that_no_column_can_hold_does_not_decode():
    import msgspec

    from gatewayd.model.record import ClockQuality, Leaf, ModeChanged

    late = Leaf(0, 2**63, 0, b"b" * 16, ClockQuality.NTP, ModeChanged("AUTO", "x"))
    assert leaf_head(b"\x01\x00" + msgspec.msgpack.encode(late), 0).kind == UNDECODED


def test_a_folder_with_another_table_is_refused(folder):
    from arro3.core import Array, DataType, Table
    from deltalake import write_deltalake

    write_deltalake(folder, Table.from_pydict({"x": Array([1], DataType.int64())}))
    with pytest.raises(StoreError, match="other columns") as refusal:
        JournalTable(folder)
    assert refusal.value.remedy


def test_a_place_that_cannot_be_a_folder_is_an_error_with_a_remedy(tmp_path):
    (tmp_path / "file").write_text("x")
    with pytest.raises(StoreError) as refusal:
        JournalTable(tmp_path / "file" / "table")
    assert "may write there" in refusal.value.remedy
