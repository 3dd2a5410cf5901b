"""The words say no more than the record proves."""

from __future__ import annotations

import msgspec

from gatewayd.explain import words
from tests.control.fake_gateway import DETAIL, EXPLANATION, HELD_DETAIL


def with_write(**changes: object):
    write = msgspec.structs.replace(DETAIL.write, **changes)
    return msgspec.structs.replace(EXPLANATION, detail=msgspec.structs.replace(DETAIL, write=write))


def test_only_a_verified_write_was_done():
    assert words.done(DETAIL).startswith("pump_1.speed_sp was set to 52.5 %, from 62.5 %")
    assert " was told to go to " in words.done(with_write(result="mismatch").detail)
    assert " was to be set to " in words.done(with_write(result="refused", sent_ns=0).detail)
    assert words.done(HELD_DETAIL).startswith("nothing was written")


def test_a_result_says_what_was_read_back_and_what_was_not():
    assert words.result(EXPLANATION) == "verified: read back 52.5 % at +0.014 s"
    assert words.result(with_write(read_back=None, result="unknown")) == "unknown: nothing was read back"
    assert words.result(with_write(sent_ns=0, result="refused")) == "refused: never sent"
    in_doubt = msgspec.structs.replace(EXPLANATION, detail=msgspec.structs.replace(DETAIL, write=None))
    assert words.result(in_doubt).startswith("IN DOUBT")


def test_an_unknown_reason_is_shown_as_it_is():
    decision = msgspec.structs.replace(DETAIL.decision, reasons=("of_tomorrow",))
    assert words.reasons(msgspec.structs.replace(DETAIL, decision=decision)) == "of_tomorrow (see the manual)"


def test_a_write_settled_after_a_restart_is_not_called_unsent():
    """Its outcome has no time of sending because the power cut lost it."""
    told = words.result(with_write(sent_ns=0, recovered=True))
    assert told == "verified: read back 52.5 % at +0.014 s (found in doubt after a restart, settled by reading back)"
    one = msgspec.structs.replace(EXPLANATION.account.attempts[0], sent_ns=0, recovered=True)
    assert "when it was sent is not recorded, read back 52.5 %" in words.attempt(one, "%", 0)
    assert "never sent, " in words.attempt(msgspec.structs.replace(one, recovered=False), "%", 0)
