"""Full jitter, 1 s to 300 s."""

from __future__ import annotations

from gatewayd.sync.backoff import Backoff

S = 1_000_000_000


def test_the_ceiling_doubles_from_1_s_to_300_s():
    backoff = Backoff(lambda: 1.0)
    assert [backoff.next_ns() // S for _ in range(11)] == [1, 2, 4, 8, 16, 32, 64, 128, 256, 300, 300]


def test_a_delay_may_be_anything_below_the_ceiling():
    fractions = iter((0.0, 0.25, 0.5))
    backoff = Backoff(lambda: next(fractions))
    assert [backoff.next_ns() / S for _ in range(3)] == [0.0, 0.5, 2.0]


def test_an_answer_starts_again_at_1_s():
    backoff = Backoff(lambda: 1.0)
    for _ in range(5):
        backoff.next_ns()
    backoff.reset()
    assert backoff.next_ns() == S
