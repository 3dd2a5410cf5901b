"""What a backtest tells: how often, when, how long."""

from __future__ import annotations

from gatewayd.backtest import tally as tally_module
from gatewayd.backtest.tally import Tally
from gatewayd.model.config import Alarm
from tests.backtest.recorded import run_over
from tests.core.scenario import HOT, NS, point, rule, site_of

START_NS = 10**18
ROWS = [(0, 60.0), (1, 90.0), (2, 90.0), (3, 70.0), (4, 90.0), (5, 70.0)]


def tally_of(rows=ROWS, rules=(HOT,), **settings):
    site = site_of(rules, [point()])
    values = [(at, {"temp": temp, "speed": 80.0, "speed_now": 80.0}) for at, temp in rows]
    return run_over(site, values, start_ns=START_NS, end_s=6, **settings).tally


def test_a_rule_is_told_with_its_times():
    hot = tally_of(rules=[rule("temp > 85", to="40", alarm=Alarm(text="hot"))]).rules["pump/hot"]

    assert (hot.activations, hot.deactivations, hot.unknowns, hot.alarms) == (2, 2, 0, 2)
    assert (hot.first_ns, hot.last_ns) == (START_NS + NS, START_NS + 4 * NS)
    assert hot.active_ns == 3 * NS
    assert hot.writes >= 1


def test_what_is_still_active_at_the_end_counts_up_to_it():
    hot = tally_of(rows=[(0, 60.0), (1, 90.0), (3, 90.0), (5, 90.0)]).rules["pump/hot"]

    assert (hot.state, hot.active_ns) == ("active", 5 * NS)


def test_before_its_time_nothing_is_counted_but_everything_teaches():
    hot = tally_of(since_ns=START_NS + 2 * NS).rules["pump/hot"]

    assert (hot.activations, hot.deactivations, hot.active_ns) == (1, 2, 2 * NS)


def test_only_wanted_rules_are_told():
    site = site_of([HOT, rule("temp > 1", id="other")], [point()])

    assert list(Tally(site, wants=lambda rule: rule == "pump/other").rules) == ["pump/other"]


def test_events_beyond_the_limit_are_counted(monkeypatch):
    monkeypatch.setattr(tally_module, "EVENTS_MAX", 2)

    tally = tally_of()
    assert len(tally.events) == 2
    assert tally.events_lost > 0
