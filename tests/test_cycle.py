"""The shell of a cycle: durable first, then act; without a journal nothing is written and nobody is told otherwise."""

from __future__ import annotations

import asyncio

import pytest

from gatewayd.core.site import NS
from gatewayd.cycle import BLOCKS_WAITING_MAX, REOPEN_EVERY_NS, Cycle, Plant
from gatewayd.errors import StoreError, StoreFull
from gatewayd.model.decision import Mode, SetMode, SetOverride
from gatewayd.model.record import ClockStep, Decision, DeviceEvent, Gap, ModeChanged
from tests.clock import ManualClock
from tests.core.scenario import ANA, Scenario, rule


class HandJournal:
    """Keeps what it is given, in the order in which things happened."""

    def __init__(self, story: list[str]) -> None:
        self.story = story
        self.bodies: list[object] = []
        self.saves: dict[str, bytes] = {}
        self.healthy = True
        self.fails: StoreError | None = None

    async def commit(self, records, *, saves=None, intents=()):
        if self.fails:
            self.healthy = False
            raise self.fails
        self.story.append("durable")
        self.bodies += [record.body for record in records]
        self.saves |= saves or {}
        return tuple(range(len(records)))

    async def reopen(self) -> None:
        if self.fails:
            raise self.fails
        self.healthy = True


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
            self.cycle.deliver(self.plant.block(name, value))
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
        bench.cycle.deliver(bench.plant.block("temp", 1.0))
    assert bench.cycle.blocks_dropped == 10
