"""P-ISOLATE: a device that keeps failing is left alone for a while."""

from __future__ import annotations

from gatewayd.sense.breaker import Breaker

S = 1_000_000_000


def test_a_device_is_demoted_after_its_limit_and_tried_again_later():
    breaker = Breaker(3, 10 * S)
    for _ in range(2):
        breaker.fail(0)
    assert breaker.state == "lost"
    assert breaker.allows(0)
    breaker.fail(1 * S)
    assert breaker.state == "demoted"
    assert not breaker.allows(10 * S)
    assert breaker.allows(11 * S)


def test_one_failure_on_trial_demotes_again():
    breaker = Breaker(2, 10 * S)
    breaker.fail(0)
    breaker.fail(0)
    breaker.fail(10 * S)
    assert not breaker.allows(19 * S)


def test_one_success_forgives():
    breaker = Breaker(2, 10 * S)
    breaker.fail(0)
    breaker.fail(0)
    breaker.succeed()
    assert breaker.state == "connected"
    assert breaker.allows(0)
