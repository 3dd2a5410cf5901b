"""Automatic writes come back when the last cause is gone, and not before."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gatewayd.core.site import NS
from gatewayd.cycle import REOPEN_EVERY_NS
from gatewayd.errors import StoreError, StoreFull
from gatewayd.inhibits import Inhibit, Inhibits
from gatewayd.model.decision import Acknowledge, Mode, SetOverride
from gatewayd.model.record import (
    AlarmEvent,
    Decision,
    DeviceEvent,
    Gap,
    ModeChanged,
    Outcome,
    OverrideEvent,
)
from tests.core.scenario import ANA
from tests.test_cycle import Bench, ask

STEPS = st.lists(st.tuples(st.booleans(), st.sampled_from(Inhibit)), max_size=40)


def test_the_first_cause_stops_and_the_last_one_permits() -> None:
    inhibits = Inhibits()
    assert inhibits.begin(Inhibit.STORAGE, "the disk is nearly full")
    assert not inhibits.begin(Inhibit.JOURNAL, "journal is full")
    assert inhibits.reasons == ("the disk is nearly full", "journal is full")
    assert not inhibits.end(Inhibit.STORAGE)
    assert inhibits.is_only(Inhibit.JOURNAL)
    assert inhibits.end(Inhibit.JOURNAL)
    assert inhibits.reasons == ()


def test_a_cause_that_does_not_stand_cannot_end() -> None:
    inhibits = Inhibits()
    assert not inhibits.end(Inhibit.SETTLING)
    inhibits.begin(Inhibit.EPOCH, "look")
    assert not inhibits.end(Inhibit.SETTLING)
    assert inhibits.stands(Inhibit.EPOCH)


@given(STEPS)
def test_writes_are_permitted_exactly_when_nothing_stands(steps: list[tuple[bool, Inhibit]]) -> None:
    inhibits, model, writes = Inhibits(), set(), True
    for begins, inhibit in steps:
        if begins:
            writes = False if inhibits.begin(inhibit, "why") else writes
            model.add(inhibit)
        else:
            writes = True if inhibits.end(inhibit) else writes
            model.discard(inhibit)
        assert writes is not bool(model)


# --- in a cycle -----------------------------------------------------------------------------------------------------------


@pytest.fixture
async def bench() -> AsyncIterator[Bench]:
    bench = Bench()
    yield bench
    bench.task.cancel()
    await asyncio.gather(bench.task, return_exceptions=True)


def full_for(bench, *kinds):
    """Let the journal take these kinds of record only, as a real one does when just its reserve is left."""
    commit = bench.journal.commit

    async def only(records, **more):
        if not all(isinstance(record.body, kinds) for record in records):
            raise StoreFull("full", remedy="look")
        if any(isinstance(record.body, Decision) and not record.body.override_id for record in records):
            raise StoreFull("full", remedy="look")
        return await commit(records, **more)

    bench.journal.commit, bench.journal.has_reserve_only = only, True


async def test_with_only_the_reserve_left_people_still_act_and_policy_does_not(bench):
    """P-HUMAN, P-JOURNAL: the override is durable before it is written; the rule's decision is neither."""
    await bench.auto()
    await bench.sample(temp=60.0, speed=80.0)
    full_for(bench, Gap, ModeChanged, Outcome, OverrideEvent, AlarmEvent, Decision)
    await bench.sample(temp=90.0)
    assert bench.commands == []
    assert bench.plant.state.mode is Mode.MONITOR
    reply = await ask(bench, SetOverride("pump.speed", 50.0, 60 * NS, "try", ANA, request_id="1"))
    assert reply.accepted
    assert [command.value for command in bench.commands] == [50.0]
    assert bench.seen(Decision)[-1].override_id == 1


async def test_what_a_full_journal_did_not_take_is_counted_to_the_record(bench):
    """P07: dropped == journalled gaps."""
    await bench.auto()
    await bench.sample(temp=60.0, speed=80.0)
    commit, before = bench.journal.commit, len(bench.journal.bodies)
    full_for(bench, Gap, ModeChanged, OverrideEvent)
    offered = 0
    for number in range(7):
        bench.cycle.note(DeviceEvent("plc", "lost", 0x800A0000, f"no reply {number}"))
        bench.cycle.note(ModeChanged("monitor", f"a last word {number}"))
        offered += 1
        await bench.clock.settle()
    kept = [body for body in bench.journal.bodies[before:] if isinstance(body, ModeChanged) and body.reason[0] == "a"]
    assert len(kept) == 7
    assert bench.cycle.records_lost == offered
    bench.journal.commit, bench.journal.has_reserve_only = commit, False
    await bench.clock.advance(2 * REOPEN_EVERY_NS)
    assert [gap.count for gap in bench.seen(Gap)] == [offered]
    assert bench.cycle.records_lost == 0


async def test_automatic_writes_wait_for_every_cause_to_end(bench):
    """A journal that takes records again does not end a disk that is nearly full, nor the other way round."""
    await bench.auto()
    await bench.sample(temp=60.0, speed=80.0)
    bench.cycle.inhibit(Inhibit.STORAGE, "storage is nearly full")
    await bench.clock.settle()
    bench.journal.fails = StoreFull("full", remedy="look")
    await bench.sample(temp=90.0)
    bench.journal.fails = None
    await bench.clock.advance(2 * REOPEN_EVERY_NS)
    assert bench.cycle.records_lost == 0
    assert bench.plant.state.mode is Mode.MONITOR
    bench.cycle.permit(Inhibit.STORAGE, "there is room again")
    await bench.clock.settle()
    assert bench.plant.state.mode is Mode.AUTO
    assert [body.reason for body in bench.seen(ModeChanged)][-1] == "there is room again"


def acknowledge(bench):
    asking = asyncio.ensure_future(bench.cycle.acknowledge(Acknowledge("looked at both pumps", ANA, "1")))
    return bench.clock.settle(), asking


async def test_after_a_new_epoch_automatic_writes_wait_for_a_person(bench):
    """P-HUMAN: what people had held is lost with the old store; policy takes nothing before somebody has looked."""
    bench.cycle.inhibits.begin(Inhibit.SETTLING, "settling")
    bench.cycle.inhibits.begin(Inhibit.EPOCH, "a person must resume")
    bench.cycle.permit(Inhibit.SETTLING, "settled")
    await bench.sample(temp=60.0, speed=80.0)
    await bench.sample(temp=90.0)
    assert bench.commands == []
    assert (await ask(bench, SetOverride("pump.speed", 50.0, 60 * NS, "hold", ANA, request_id="2"))).accepted
    turn, asking = acknowledge(bench)
    await turn
    assert (await asking).accepted
    assert bench.plant.state.mode is Mode.AUTO
    told = bench.seen(OverrideEvent)[-1]
    assert (told.event, told.point, told.actor.uid, told.actor.name) == ("acknowledged", "", ANA.uid, "")
    assert bench.journal.saves["unseen"] == b"", "the next start waits for nobody"


async def test_who_resumes_does_not_end_another_cause(bench):
    for inhibit in (Inhibit.EPOCH, Inhibit.STORAGE):
        bench.cycle.inhibits.begin(inhibit, "why")
    turn, asking = acknowledge(bench)
    await turn
    assert (await asking).accepted
    assert bench.plant.state.mode is Mode.MONITOR
    assert bench.cycle.inhibits.reasons == ("why",)


async def test_an_acknowledgement_that_is_not_durable_does_not_count(bench):
    bench.cycle.inhibits.begin(Inhibit.EPOCH, "a person must resume")
    bench.journal.fails = StoreError("disk error", remedy="look")
    turn, asking = acknowledge(bench)
    await turn
    assert not (await asking).accepted
    assert bench.cycle.inhibits.stands(Inhibit.EPOCH)


async def test_where_nothing_waits_nothing_is_journalled(bench):
    turn, asking = acknowledge(bench)
    await turn
    assert not (await asking).accepted
    assert bench.seen(OverrideEvent) == []
