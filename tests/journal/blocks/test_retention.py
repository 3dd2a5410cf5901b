"""People keep what a decision was made on, and let it go; the journal knows who, why and when."""

from __future__ import annotations

import pytest

from gatewayd.errors import RequestRefused
from gatewayd.journal.blocks import retention
from gatewayd.journal.blocks.pins import Pins
from gatewayd.journal.blocks.retention import RetentionDesk
from gatewayd.model.record import Actor, Kind, Retention
from gatewayd.model.retention_view import RetainedView
from tests.journal.samples import decision, open_journal

ANA = Actor(uid=1001, role="operator", method="socket", name="ana")


@pytest.fixture
def desk(journal, clock):
    return RetentionDesk(journal, clock, lambda cycle: cycle == 300)


async def test_a_retained_decision_pins_its_cycle_until_it_is_released(desk, journal, clock, store):
    await journal.commit([decision(7, cycle=300)])
    answer = await desk.retain(7, "inquiry", ANA)
    assert answer.message == "decision 7 is retained"
    listed = (RetainedView(id=7, cycle=300, since_ns=clock.wall_ns(), point="pump_1.speed", recorded=True),)
    assert desk.listed() == listed
    assert Pins(open_journal(store, clock)).look().cycles == (300,)
    await desk.release(7, "closed", ANA)
    assert desk.listed() == ()
    assert Pins(journal).look().cycles == ()


async def test_both_are_records_with_who_and_why_apart(desk, journal):
    await journal.commit([decision(7, cycle=300)])
    await desk.retain(7, "inquiry", ANA)
    await desk.release(7, "closed", ANA)
    released, kept = journal.newest(Kind.RETENTION, 9)
    assert [record.leaf.body.event for record in (kept, released)] == ["retained", "released"]
    assert kept.personal == {"reason_text": "inquiry", "actor_name": "ana"}
    body = kept.leaf.body
    assert isinstance(body, Retention)
    assert (body.decision_id, body.cycle, body.actor.name, body.actor.uid) == (7, 300, "", 1001)


async def test_a_decision_whose_inputs_are_gone_can_be_retained_but_it_is_said(desk, journal):
    await journal.commit([decision(8, cycle=4)])
    assert "not recorded" in (await desk.retain(8, "inquiry", ANA)).message


async def test_what_is_not_there_twice_or_too_much_is_refused(desk, journal, monkeypatch):
    assert await desk.retain(7, "inquiry", ANA) is None
    with pytest.raises(RequestRefused, match="not retained"):
        await desk.release(7, "closed", ANA)
    await journal.commit([decision(7), decision(8)])
    await desk.retain(7, "inquiry", ANA)
    with pytest.raises(RequestRefused, match="already"):
        await desk.retain(7, "inquiry", ANA)
    monkeypatch.setattr(retention, "RETAINED_MAX", 1)
    with pytest.raises(RequestRefused, match="no more"):
        await desk.retain(8, "inquiry", ANA)
