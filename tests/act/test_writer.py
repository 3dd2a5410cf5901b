"""A command's life after its decision is durable: written once, read back, compared, journalled, reported."""

from __future__ import annotations

import asyncio
import math

import pytest

from gatewayd.act.recovery import resolve_in_doubt
from gatewayd.act.writer import Act
from gatewayd.errors import DeviceRefused, DeviceTimeout, DeviceUnreachable, StoreError
from gatewayd.model.decision import Command, OutcomeResult
from tests.clock import ManualClock
from tests.core.scenario import point as guard_list
from tests.core.scenario import site_of
from tests.links import HandLink

S = 1_000_000_000


class HandJournal:
    def __init__(self) -> None:
        self.outcomes: list[tuple[str, bool]] = []
        self.resolved: list[int] = []
        self.broken = False

    async def commit(self, records, *, resolves):
        if self.broken:
            raise StoreError("gone", remedy="look")
        self.outcomes += [(record.body.result, record.body.recovered) for record in records]
        self.resolved += resolves
        return (1,)


class Bench:
    def __init__(self) -> None:
        self.clock = ManualClock()
        self.link = HandLink()
        self.journal = HandJournal()
        self.reports = []
        self.act = Act(
            lambda row: "plc", {"plc": self.link}, self.journal, report=self.reports.append, clock=self.clock
        )
        self.task = asyncio.ensure_future(self.act.writers["plc"].run())

    def command(self, **changes) -> Command:
        values = {
            "decision_id": 7,
            "point": 0,
            "row": 4,
            "readback_row": 4,
            "value": 40.0,
            "previous": 80.0,
            "readback_tolerance": 0.5,
            "readback_within_ns": 2 * S,
            "expires_mono_ns": self.clock.monotonic_ns() + 10 * S,
        }
        return Command(**(values | changes))

    async def carry_out(self, **changes):
        self.act.hand_over((self.command(**changes),), 0)
        await self.clock.advance(3 * S)
        return self.reports[-1]


@pytest.fixture
async def bench():
    bench = Bench()
    yield bench
    bench.task.cancel()
    await asyncio.gather(bench.task, return_exceptions=True)


async def test_a_write_is_verified_by_what_is_read_back(bench):
    outcome = await bench.carry_out()
    assert outcome.result is OutcomeResult.VERIFIED
    assert bench.link.written == [(4, 40.0)]
    assert bench.journal.outcomes == [("verified", False)]
    assert bench.journal.resolved == [7]


async def test_an_acknowledged_write_that_changes_nothing_is_a_mismatch(bench):
    bench.link.applies = False
    bench.link.values[4] = 80.0
    outcome = await bench.carry_out()
    assert (outcome.result, outcome.read_back) == (OutcomeResult.MISMATCH, 80.0)


async def test_a_slow_plant_has_its_time(bench):
    bench.link.applies = False
    bench.act.hand_over((bench.command(),), 0)
    await bench.clock.advance(S)
    assert bench.reports == []
    bench.link.values[4] = 40.2
    await bench.clock.advance(S)
    assert bench.reports[0].result is OutcomeResult.VERIFIED


async def test_a_refused_write_changed_nothing(bench):
    bench.link.fails["write"] = DeviceRefused("no", remedy="look", status=0x803C0000, code=3)
    outcome = await bench.carry_out()
    assert outcome.result is OutcomeResult.REFUSED
    assert "no" in outcome.detail


async def test_a_write_without_an_answer_is_read_back_never_sent_again(bench):
    bench.link.fails["write"] = DeviceTimeout("no reply", remedy="look")
    outcome = await bench.carry_out()
    assert outcome.result is OutcomeResult.VERIFIED, "it had arrived after all"
    assert len(bench.link.written) == 1


async def test_a_write_that_fails_closes_the_link_unless_only_one_unit_behind_it_is_to_blame(bench):
    """P-ISOLATE: the scans of the other units go on."""
    bench.link.fails["write"] = DeviceTimeout("no reply of unit 7", remedy="look")
    bench.link.fails["write"].unit = 7
    await bench.carry_out()
    assert bench.link.closed == 0
    bench.link.fails["write"] = DeviceTimeout("no reply", remedy="look")
    await bench.carry_out()
    assert bench.link.closed == 1


async def test_a_device_that_falls_silent_leaves_the_outcome_unknown(bench):
    bench.link.fails["write"] = DeviceTimeout("no reply", remedy="look")
    bench.link.fails["read_back"] = DeviceTimeout("no reply", remedy="look")
    outcome = await bench.carry_out()
    assert outcome.result is OutcomeResult.UNKNOWN
    assert math.isnan(outcome.read_back)
    assert len(bench.link.written) == 1


async def test_a_bad_read_back_proves_nothing(bench):
    bench.link.status = 0x80000000
    assert (await bench.carry_out()).result is OutcomeResult.UNKNOWN


async def test_a_command_that_comes_too_late_is_not_sent(bench):
    outcome = await bench.carry_out(expires_mono_ns=bench.clock.monotonic_ns() - 1)
    assert outcome.result is OutcomeResult.REFUSED
    assert bench.link.written == []


async def test_an_unreachable_device_gets_nothing(bench):
    bench.link.fails["connect"] = DeviceUnreachable("refused", remedy="look")
    outcome = await bench.carry_out()
    assert (outcome.result, outcome.sent_ns) == (OutcomeResult.REFUSED, 0)


async def test_an_outcome_is_reported_even_when_the_journal_is_lost(bench):
    bench.journal.broken = True
    assert (await bench.carry_out()).result is OutcomeResult.VERIFIED


async def test_the_time_from_sample_to_write_is_measured(bench):
    measured = []
    bench.act.writers["plc"].on_sent = measured.append
    sampled = bench.clock.monotonic_ns()
    bench.link.gate.clear()
    bench.act.hand_over((bench.command(),), sampled)
    await bench.clock.advance(0)
    bench.link.gate.set()
    await bench.clock.advance(0)
    assert measured == [0]


async def test_a_write_in_doubt_is_read_back_after_a_restart_and_never_sent(bench):
    """P-JOURNAL: the decision is durable, its outcome is not."""
    site = site_of((), (guard_list(),))
    row = site.points[0].readback_row
    bench.link.values[row] = 40.0
    resolving = asyncio.ensure_future(
        resolve_in_doubt(bench.act, site, [("pump.speed", bench.command(row=99, readback_row=99))])
    )
    await bench.clock.advance(3 * S)
    await resolving
    assert bench.link.written == []
    assert bench.journal.outcomes == [("verified", True)]


async def test_a_write_in_doubt_to_a_point_that_is_gone_is_closed_as_unknown(bench):
    await resolve_in_doubt(bench.act, site_of((), (guard_list(),)), [("pump.gone", bench.command())])
    assert bench.journal.outcomes == [("unknown", True)]
    assert bench.journal.resolved == [7]


async def test_a_command_that_grew_old_while_connecting_is_not_sent(bench):
    async def connect() -> None:
        await bench.clock.sleep_until(bench.clock.monotonic_ns() + 11 * S)

    bench.link.connect = connect
    bench.act.hand_over((bench.command(),), 0)
    await bench.clock.advance(12 * S)
    assert bench.reports[-1].result is OutcomeResult.REFUSED
    assert bench.link.written == []


async def test_a_write_cut_off_half_way_stays_in_doubt_for_the_next_start(bench):
    bench.link.hangs.add("write")
    bench.act.hand_over((bench.command(),), 0)
    await bench.clock.settle()
    bench.task.cancel()
    await asyncio.gather(bench.task, return_exceptions=True)
    assert bench.link.written == [(4, 40.0)]
    assert bench.journal.resolved == []


async def test_what_was_in_doubt_reaches_the_core_with_the_rows_of_today(bench):
    site = site_of((), (guard_list(),))
    bench.link.values[site.points[0].readback_row] = 40.0
    doubt = bench.command(point=77, row=99, readback_row=99)
    await asyncio.gather(resolve_in_doubt(bench.act, site, [("pump.speed", doubt)]), bench.clock.advance(3 * S))
    assert [(outcome.decision_id, outcome.point, outcome.result) for outcome in bench.reports] == [
        (7, 0, OutcomeResult.VERIFIED)
    ]


async def test_devices_that_stay_away_do_not_keep_the_gateway_in_monitor(bench):
    """All doubts are read back at the same time; each ends with its own time, as unknown."""
    bench.link.fails["connect"] = DeviceUnreachable("refused", remedy="look")
    doubts = [("pump.speed", bench.command(decision_id=number)) for number in range(20)]
    resolving = asyncio.ensure_future(resolve_in_doubt(bench.act, site_of((), (guard_list(),)), doubts))
    await bench.clock.advance(2 * S + S // 10)
    assert resolving.done()
    assert {outcome.result for outcome in bench.reports} == {OutcomeResult.UNKNOWN}
    assert sorted(bench.journal.resolved) == list(range(20))
