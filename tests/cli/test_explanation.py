"""The page that explains a decision."""

from __future__ import annotations

import click
import msgspec

from gatewayd.cli.explanation import detail_page, page
from gatewayd.explain.words import REASONS
from gatewayd.model.decision import Reason
from tests.control.fake_gateway import DETAIL, EXPLANATION, HELD, HELD_DETAIL


def test_altered_evidence_is_shouted():
    assert "ALTERED" in page(msgspec.structs.replace(EXPLANATION, evidence_intact=False))
    assert "ALTERED" not in page(EXPLANATION)


def test_an_unknown_term_is_unknown_and_never_a_number():
    term = msgspec.structs.replace(EXPLANATION.terms[0], value=None)
    from_before = msgspec.structs.replace(EXPLANATION, terms=(term,), account=None)  # an older daemon tells no parts
    assert "bearing_temp = unknown" in click.unstyle(page(from_before))
    step = msgspec.structs.replace(EXPLANATION.account.traces[0].steps[0], value=None)
    trace = msgspec.structs.replace(EXPLANATION.account.traces[0], steps=(step,))
    told = msgspec.structs.replace(EXPLANATION, account=msgspec.structs.replace(EXPLANATION.account, traces=(trace,)))
    assert "unknown  bearing_temp" in click.unstyle(page(told))


def test_a_redacted_person_keeps_uid_and_role():
    nameless = msgspec.structs.replace(HELD.actor, name="")
    shown = detail_page(msgspec.structs.replace(HELD_DETAIL, decision=msgspec.structs.replace(HELD, actor=nameless)))
    assert "By        name redacted (operator, uid 1001, socket), override 6" in shown


def test_a_decision_nobody_asked_for_is_the_gateways_own():
    decision = msgspec.structs.replace(DETAIL.decision, rule="")
    assert "By        the gateway" in detail_page(msgspec.structs.replace(DETAIL, decision=decision))


def test_a_relinquished_point_shows_its_default_as_the_winner():
    decision = msgspec.structs.replace(DETAIL.decision, slot=0)
    shown = detail_page(msgspec.structs.replace(DETAIL, decision=decision, slots_after=(None,) * 16))
    assert [line.split() for line in shown.splitlines() if line.startswith("  - ")][-1][-2:] == ["<-", "wins"]


def test_every_reason_of_the_core_has_its_words():
    assert {reason.value for reason in Reason} == set(REASONS)


def test_a_write_waiting_for_its_outcome_is_not_called_unwritten():
    assert "no outcome on record yet" in detail_page(msgspec.structs.replace(DETAIL, write=None))


def test_both_programs_of_a_decision_are_shown_line_by_line():
    two = msgspec.structs.replace(
        EXPLANATION, account=None, expression="temp > 85\nmin(sp, 40)", filled_in="temp [86] > 85\nmin(sp [62], 40)"
    )
    shown = page(two)
    assert "As written   temp > 85\n               min(sp, 40)" in shown
