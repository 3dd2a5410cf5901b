"""What is taken, dropped, refused and acknowledged (P-SYNC), without a table."""

from __future__ import annotations

import pytest

from gatewayd.cloud.ledger import Key, Ledger, Verdict
from gatewayd.sync.wire import Ack, Batch, batch_of

KEY: Key = ("gw", "journal", 1)


class Positions(dict[Key, int]):
    """The table's side: what it says of a stream."""

    def __call__(self, key: Key) -> int:
        return self.get(key, 0)


def batch(first: int, end: int, gateway: str = "gw", epoch: int = 1) -> Batch:
    return batch_of(gateway, "journal", epoch, first, [b"%d" % seq for seq in range(first, end)])


def commit(ledger: Ledger, table: Positions) -> None:
    table.update({run.key: run.end for run in ledger.waiting})
    ledger.committed()


@pytest.fixture
def table() -> Positions:
    return Positions()


@pytest.fixture
def ledger(table) -> Ledger:
    return Ledger(table)


def test_consecutive_batches_become_one_run(ledger):
    assert [ledger.offer(batch(0, 3)), ledger.offer(batch(3, 5))] == [Verdict.TAKEN, Verdict.TAKEN]
    (run,) = ledger.waiting
    assert (run.key, run.first, run.records) == (KEY, 0, [b"0", b"1", b"2", b"3", b"4"])
    assert (ledger.rows, ledger.size) == (5, 5)


def test_nothing_is_acknowledged_before_the_commit(ledger, table):
    ledger.offer(batch(0, 3))
    assert ledger.settle() == [Ack("gw", "journal", 1, 0)]
    ledger.offer(batch(3, 4))
    commit(ledger, table)
    assert ledger.settle() == [Ack("gw", "journal", 1, 4)]


def test_a_repeated_batch_is_dropped_and_acknowledged_again(ledger, table):
    ledger.offer(batch(0, 3))
    commit(ledger, table)
    ledger.settle()
    assert ledger.offer(batch(0, 3)) is Verdict.DUPLICATE
    assert ledger.rows == 0
    assert ledger.settle() == [Ack("gw", "journal", 1, 3)]


def test_of_an_overlapping_batch_only_the_new_part_is_taken(ledger):
    ledger.offer(batch(0, 3))
    assert ledger.offer(batch(1, 5)) is Verdict.TAKEN
    assert ledger.waiting[0].records == [b"0", b"1", b"2", b"3", b"4"]
    assert ledger.duplicates == 2


def test_a_gap_is_refused_whole_and_named_in_the_ack(ledger, table):
    ledger.offer(batch(0, 3))
    assert ledger.offer(batch(5, 7)) is Verdict.GAP
    commit(ledger, table)
    assert ledger.settle() == [Ack("gw", "journal", 1, 3, ((3, 5),))]


def test_a_gap_that_was_filled_meanwhile_is_not_named(ledger, table):
    ledger.offer(batch(5, 7))
    ledger.offer(batch(0, 5))
    commit(ledger, table)
    assert ledger.settle() == [Ack("gw", "journal", 1, 5)]


def test_epochs_and_gateways_are_streams_of_their_own(ledger, table):
    for offered in (batch(0, 2), batch(0, 3, epoch=2), batch(0, 4, gateway="other")):
        assert ledger.offer(offered) is Verdict.TAKEN
    commit(ledger, table)
    assert ledger.settle() == [
        Ack("gw", "journal", 1, 2),
        Ack("gw", "journal", 2, 3),
        Ack("other", "journal", 1, 4),
    ]


def test_after_a_restart_the_tables_own_position_counts(table):
    table[KEY] = 40
    ledger = Ledger(table)
    assert ledger.offer(batch(38, 42)) is Verdict.TAKEN
    assert (ledger.waiting[0].first, ledger.waiting[0].records) == (40, [b"40", b"41"])


def test_what_another_collector_landed_is_taken_out_before_the_next_attempt(ledger, table):
    ledger.offer(batch(0, 6))
    table[KEY] = 4
    ledger.refresh()
    (run,) = ledger.waiting
    assert (run.first, run.records, ledger.size) == (4, [b"4", b"5"], 2)
    table[KEY] = 9
    ledger.refresh()
    assert ledger.waiting == []
    assert ledger.settle() == [Ack("gw", "journal", 1, 9)]


def test_a_refresh_renews_the_positions_of_streams_that_do_not_wait_too(ledger, table):
    """A stale one left behind would land rows twice, and no conflict would tell."""
    ledger.offer(batch(0, 2))
    commit(ledger, table)
    table[KEY] = 5
    ledger.refresh()
    assert ledger.offer(batch(2, 5)) is Verdict.DUPLICATE


def test_a_failed_commit_is_forgotten_and_owes_no_ack(ledger, table):
    ledger.offer(batch(0, 2))
    ledger.abandon()
    assert (ledger.rows, ledger.size, ledger.settle()) == (0, 0, [])
    assert ledger.offer(batch(0, 2)) is Verdict.TAKEN


def test_remembered_positions_are_bounded(table):
    ledger = Ledger(table, streams_max=10)
    for number in range(50):
        ledger.offer(batch(0, 1, gateway=f"gw{number}"))
        commit(ledger, table)
        ledger.settle()
    assert len(ledger._positions) == 10
    assert ledger.offer(batch(0, 1, gateway="gw0")) is Verdict.DUPLICATE
