"""A backtest does what the daemon would have done: the same records, bit for bit, from the same samples."""

from __future__ import annotations

from array import array

import pytest

from gatewayd.backtest.columns import SAMPLE, Chunk
from gatewayd.backtest.engine import Backtest, site_over
from gatewayd.backtest.tally import Tally
from gatewayd.compiled import load_kernels
from gatewayd.model.config import Alarm, Contract, Ewma
from gatewayd.model.record import AlarmEvent, Decision, ModeChanged, RuleEvent
from tests.backtest.recorded import run_over
from tests.core.scenario import FORM, HOT, MEMBERS, NS, Scenario, point, rule, same, site_of

RULES = [
    HOT,
    rule("temp > 80 for 3s", clear="temp < 70 for 2s", to="speed / 2", id="warm", slot=13),
    rule("avg(flow, 5s) > 10", to="55", id="flowing", slot=14, alarm=Alarm(text="flow")),
    rule("stale(temp)", to="30", id="blind", slot=15),
]
ROWS = [(0.5 + second, {"temp": 60.0 + 6 * (second % 9), "flow": 5.0 + second}) for second in range(20)]
ROWS += [(25.5 + second, {"temp": 90.0 - 5 * second, "speed": 40.0, "speed_now": 40.0}) for second in range(8)]


def live(rows, *, end_s, **plant):
    """Run the same rows through a plant on paper whose writes are read back a tenth of a second later."""
    scenario = Scenario(**plant)
    began_ns, bodies, answered = scenario.mono_ns, [], 0

    def go(to_ns):
        nonlocal answered
        while answered < len(scenario.commands) and sent[answered] + NS // 10 < to_ns:
            reach(sent[answered] + NS // 10)
            scenario.outcome_of(scenario.commands[answered])
            answered += 1
            note()
        reach(to_ns)

    def reach(to_ns):
        while 0 < scenario.effects.next_mono_ns < to_ns:
            before = scenario.effects.next_mono_ns
            scenario._move_to(max(before, scenario.mono_ns))
            scenario.cycle()
            note()
            if scenario.effects.next_mono_ns == before:
                break
        scenario._move_to(to_ns)

    def note():
        sent.extend([scenario.mono_ns] * (len(scenario.commands) - len(sent)))

    sent: list[int] = []
    for seconds, values in rows:
        go(began_ns + round(seconds * NS))
        scenario.sample(**values)
        note()
    go(began_ns + round(end_s * NS) + 1)
    bodies += scenario.history
    return scenario, bodies


@pytest.mark.parametrize("guards", [{}, {"write_step": 10.0, "max_rate": 50.0}], ids=["wide", "narrow"])
def test_the_records_are_those_of_the_running_core_bit_for_bit(guards):
    """Evidence digests among them: they cover the cycle, every row that was read, its times and window values."""
    scenario, expected = live(ROWS, end_s=60, rules=RULES, points=[point(**guards)])

    site = scenario.site
    test = run_over(site, ROWS, start_ns=1_750_000_000 * NS, end_s=60)

    kept = [body for body in test.tally.bodies if not isinstance(body, ModeChanged)]
    told = [body for body in expected if not isinstance(body, ModeChanged)]
    kinds = {type(body) for body in told}
    assert {RuleEvent, AlarmEvent, Decision} <= kinds
    for ours, theirs in zip(kept, told, strict=True):
        assert same(ours, theirs)


def test_a_deadline_between_two_samples_has_its_own_time():
    site = site_of([rule("temp > 85 for 5s")], [point()])

    test = run_over(site, [(1, {"temp": 90.0}), (3, {"temp": 91.0}), (5.9, {"temp": 92.0}), (9, {"temp": 92.0})],
                    start_ns=10**18, end_s=9, is_held=True)  # fmt: skip

    (event,) = [event for event in test.tally.events if event.kind == "rule"]
    assert event.time_ns == 10**18 + 6 * NS


@pytest.mark.parametrize(("is_held", "state"), [(False, "unknown"), (True, "inactive")])
def test_values_that_stand_until_the_next_do_not_turn_stale(is_held, state):
    site = site_of([rule("temp > 85")], [point()])

    test = run_over(site, [(0, {"temp": 20.0}), (600, {"temp": 20.0})], start_ns=10**18, end_s=599, is_held=is_held)

    states = [event.state for event in test.tally.events if event.kind == "rule"]
    assert (states[:1] or ["inactive"]) == [state]


def test_values_are_taken_in_contract_units_whatever_the_tag_s_scale():
    site = site_of([], [], {**MEMBERS, "temp": Contract(low=0, high=100)})
    test = run_over(site, [(0, {"temp": 50.0})], start_ns=10**18, end_s=1)

    assert set(test.state.column("tag.scale")) == {1.0}
    assert test.state.column("tag.value")[site.rows["pump.temp"]] == 50.0


def test_rows_that_belong_together_are_one_pass():
    site = site_of([rule("temp > flow")], [point()], {**MEMBERS, "temp": Contract(), "flow": Contract()})
    temp, flow = site.rows["pump.temp"], site.rows["pump.flow"]
    over = site_over(site, range(len(site.tags)), [(temp,), (flow,)])
    test = Backtest(over, load_kernels(FORM), Tally(over), first_ns=10**18)
    samples = [SAMPLE.pack(1.0, 0, 10**18), SAMPLE.pack(2.0, 0, 10**18)]

    test.feed(Chunk(array("q", [10**18] * 2).tobytes(), array("q", [0, ~1]).tobytes(), b"".join(samples)))

    assert test.tally.cycles == 2  # the one that begins, and one pass
    assert test.samples == 2


def test_the_end_can_be_given():
    site = site_of([rule("temp > 85")], [point()])
    over = site_over(site, range(len(site.tags)), [(site.rows["pump.temp"],)])
    test = Backtest(over, load_kernels(FORM), Tally(over), first_ns=10**18)
    times = array("q", [10**18, 10**18 + NS])
    chunk = Chunk(times.tobytes(), array("q", [0, 0]).tobytes(), 2 * SAMPLE.pack(1.0, 0, 10**18))

    assert test.feed(chunk, until_ns=10**18) is False
    assert test.samples == 1


def test_an_anomaly_is_counted_where_it_begins():
    site = site_of([], [], {**MEMBERS, "temp": Contract(ewma=Ewma(alpha=0.1, warmup=20))})
    rows = [(second, {"temp": 20.0 + 0.1 * (second % 3)}) for second in range(60)] + [(60, {"temp": 60.0})]

    test = run_over(site, rows, start_ns=10**18, end_s=61)

    (tag,) = test.tally.tags.values()
    assert (tag.tag, tag.anomalies, tag.detectors) == ("pump.temp", 1, ("ewma",))
    assert tag.first_ns == 10**18 + 60 * NS
