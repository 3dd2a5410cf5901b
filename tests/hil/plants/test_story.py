"""The example's rules and limits, the real core and the simulated physics, in simulated time: the story can be told.

No process, no socket, no waiting: what `make demo` shows in a minute is played here in a second.
"""

from __future__ import annotations

import os
import struct
from pathlib import Path

import pytest

from gatewayd.compiled import load_kernels
from gatewayd.core.site import NS, compile_site
from gatewayd.core.state import State
from gatewayd.core.step import bind, step
from gatewayd.model import quality
from gatewayd.model.block import Block, Codec, PlanRow, ReadPlan, WireType
from gatewayd.model.decision import Inputs, Mode, OutcomeResult, SetMode, SetOverride, WriteOutcome
from gatewayd.model.device import ModbusTag
from gatewayd.model.record import Actor, AlarmEvent, RuleEvent
from gatewayd.site.digest import digests
from gatewayd.site.load import load_site
from hil.plants.physics import Station

ROOT = Path(__file__).resolve().parents[3]
STEP_NS = NS // 20


def plan_by_class(device, numbered, first):
    classes = sorted({tag.scan_class for _, tag in numbered})
    return tuple(
        ReadPlan(
            index=first + place,
            device=device.name,
            scan_class=name,
            codec=Codec.COLUMNS,
            rows=tuple(
                PlanRow(row=row, offset=0, type=WireType.FLOAT64) for row, tag in numbered if tag.scan_class == name
            ),
            request=(),
        )
        for place, name in enumerate(classes)
    )


class Story:
    """The station and the gateway's core, a twentieth of a second at a time."""

    def __init__(self, seed):
        config = load_site(ROOT / "config").config
        self.site = compile_site(config, plan_reads=plan_by_class, digests=digests(config))
        self.periods_ns = [
            config.devices[plan.device].scan_classes[plan.scan_class].scan_rate_ms * 1_000_000
            for plan in self.site.plans
        ]
        self.station = Station(seed=seed)
        self.stuck = {}
        self.mono_ns, self.wall_ns, self.cycle = 1000 * NS, 1_750_000_000 * NS, 0
        kernels = load_kernels(os.environ.get("GATEWAYD_KERNELS", "python"))
        self.state = State(self.site, kernels, now_mono_ns=self.mono_ns)
        self.state.boot_id = b"b" * 16
        self.kernels = bind(kernels, self.state)
        self.outcomes, self.events, self.writes = [], [], []
        self.start_ns = self.mono_ns

    def run(self, seconds, *requests):
        for _ in range(round(seconds * NS / STEP_NS)):
            self._step(requests)
            requests = ()

    @property
    def now_s(self):
        return (self.mono_ns - self.start_ns) / NS

    def _step(self, requests):
        self.mono_ns += STEP_NS
        self.wall_ns += STEP_NS
        self.station.step(STEP_NS / NS)
        shown = self.station.measure() | self.stuck
        due = [plan for plan in self.site.plans if (self.mono_ns - self.start_ns) % self.periods_ns[plan.index] == 0]
        blocks = tuple(self._block(plan, shown) for plan in due)
        inputs = Inputs(self.cycle, self.wall_ns, self.mono_ns, blocks, tuple(self.outcomes), tuple(requests))
        self.cycle += 1
        self.outcomes = []
        effects = step(self.state, self.site, self.kernels, inputs)
        self.events += [(self.now_s, record.body) for record in effects.records]
        assert all(reply.accepted for reply in effects.replies), effects.replies
        for command in effects.commands:
            self._write(command)

    def _block(self, plan, shown):
        payload = b"".join(
            struct.pack("<dqq", self._raw(row.row, shown), quality.GOOD, self.wall_ns) for row in plan.rows
        )
        return Block(plan.index, Codec.COLUMNS, self.wall_ns, self.wall_ns, self.mono_ns, payload)

    def _raw(self, row, shown):
        tag = self.site.tags[row]
        raw = shown[tag.alias] / tag.config.scale
        return float(round(raw)) if isinstance(tag.config, ModbusTag) and "int" in tag.config.type else raw

    def _write(self, command):
        alias = self.site.tags[command.row].alias
        self.writes.append((self.now_s, alias, command.value))
        asset, _, _ = alias.partition(".")
        if asset == "inlet_valve":
            self.station.valve.position_sp = command.value
        else:
            self.station.pumps[asset].speed_sp = command.value
        self.outcomes.append(
            WriteOutcome(
                command.decision_id,
                command.point,
                OutcomeResult.VERIFIED,
                command.value,
                command.value,
                self.wall_ns,
                self.wall_ns,
            )
        )

    def value(self, alias):
        return self.state.column("tag.value")[self.site.rows[alias]]

    def status(self, alias):
        return self.state.column("tag.status")[self.site.rows[alias]]

    def rules(self, kind=RuleEvent):
        return [(at, body.rule, body.state) for at, body in self.events if isinstance(body, kind)]

    def when(self, rule, state):
        return next(at for at, name, now in self.rules() if (name, now) == (rule, state))


@pytest.fixture(params=[1, 2, 3])
def story(request):
    """Settled: three seconds of watching, then seven of acting."""
    story = Story(request.param)
    story.run(3)
    story.run(7, SetMode(mode=Mode.AUTO, reason="settled"))
    return story


def test_the_steady_state_is_quiet(story):
    story.run(20)

    assert [body for _, body in story.events if isinstance(body, AlarmEvent)] == []
    assert {rule.split("/")[-1] for _, rule, state in story.rules() if state == "active"} == {
        "base-speed",
        "base-position",
    }
    assert {(alias, value) for _, alias, value in story.writes} == {
        ("pump_1.speed_sp", 60.0),
        ("pump_2.speed_sp", 60.0),
    }
    assert all(quality.is_good(story.status(tag.alias)) for tag in story.site.tags)


def test_a_worn_bearing_is_noticed_then_slowed_down_within_ten_seconds(story):
    story.station.pumps["pump_1"].wear = 1.0
    began = story.now_s
    story.run(12)

    assert story.when("pump_1/vibration-unusual", "active") - began < 3.0
    assert story.when("pump_1/bearing-hot", "active") - began < 9.0
    slowed = [(at, value) for at, alias, value in story.writes if alias == "pump_1.speed_sp" and at > began]
    assert [value for _, value in slowed] == [50.0, 40.0]
    assert slowed[-1][0] - began < 10.0
    assert not story.station.pumps["pump_1"].tripped
    assert [rule for _, rule, _ in story.rules() if rule.startswith("pump_2/") and "base" not in rule] == []


def test_the_speed_stays_reduced_until_the_bearing_is_repaired(story):
    story.station.pumps["pump_1"].wear = 1.0
    story.run(40)
    assert story.station.pumps["pump_1"].speed == 40.0
    story.station.pumps["pump_1"].wear = 0.0
    repaired = story.now_s
    story.run(20)

    assert story.when("pump_1/bearing-hot", "inactive") - repaired < 10.0
    assert story.station.pumps["pump_1"].speed == 60.0


def test_a_stuck_level_turns_bad_within_five_seconds_and_nothing_is_done_about_it(story):
    before = list(story.writes)
    story.stuck["tank_1.level"] = story.station.measure()["tank_1.level"]
    story.run(5)

    assert quality.severity(story.status("tank_1.level")) == "bad"
    story.run(5)
    assert {rule for _, rule, state in story.rules() if state == "unknown"} >= {"tank-high", "tank-low-pump-1"}
    assert story.writes == before


def test_a_hand_on_a_speed_ends_after_eight_seconds_and_the_schedule_takes_over(story):
    ana = Actor(uid=1000, role="operator", method="socket", name="ana")
    began = story.now_s
    story.run(
        14,
        SetOverride(point="pump_2.speed_sp", value=70.0, duration_ns=8 * NS, reason="test", actor=ana, request_id="1"),
    )

    written = [(at - began, value) for at, alias, value in story.writes if alias == "pump_2.speed_sp" and at > began]
    assert [value for _, value in written] == [70.0, 60.0]
    assert 8.0 <= written[1][0] < 9.5


def test_a_tank_that_runs_full_closes_the_valve_and_one_that_runs_empty_stops_the_pumps(story):
    story.station.level = 3.6
    story.run(12)
    assert story.station.valve.position == 20.0
    story.station.level = 0.4
    story.run(12)
    assert [pump.speed for pump in story.station.pumps.values()] == [0.0, 0.0]
