"""Is a subscription dead or the plant quiet? Reads are compared, and given time."""

from __future__ import annotations

from asyncua import ua
from asyncua.ua.ua_binary import struct_to_binary

from gatewayd.device.opcua.silence import QUIET_KEEP_ALIVES, Silence
from gatewayd.device.opcua.subscription import Item
from tests.device.opcua.rig import tag

S = 1_000_000_000
GRACE = 2 * S


def read(value: object, status: int = 0) -> dict[int, bytes]:
    return {0: struct_to_binary(ua.DataValue(ua.Variant(value), ua.StatusCode(status)))}


def quiet(silence: Silence) -> Silence:
    for _ in range(QUIET_KEEP_ALIVES):
        silence.keep_alive()
    return silence


def verdicts(*readings: dict[int, bytes], item: Item | None = None) -> list[bool]:
    """Look every second, from the first reading on."""
    silence = quiet(Silence(S))
    items = [item or Item(tag("d1"))]
    return [silence.is_death(found, items, second * S, GRACE) for second, found in enumerate(readings, 10)]


def test_a_look_is_due_after_some_keep_alives_and_then_once_per_keep_alive():
    silence = Silence(S)
    silence.keep_alive()
    assert not silence.is_due(100 * S)
    quiet(silence)
    assert [silence.is_due(100 * S), silence.is_due(100 * S + 1), silence.is_due(101 * S)] == [True, False, True]
    silence.data(102 * S)
    assert not silence.is_due(200 * S)


def test_a_value_that_stays_changed_without_a_word_is_death_once_it_had_time_to_be_told():
    assert verdicts(read(1.0), read(2.0), read(3.0), read(4.0), read(5.0)) == [False, False, False, False, True]


def test_a_status_that_changed_without_a_word_is_death_as_well():
    assert verdicts(read(1.0), *[read(1.0, 0x808C0000)] * 4)[-1]


def test_a_value_that_comes_back_was_between_two_samplings():
    assert not any(verdicts(read(1.0), read(2.0), read(1.0), read(2.0), read(1.0), read(2.0), read(1.0)))


def test_a_source_time_that_moves_alone_is_no_change():
    moving = [
        {0: struct_to_binary(ua.DataValue(ua.Variant(1.0), SourceTimestamp=ua.win_epoch_to_datetime(n)))}
        for n in range(130_000_000_000_000_000, 130_000_000_000_000_009)
    ]
    assert not any(verdicts(*moving))


def test_a_change_within_the_deadband_need_not_be_told_and_one_beyond_it_must():
    """5 units at scale 0.1 are 50 of the node's steps."""
    item = Item(tag("d1", scale=0.1, deadband=5.0))
    assert not any(verdicts(read(100.0), *[read(149.0)] * 5, item=item))
    assert verdicts(read(100.0), *[read(151.0)] * 5, item=item)[-1]
    assert not any(verdicts(read(100.0), *[read(900.0)] * 5, item=Item(tag("d1", deadband=1, deadband_type="percent"))))


def test_nan_that_stays_nan_has_not_changed():
    assert not any(verdicts(*[read(float("nan"))] * 6))


def test_a_change_that_comes_while_the_read_is_under_way_clears_everything():
    silence = quiet(Silence(S))
    items = [Item(tag("d1"))]
    silence.is_death(read(1.0), items, 10 * S, GRACE)
    silence.is_death(read(2.0), items, 11 * S, GRACE)
    silence.data(12 * S)
    assert not silence.is_death(read(3.0), items, 20 * S, GRACE)
    quiet(silence)
    assert not silence.is_death(read(3.0), items, 30 * S, GRACE)
