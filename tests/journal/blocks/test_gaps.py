"""What the flight recorder lost is told once when it begins and once when it ends."""

from __future__ import annotations

from gatewayd.journal.blocks.gaps import STREAM, TAIL, UNTOLD_MAX, Gaps, lost_tail
from gatewayd.model.record import Gap

RUN = 3 << 40


def lose(gaps: Gaps, first: int, last: int, reason: str = "full") -> None:
    gaps.lose(first, last, last - first + 1, reason)


def tell(gaps: Gaps) -> list[tuple[int, int, int]]:
    told = gaps.untold()
    gaps.tell(told)
    return [(gap.first, gap.last, gap.count) for gap in told]


def test_a_lost_block_is_told_at_once():
    gaps = Gaps()
    gaps.lose(5, 9, 4, "full")
    assert gaps.untold() == (Gap(STREAM, 5, 9, 4, "full"),)
    assert tell(gaps) == [(5, 9, 4)]
    assert tell(gaps) == []


def test_a_loss_that_goes_on_is_told_again_only_when_it_ends():
    gaps = Gaps()
    lose(gaps, 1, 10)
    assert tell(gaps) == [(1, 10, 10)]
    lose(gaps, 11, 20)
    lose(gaps, 21, 30)
    assert tell(gaps) == []
    gaps.end()
    assert tell(gaps) == [(11, 30, 20)]


def test_what_could_not_be_told_waits_and_keeps_its_order():
    gaps = Gaps()
    lose(gaps, 1, 10)
    lose(gaps, 41, 50, "slow")
    assert len(gaps.untold()) == 2
    assert tell(gaps) == [(1, 10, 10), (41, 50, 10)]


def test_what_is_lost_while_a_gap_is_being_journalled_is_not_taken_for_told():
    gaps = Gaps()
    lose(gaps, 1, 10)
    told = gaps.untold()
    lose(gaps, 11, 20)
    gaps.tell(told)
    gaps.end()
    assert tell(gaps) == [(11, 20, 10)]


def test_blocks_lost_one_after_the_other_before_anything_could_be_told_are_one_gap():
    gaps = Gaps()
    lose(gaps, 1, 10)
    lose(gaps, 11, 20)
    assert tell(gaps) == [(1, 20, 20)]


def test_a_loss_of_another_kind_ends_the_one_before():
    gaps = Gaps()
    lose(gaps, 1, 10)
    tell(gaps)
    lose(gaps, 11, 20)
    lose(gaps, 21, 30, "slow")
    assert tell(gaps) == [(11, 20, 10), (21, 30, 10)]


def test_gaps_that_nobody_takes_are_bounded_and_none_is_forgotten():
    gaps = Gaps()
    for place in range(UNTOLD_MAX + 5):
        lose(gaps, 10 * place, 10 * place + 3)
        gaps.untold()
        gaps.tell(())
    untold = gaps.untold()
    assert len(untold) == UNTOLD_MAX
    assert sum(gap.count for gap in untold) == 4 * (UNTOLD_MAX + 5)
    assert untold[-1].last == 10 * (UNTOLD_MAX + 4) + 3


def test_the_tail_of_a_run_begins_behind_its_last_sealed_block():
    assert lost_tail(3, RUN + 60, RUN + 42) == Gap(STREAM, RUN + 61, 0, 0, TAIL)


def test_the_tail_reaches_at_least_to_the_last_decision():
    gap = lost_tail(3, RUN + 60, RUN + 75)
    assert (gap.first, gap.last, gap.count) == (RUN + 61, RUN + 75, 15)
    assert "at least" in gap.reason


def test_a_run_without_a_sealed_block_has_lost_everything_from_its_first_cycle():
    assert lost_tail(3, (2 << 40) + 99, (2 << 40) + 99) == Gap(STREAM, RUN + 1, 0, 0, TAIL)
