"""The order of notification messages, whatever order they arrive in."""

from __future__ import annotations

import random

import pytest

from gatewayd.device.opcua.monitoring import Notification
from gatewayd.device.opcua.sequence import HELD_MAX, NUMBER_MAX, Sequence, after, is_before


def data(number: int) -> Notification:
    return Notification(number, False, ())


def alive(number: int) -> Notification:
    return Notification(number, True, ())


def numbers(messages: list[Notification]) -> list[int]:
    return [message.sequence for message in messages]


def test_messages_in_order_pass_at_once():
    sequence = Sequence()
    assert [numbers(sequence.take(data(n))) for n in (1, 2, 3)] == [[1], [2], [3]]
    assert sequence.is_whole
    assert sequence.missing == (0, 0)


def test_a_message_that_is_early_waits_for_those_before_it():
    sequence = Sequence()
    assert [numbers(sequence.take(data(n))) for n in (1, 3, 4, 2)] == [[1], [], [], [2, 3, 4]]


def test_a_message_sent_again_is_taken_once():
    """P-STALE: a re-sent value gets no fresh time, because it is not taken."""
    sequence = Sequence()
    sequence.take(data(1))
    sequence.take(data(2))
    assert sequence.take(data(1)) == [] == sequence.take(data(2))


def test_a_keep_alive_shows_what_was_lost_before_it():
    sequence = Sequence()
    sequence.take(data(1))
    sequence.take(alive(2))
    assert sequence.is_whole
    sequence.take(alive(4))
    assert sequence.missing == (2, 2)


def test_what_is_given_up_is_skipped_and_the_rest_goes_on():
    sequence = Sequence()
    for n in (1, 4, 5, 9):
        sequence.take(data(n))
    assert sequence.missing == (2, 2)
    assert numbers(sequence.give_up()) == [4, 5]
    assert sequence.missing == (6, 3)
    assert numbers(sequence.give_up()) == [9]
    assert sequence.is_whole


def test_a_hole_that_only_a_keep_alive_shows_is_given_up_too():
    sequence = Sequence()
    sequence.take(data(1))
    sequence.take(alive(4))
    assert sequence.give_up() == []
    assert sequence.is_whole
    assert numbers(sequence.take(data(4))) == [4]


def test_the_count_turns_to_one_not_zero():
    sequence = Sequence()
    sequence.take(data(NUMBER_MAX - 1))
    assert numbers(sequence.take(data(1))) == []
    assert sequence.missing == (NUMBER_MAX, 1)
    assert numbers(sequence.take(data(NUMBER_MAX))) == [NUMBER_MAX, 1]
    assert (after(NUMBER_MAX), is_before(NUMBER_MAX, 1), is_before(1, NUMBER_MAX)) == (1, True, False)


def test_a_subscription_may_begin_at_any_number():
    sequence = Sequence()
    assert numbers(sequence.take(data(17))) == [17]


def test_what_waits_behind_a_hole_is_bounded():
    """P-BOUND"""
    sequence = Sequence()
    sequence.take(data(1))
    passed = [numbers(sequence.take(data(3 + n))) for n in range(HELD_MAX + 1)]
    assert passed[-1] == list(range(3, 4 + HELD_MAX))


@pytest.mark.parametrize("seed", range(20))
def test_any_order_comes_out_sorted_and_nothing_twice(seed):
    rng = random.Random(seed)
    order = sorted(range(1, 40), key=lambda n: n + rng.uniform(0, 8))
    sequence = Sequence()
    sequence.take(alive(1))
    out: list[int] = []
    for number in order:
        out += numbers(sequence.take(data(number)))
        if rng.random() < 0.2:
            out += numbers(sequence.take(data(number)))
    assert out == list(range(1, 40))
