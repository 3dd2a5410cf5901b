"""The shell of a cycle: durable first, then act; without a journal nothing is written and nobody is told otherwise."""

from __future__ import annotations

import asyncio

import msgspec
import pytest

from gatewayd.core.site import NS
from gatewayd.cycle import (
    BLOCKS_WAITING_MAX,
    NOTES_WAITING_MAX,
    REOPEN_EVERY_NS,
    REQUESTS_WAITING_MAX,
    Cycle,
    Plant,
)
from gatewayd.errors import StoreError, StoreFull
from gatewayd.model import quality
from gatewayd.model.block import Codec
from gatewayd.model.decision import ClearOverride, Mode, SetMode, SetOverride
from gatewayd.model.record import ClockStep, Decision, DeviceEvent, Gap, ModeChanged
from tests.clock import ManualClock
from tests.core.scenario import ANA, Scenario, rule


class HandJournal:
    """Keeps what it is given, in the order in which things happened; lost or full when told.

    A full one still takes records of the kinds that the real one keeps a reserve for.
    """

    def __init__(self, story: list[str]) -> None:
        self.story = story
        self.bodies: list[object] = []
        self.personal: list[dict[str, str]] = []
        self.saves: dict[str, bytes] = {}
        self.fails: StoreError | None = None
        self.broken = False

    @property
    def healthy(self) -> bool:
        return self.fails is None and not self.broken

    @property
    def problem(self) -> str:
        return "disk error" if self.broken else ""

    async def commit(self, records, *, saves=None, intents=(), at_once=False):
        bodies = [record.body for record in records]
        self.broken = self.broken or (self.fails is not None and not isinstance(self.fails, StoreFull))
        if self.broken:
            raise StoreError("disk error", remedy="look")
        if self.fails and not all(isinstance(body, Gap | ModeChanged) for body in bodies):
            raise self.fails
        self.story.append("durable")
        self.bodies += bodies
        self.personal += [record.personal for record in records if record.personal]
        self.saves |= saves or {}
        return tuple(range(len(records)))

    async def reopen(self) -> None:
        if self.fails:
            raise self.fails
        self.broken = False


class Bench:
    def __init__(self) -> None:
        self.plant = Scenario(rules=[rule("temp > 85", clear="temp < 75")], auto=False)
        self.clock = ManualClock(self.plant.wall_ns, self.plant.mono_ns)
        self.story: list[str] = []
        self.commands = []
        self.inputs = []
        self.journal = HandJournal(self.story)
        self.cycle = Cycle(
            Plant(self.plant.state, self.plant.site, self.plant.kernels),
            self.journal,
            hand_over=self._hand_over,
            keep=self.inputs.append,
            clock=self.clock,
            first_cycle=100,
        )
        self.task = asyncio.ensure_future(self.cycle.run())

    def _hand_over(self, commands, sampled_ns) -> None:
        if commands:
            self.story.append("handed over")
            self.commands += commands

    async def sample(self, **values: float) -> None:
        self.plant.wall_ns, self.plant.mono_ns = self.clock.wall_ns(), self.clock.monotonic_ns()
        for name, value in values.items():
            self.cycle.deliver([self.plant.block(name, value)])
        await self.clock.settle()

    async def auto(self) -> None:
        self.cycle.request(SetMode(mode=Mode.AUTO, reason="test"))
        await self.clock.settle()

    def seen(self, kind):
        return [body for body in self.journal.bodies if isinstance(body, kind)]


@pytest.fixture
async def bench():
    bench = Bench()
    yield bench
    bench.task.cancel()
    await asyncio.gather(bench.task, return_exceptions=True)


async def test_a_command_is_handed_over_only_after_its_decision_is_durable(bench):
    """P-JOURNAL"""
    await bench.auto()
    bench.story.clear()
    await bench.sample(temp=90.0, speed=80.0)
    assert bench.story == ["durable", "handed over"]
    assert bench.commands[0].value == 40.0


async def test_the_writers_go_before_the_recorder(bench):
    """Encoding a large cycle takes time; a command that is durable does not wait for it."""
    await bench.auto()
    bench.story.clear()
    bench.cycle._keep = lambda inputs: bench.story.append("kept")

    def hand_over(commands, sampled_ns) -> None:
        asyncio.get_running_loop().call_soon(bench.story.append, "sent")  # as a writer's task is woken

    bench.cycle._hand_over = hand_over
    await bench.sample(temp=90.0, speed=80.0)
    assert bench.story[:3] == ["durable", "sent", "kept"]


async def test_a_cycle_that_is_cancelled_behind_its_commands_is_kept_all_the_same(bench):
    await bench.auto()
    bench.cycle._hand_over = lambda commands, _: bench.task.cancel() if commands else None
    await bench.sample(temp=90.0, speed=80.0)
    assert bench.task.cancelled()
    assert len(bench.inputs[-1].blocks) == 2


async def test_the_first_turn_waits_for_no_sample(bench):
    """Deadlines of the state it starts from hold from the start, and its code is in memory when samples come."""
    await bench.clock.settle()
    assert [inputs.blocks for inputs in bench.inputs] == [()]


async def test_a_cycle_takes_everything_that_waits_and_keeps_it_for_replay(bench):
    await bench.auto()
    await bench.sample(temp=60.0, speed=80.0)
    assert len(bench.inputs[-1].blocks) == 2
    assert bench.inputs[-1].cycle == bench.inputs[0].cycle + len(bench.inputs) - 1


async def test_a_deadline_runs_a_cycle_although_nothing_arrives(bench):
    """Tags that stop coming turn stale, and the rule on them unknown, without any sample."""
    await bench.auto()
    await bench.sample(temp=60.0, speed=80.0)
    await bench.clock.advance(5 * NS)
    assert bench.plant.status("temp") != 0


async def test_without_a_journal_nothing_is_written(bench):
    """P-SAFE: observation goes on, commands are withdrawn, mode falls to MONITOR."""
    await bench.auto()
    await bench.sample(temp=60.0, speed=80.0)
    bench.journal.fails = StoreError("disk error", remedy="look")
    await bench.sample(temp=90.0)
    assert bench.commands == []
    assert bench.plant.state.mode is Mode.MONITOR
    await bench.sample(temp=91.0)
    assert bench.plant.value("temp") == 91.0


async def test_the_journal_comes_back_and_the_loss_is_on_record(bench):
    await bench.auto()
    await bench.sample(temp=60.0, speed=80.0)
    bench.journal.fails = StoreFull("full", remedy="look")
    await bench.sample(temp=90.0)
    bench.journal.fails = None
    for _ in range(8):
        await bench.sample(temp=90.0, speed=80.0)
        await bench.clock.advance(NS)
    assert bench.seen(Gap)[-1].stream == "journal"
    assert bench.seen(Gap)[-1].count > 0
    assert bench.plant.state.mode is Mode.AUTO
    assert [body.reason for body in bench.seen(ModeChanged)][-1] == "journal is back"
    assert bench.commands, "the rule acts again"


async def test_a_lost_journal_is_not_retried_in_every_cycle(bench):
    await bench.auto()
    tries = []
    bench.journal.fails = StoreError("disk error", remedy="look")

    async def reopen() -> None:
        tries.append(bench.clock.monotonic_ns())
        raise bench.journal.fails

    bench.journal.reopen = reopen
    for temp in (90.0, 60.0) * 20:
        await bench.sample(temp=temp, speed=80.0)
        await bench.clock.advance(NS // 2)
    assert len(tries) <= 20 * NS // REOPEN_EVERY_NS + 1


async def test_a_person_is_told_no_while_the_journal_is_lost(bench):
    await bench.sample(temp=60.0, speed=80.0)
    bench.journal.fails = StoreError("disk error", remedy="look")
    asking = asyncio.ensure_future(
        bench.cycle.ask(SetOverride("pump.speed", 50.0, 60 * NS, "try", ANA, request_id="1"))
    )
    await bench.clock.settle()
    reply = await asking
    assert not reply.accepted
    assert "journal" in reply.message
    assert bench.plant.state.overrides == {}, "what was refused must not hold"


async def test_a_person_is_answered_once_the_override_is_durable(bench):
    await bench.sample(temp=60.0, speed=80.0)
    bench.story.clear()
    asking = asyncio.ensure_future(
        bench.cycle.ask(SetOverride("pump.speed", 50.0, 60 * NS, "try", ANA, request_id="1"))
    )
    await bench.clock.settle()
    assert (await asking).accepted
    assert bench.story == ["durable", "handed over"]
    assert bench.seen(Decision)[-1].value == 50.0


async def test_a_jump_of_wall_time_is_journalled_and_moves_no_deadline(bench):
    await bench.auto()
    await bench.sample(temp=60.0, speed=80.0)
    bench.clock.jump_wall(365 * 86_400 * NS)
    await bench.sample(temp=61.0)
    assert bench.seen(ClockStep)[0].new_ns - bench.seen(ClockStep)[0].old_ns == 365 * 86_400 * NS
    assert bench.plant.status("speed") == 0


async def test_notes_of_other_rooms_become_records(bench):
    bench.cycle.note(DeviceEvent("plc", "lost", 0x800A0000, "no reply"))
    await bench.clock.settle()
    assert bench.seen(DeviceEvent)[0].state == "lost"


async def test_the_queue_of_blocks_is_bounded(bench):
    """P-BOUND"""
    for _ in range(BLOCKS_WAITING_MAX + 10):
        bench.cycle.deliver([bench.plant.block("temp", 1.0)])
    assert bench.cycle.blocks_dropped == 10


async def test_changes_that_a_full_queue_dropped_leave_their_tags_bad_not_old(bench):
    """P-STALE: the notification after a dropped one does not repeat what that one said."""
    row = bench.plant.row["temp"]
    plan = bench.plant.site.plans[row]
    msgspec.structs.force_setattr(plan, "codec", Codec.OPCUA_NOTIFICATION)
    await bench.sample(temp=60.0, flow=5.0)
    nothing_new = msgspec.structs.replace(bench.plant.block("temp", 0.0), codec=Codec.OPCUA_NOTIFICATION, payload=b"")
    for _ in range(BLOCKS_WAITING_MAX + 1):
        bench.cycle.deliver([nothing_new])
    await bench.cycle.run_once()
    assert bench.plant.state.column("tag.status")[row] == quality.BAD_DATA_LOST
    assert bench.plant.state.column("tag.status")[bench.plant.row["flow"]] == quality.GOOD


async def test_a_full_journal_is_not_back_because_it_takes_the_record_of_its_own_fullness(bench):
    """The reserve takes mode and gap records; a decision would still be refused."""
    await bench.auto()
    await bench.sample(temp=60.0, speed=80.0)
    bench.journal.fails = StoreFull("full", remedy="look")
    for temp in (90.0, 60.0) * 10:
        await bench.sample(temp=temp, speed=80.0)
        await bench.clock.advance(2 * NS)
    assert bench.plant.state.mode is Mode.MONITOR
    assert [body.mode for body in bench.seen(ModeChanged)].count("auto") == 1
    assert bench.seen(Gap) == [], "the reserve is not eaten by telling again and again"


async def test_a_journal_that_fails_once_leaves_its_gap_on_record(bench):
    await bench.auto()
    await bench.sample(temp=60.0, speed=80.0)
    bench.journal.fails = StoreFull("full", remedy="look")
    await bench.sample(temp=90.0)
    bench.journal.fails = None
    await bench.sample(temp=60.0)
    assert [gap.count > 0 for gap in bench.seen(Gap)] == [True]
    await bench.clock.advance(2 * REOPEN_EVERY_NS)
    assert len(bench.seen(Gap)) == 1
    assert bench.cycle.records_lost == 0


async def test_auto_that_was_asked_for_without_a_journal_comes_with_it(bench):
    """The settle time ends while the journal is lost: the gateway must not stay in MONITOR for ever."""
    bench.journal.fails = StoreError("disk error", remedy="look")
    bench.cycle.note(DeviceEvent("plc", "lost", 0x800A0000, "no reply"))
    await bench.clock.settle()
    await bench.auto()
    assert bench.plant.state.mode is Mode.MONITOR
    bench.journal.fails = None
    await bench.clock.advance(3 * REOPEN_EVERY_NS)
    assert bench.plant.state.mode is Mode.AUTO


async def test_state_that_could_not_be_saved_is_saved_with_the_next_commit(bench):
    """The expiry of an override must not be forgotten: a restart would hold the point again."""
    await bench.auto()
    await bench.sample(temp=60.0, speed=80.0)
    await ask(bench, SetOverride("pump.speed", 50.0, 3 * NS, "try", ANA, request_id="1"))
    assert bench.journal.saves["override/pump.speed"]
    bench.journal.fails = StoreFull("full", remedy="look")
    await bench.clock.advance(4 * NS)
    assert bench.plant.state.overrides == {}
    bench.journal.fails = None
    await bench.clock.advance(2 * REOPEN_EVERY_NS)
    assert bench.journal.saves["override/pump.speed"] == b""


async def ask(bench, request):
    asking = asyncio.ensure_future(bench.cycle.ask(request))
    await bench.clock.settle()
    return await asking


@pytest.mark.parametrize("change", [("set", 70.0), ("clear", 0.0)])
async def test_an_override_is_still_held_when_its_change_could_not_be_recorded(bench, change):
    """The person is told that nothing was done, and so it is."""
    await bench.auto()
    await bench.sample(temp=60.0, speed=80.0)
    await ask(bench, SetOverride("pump.speed", 50.0, 60 * NS, "try", ANA, request_id="1"))
    bench.journal.fails = StoreFull("full", remedy="look")
    kind, value = change
    request = SetOverride("pump.speed", value, 60 * NS, "more", ANA, request_id="2")
    reply = await ask(bench, request if kind == "set" else ClearOverride("pump.speed", "done", ANA, "2"))
    assert not reply.accepted
    held = bench.plant.state.overrides[0]
    assert (held.value, held.reason, held.actor) == (50.0, "try", ANA)


async def test_whoever_asks_a_cycle_that_has_ended_is_told(bench):
    waiting = asyncio.ensure_future(bench.cycle.ask(ClearOverride("pump.speed", "done", ANA, "2")))
    await asyncio.sleep(0)
    bench.task.cancel()
    await bench.clock.settle()
    assert not (await waiting).accepted
    assert "stopping" in (await bench.cycle.ask(ClearOverride("pump.speed", "done", ANA, "3"))).message


async def test_whoever_waits_for_a_commit_that_is_cut_off_is_told(bench):
    async def hangs(*_, **__):
        await asyncio.get_running_loop().create_future()

    bench.journal.commit = hangs
    waiting = asyncio.ensure_future(bench.cycle.ask(SetOverride("pump.speed", 50.0, NS, "try", ANA, "1")))
    await bench.clock.settle()
    bench.task.cancel()
    assert "stopping" in (await waiting).message


async def test_a_bug_in_the_core_ends_the_cycle_and_with_it_the_process(bench, monkeypatch):
    monkeypatch.setattr("gatewayd.cycle.step", lambda *_: 1 / 0)
    waiting = asyncio.ensure_future(bench.cycle.ask(ClearOverride("pump.speed", "done", ANA, "2")))
    with pytest.raises(ZeroDivisionError):
        await bench.task
    assert not (await waiting).accepted


async def test_the_queue_of_requests_is_bounded(bench):
    """P-BOUND"""
    asking = [
        asyncio.ensure_future(bench.cycle.ask(ClearOverride("pump.speed", "done", ANA, f"{number}")))
        for number in range(REQUESTS_WAITING_MAX + 5)
    ]
    replies = await asyncio.gather(*asking)
    assert sum("too many" in reply.message for reply in replies) == 5


async def test_notes_that_are_too_many_are_counted(bench):
    """P-BOUND: what is lost is on record."""
    for _ in range(NOTES_WAITING_MAX + 7):
        bench.cycle.note(DeviceEvent("plc", "lost", 0x800A0000, "no reply"))
    await bench.clock.settle()
    assert [(gap.stream, gap.count) for gap in bench.seen(Gap)] == [("notes", 7)]


async def test_a_quiet_cycle_looks_at_no_point(bench):
    """A site of 500 points costs nothing while nothing changes."""
    await bench.auto()
    await bench.sample(temp=60.0, speed=80.0)
    points, looks = bench.plant.state.points, []

    class Watched(list):
        def __iter__(self):
            looks.append(1)
            return super().__iter__()

    bench.plant.state.points = Watched(points)
    await bench.sample(temp=61.0)
    assert looks == []
