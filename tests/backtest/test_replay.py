"""The cycles of a daemon, repeated: with its own site as they were, with other rules as they would have been."""

from __future__ import annotations

import msgspec
import pytest

from gatewayd.backtest.replay import Compatible, Replay, require_same_plans
from gatewayd.compiled import load_kernels
from gatewayd.core.decide.draft import Draft
from gatewayd.core.decide.lifecycle import await_outcomes, restore
from gatewayd.core.state import State
from gatewayd.core.step import bind
from gatewayd.errors import ConfigError
from gatewayd.model.decision import RUN_SHIFT, Inputs, Mode, OutcomeResult, SetMode
from gatewayd.model.record import Decision, RuleEvent
from tests.backtest.recorded import KeepingTally
from tests.core.scenario import FORM, HOT, NS, Scenario, point, rule, same, site_of


class Recorded(Scenario):
    """Keeps the inputs of its cycles, as the flight recorder does, numbered as the daemon does."""

    def __init__(self, *rules, run=1, **guards):
        self.inputs = []
        self.bodies = []
        super().__init__(rules=rules, points=[point(**guards)], auto=False)
        self.number = run << RUN_SHIFT
        self.kernels = bind(load_kernels(FORM), self.state)
        self.state.boot_id = bytes(16)

    def cycle(self, **inputs):
        effects = super().cycle(**inputs)
        self.inputs.append(Inputs(self.number, self.wall_ns, self.mono_ns, **inputs))
        self.bodies += [record.body for record in effects.records]
        return effects

    def auto(self):
        self.cycle(requests=(SetMode(mode=Mode.AUTO, reason="settled"),))


def day(plant):
    """A pump that is hot twice, a person who holds it in between, a write that fails."""
    plant.auto()
    plant.sample(temp=60.0, speed=80.0, speed_now=80.0)
    plant.advance(1.01)
    plant.sample(temp=90.0)
    plant.settle()
    plant.override(70.0, seconds=30)
    plant.settle()
    plant.advance(5.5)
    plant.sample(temp=60.0, speed=70.0, speed_now=70.0)
    plant.advance(40)
    plant.sample(temp=95.0, speed=70.0, speed_now=70.0)
    return plant


def replayed(site, inputs, *, is_same=True):
    tally = KeepingTally(site)
    replay = Replay(site, load_kernels(FORM), tally)
    assert replay.feed(inputs, is_same=is_same)
    replay.finish()
    return replay


def test_a_day_with_its_own_site_gives_the_same_records_bit_for_bit():
    plant = day(Recorded(HOT, max_rate=20.0))

    replay = replayed(plant.site, plant.inputs)

    assert {RuleEvent, Decision} <= {type(body) for body in plant.bodies}
    assert len(replay.tally.bodies) == len(plant.bodies)
    assert all(same(ours, theirs) for ours, theirs in zip(replay.tally.bodies, plant.bodies, strict=True))
    assert replay.notes() == ()


def test_inputs_are_the_same_after_a_round_through_their_recorded_form():
    plant = day(Recorded(HOT))
    encoded = msgspec.msgpack.encode(plant.inputs)

    again = replayed(plant.site, msgspec.msgpack.decode(encoded, type=list[Inputs]))

    assert all(same(ours, theirs) for ours, theirs in zip(again.tally.bodies, plant.bodies, strict=True))


def test_a_restart_takes_up_what_the_last_run_saved():
    first = day(Recorded(HOT))
    second = Recorded(HOT, run=2)
    second.mono_ns, second.wall_ns = first.mono_ns + NS, first.wall_ns + NS
    second.state = State(second.site, load_kernels(FORM), now_mono_ns=second.mono_ns)
    second.state.boot_id = bytes(16)
    second.state.next_decision_id = first.state.next_decision_id
    second.kernels = bind(load_kernels(FORM), second.state)
    restore(second.state, second.site, Draft(2 << RUN_SHIFT, second.wall_ns, second.mono_ns), first.saves)
    assert first.state.points[0].in_flight, "the last write of the first run is in doubt"
    await_outcomes(second.state, second.site, [("pump.speed", first.state.points[0].in_flight)])
    second.outcome_of(first.commands[-1], OutcomeResult.VERIFIED)
    day(second)

    replay = replayed(first.site, first.inputs + second.inputs)

    expected = first.bodies + second.bodies
    assert replay.runs == 2
    assert all(same(ours, theirs) for ours, theirs in zip(replay.tally.bodies, expected, strict=True))


def test_other_rules_over_the_same_cycles_are_woken_at_their_own_deadlines_and_their_writes_succeed():
    plant = day(Recorded(HOT))
    other = site_of([rule("temp < 65 for 2s", to="33", id="cold")], [point()])

    replay = replayed(other, plant.inputs, is_same=False)

    began = plant.inputs[1]
    cold = replay.tally.rules["pump/cold"]
    assert cold.activations >= 1
    decisions = [body for body in replay.tally.bodies if isinstance(body, Decision)]
    assert all(body.rule in ("pump/cold", "") for body in decisions)
    assert not replay._under_way or replay._under_way[0][0] > began.mono_ns


def test_cycles_that_are_not_kept_are_told():
    plant = day(Recorded(HOT))

    replay = replayed(plant.site, plant.inputs[2:4] + plant.inputs[6:])

    assert replay.missing == 2
    assert [note[:30] for note in replay.notes()] == [
        "the first run is not kept from",
        "2 cycles between those that we",
    ]


def test_the_end_can_be_given():
    plant = day(Recorded(HOT))
    replay = Replay(plant.site, load_kernels(FORM), KeepingTally(plant.site))

    assert not replay.feed(plant.inputs, is_same=True, until_ns=plant.inputs[2].wall_ns)
    assert replay.now_ns == plant.inputs[2].wall_ns


def test_a_site_with_other_tags_is_refused_one_with_other_rules_is_not():
    site, other = site_of([HOT], [point()]), site_of([rule("temp > 1")], [point()])
    require_same_plans(other, site, place="store")
    fewer = site_of([], [], {"temp": site.tags[0].contract})
    with pytest.raises(ConfigError, match="other devices or tags"):
        require_same_plans(fewer, site, place="store")
    compatible = Compatible(site, lambda digest: other, place="store")
    assert compatible.is_same(site.digests.site)
    assert not compatible.is_same(b"another")
