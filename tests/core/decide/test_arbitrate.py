"""Whatever happens, in whatever order: what never may be decided is not decided."""

from __future__ import annotations

import math

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from gatewayd.core.site import NS
from gatewayd.model.decision import Command, Effects, Mode, OutcomeResult, SetMode, Stop
from gatewayd.model.record import Decision
from tests.core import scenario

LOW, HIGH, STEP, RATE = 10.0, 90.0, 20.0, 5.0
RULES = [
    scenario.rule("temp > 85", to="flow", clear="flow < 5", id="hot", ttl="30s"),
    scenario.rule("flow > 50 for 3s", to="0", slot=13, id="full", on_unknown="release"),
    scenario.rule("speed_now < 30", to="min(speed, 200)", slot=15, id="slow", on_unknown="fail_safe"),
]
GUARDS = {
    "write_min": LOW,
    "write_max": HIGH,
    "write_step": STEP,
    "max_rate": RATE,
    "fail_safe_value": 30.0,
    "relinquish_default": 50.0,
    "fail_safe_after_s": 6.0,
    "override_max_s": 60.0,
    "interlocks": {"fault": "pump.fault > 0"},
    "permissives": {"ready": "pump.ready > 0"},
}
VALUES = st.sampled_from([0.0, 4.0, 15.0, 30.0, 60.0, 86.0, 95.0, 150.0, math.nan, math.inf, -math.inf])


class Plant(RuleBasedStateMachine):
    """A pump, its people, its actuator and a bad day."""

    def __init__(self) -> None:
        super().__init__()
        self.plant = scenario.Scenario(rules=RULES, points=[scenario.point(**GUARDS)])
        self.open: Command | None = None
        self.wrote_ns = 0  # last write that may have reached the plant
        self.auto = True
        self.stopped = False
        self.last_id = 0
        self.look(self.plant.sample(temp=60.0, flow=20.0, speed=50.0, speed_now=50.0, fault=0.0, ready=1.0))

    # --- what may happen --------------------------------------------------------------------------------------------

    @rule(name=st.sampled_from(["temp", "flow", "speed", "speed_now", "fault", "ready"]), value=VALUES)
    def a_sample(self, name: str, value: float) -> None:
        self.tick(1)
        self.look(self.plant.sample(**{name: value}))

    @rule(hot=st.booleans(), speed=st.sampled_from([20.0, 50.0, 85.0, 140.0]))
    def good_samples(self, hot: bool, speed: float) -> None:
        self.tick(1)
        temp = 95.0 if hot else 60.0
        self.look(self.plant.sample(temp=temp, flow=40.0, speed=speed, speed_now=speed, fault=0.0, ready=1.0))

    @rule(seconds=st.integers(2, 6), result=st.sampled_from([OutcomeResult.VERIFIED, OutcomeResult.MISMATCH]))
    def a_hot_spell(self, seconds: int, result: OutcomeResult) -> None:
        """Every tag is read each second, and the actuator answers: the rule goes its steps, or trips."""
        for _ in range(seconds):
            self.good_samples(hot=True, speed=self.plant.commands[-1].value if self.plant.commands else 50.0)
            if self.open is not None:
                self.an_outcome(result, 50.0)
            self.tick(9)

    @rule(name=st.sampled_from(["temp", "flow", "speed", "fault"]))
    def a_loss(self, name: str) -> None:
        self.tick(1)
        self.look(self.plant.lose(name))

    @rule(tenths=st.sampled_from([1, 7, 20, 70, 400, 7000]))
    def time_passes(self, tenths: int) -> None:
        self.tick(tenths)

    @rule(value=st.sampled_from([LOW, 25.0, 55.0, HIGH, 91.0, math.nan]), seconds=st.sampled_from([1, 5, 60, 61]))
    def an_override(self, value: float, seconds: int) -> None:
        self.look(self.plant.override(value, seconds=seconds))

    @rule()
    def a_release(self) -> None:
        self.look(self.plant.release())

    @rule(mode=st.sampled_from(list(Mode)))
    def a_mode(self, mode: Mode) -> None:
        self.auto = mode is Mode.AUTO
        self.look(self.plant.ask(SetMode(mode=mode, reason="test")))

    @precondition(lambda self: self.open is not None)
    @rule(result=st.sampled_from(list(OutcomeResult)), read_back=st.sampled_from([0.0, 30.0, 50.0, 95.0]))
    def an_outcome(self, result: OutcomeResult, read_back: float) -> None:
        command, self.open = self.open, None
        assert command is not None
        if result is not OutcomeResult.REFUSED:
            self.wrote_ns = self.plant.mono_ns
        self.look(self.plant.outcome_of(command, result, read_back))

    @precondition(lambda self: len(self.plant.decisions) > 4)
    @rule()
    def a_stop(self) -> None:
        self.stopped = True
        self.look(self.plant.ask(Stop(reason="test")))

    # --- what must hold ---------------------------------------------------------------------------------------------

    def tick(self, tenths: int) -> None:
        """Let time pass as the shell would: a cycle at each deadline, and each deadline leads on."""
        end = self.plant.mono_ns + tenths * NS // 10
        while 0 < self.plant.effects.next_mono_ns <= end:
            before = self.plant.effects.next_mono_ns
            self.plant._move_to(max(before, self.plant.mono_ns))
            self.look(self.plant.cycle())
            assert self.plant.effects.next_mono_ns == 0 or self.plant.effects.next_mono_ns > self.plant.mono_ns
        self.plant._move_to(end)

    def look(self, effects: Effects) -> None:
        decisions = {}
        for record in effects.records:
            if isinstance(record.body, Decision):
                assert record.body.decision_id > self.last_id
                self.last_id = record.body.decision_id
                decisions[self.last_id] = record.body
        for command in effects.commands:
            assert self.open is None, "one write at a time"
            self.open = command
            self.check(command, decisions[command.decision_id])

    def check(self, command: Command, why: Decision) -> None:
        assert why.write
        assert LOW <= command.value <= HIGH
        assert self.auto or why.override_id or "stopping" in why.reasons, "nothing by itself in monitor mode"
        assert not self.stopped or "stopping" in why.reasons
        if why.slot == 5:
            assert command.value == GUARDS["fail_safe_value"]
            return
        change = abs(command.value - command.previous)
        assert change <= STEP + 1e-9
        assert not self.wrote_ns or (self.plant.mono_ns - self.wrote_ns) / NS * RATE >= change - 1e-6
        result = self.plant.state.column("program.result")
        point = self.plant.site.points[0]
        assert [result[guard.program] for guard in point.interlocks + point.permissives] == [0.0, 1.0]
        if why.rule:
            plan = next(plan for plan in self.plant.site.rules if plan.id == why.rule)
            holds = result[plan.when] == 1.0 or (plan.clear >= 0 and result[plan.when] == result[plan.clear] == 0.0)
            assert holds, "a rule that is not true wrote"
            assert self.plant.state.rules[plan.index].active

    @invariant()
    def every_override_ends(self) -> None:
        for override in self.plant.state.overrides.values():
            assert self.plant.mono_ns < override.expires_mono_ns <= self.plant.mono_ns + 60 * NS

    @invariant()
    def nothing_grows(self) -> None:
        point = self.plant.state.points[0]
        assert len(point.claims) <= 2 * len(RULES) + 3
        assert len(point.mismatches) <= 3
        assert self.plant.state.dirty == set()


Plant.TestCase.settings = settings(
    max_examples=60,
    stateful_step_count=40,
    deadline=None,
    derandomize=True,
    suppress_health_check=list(HealthCheck),
)
TestPlant = Plant.TestCase
