"""What an asset that is watched as a whole says: in rules, in evidence, and of input that is no good."""

from __future__ import annotations

import math
import random
from collections.abc import Iterable

import msgspec
import pytest

from gatewayd.core.assets import asset_rows
from gatewayd.core.decide.evidence import slice_of
from gatewayd.core.detect.asset_words import asset_alarming, contributions
from gatewayd.core.site import SiteExpressionsError
from gatewayd.model.config import Contract, Rule
from gatewayd.model.detectors import AssetDetect, names_in
from gatewayd.model.record import EvidenceSlice
from tests.core.scenario import MEMBERS as PROMISED
from tests.core.scenario import Scenario, rule

MEMBERS = ("temp", "flow", "speed_now")
# No range, never stuck, and an hour until they are stale: a week without a sample is soon over.
CONTRACTS = {
    name: Contract(units="1" if name in MEMBERS else member.units, stale_after_s=3600.0)
    for name, member in PROMISED.items()
}
TOGETHER = AssetDetect(calibration=100, tags=MEMBERS)
NOISE = random.Random(5)
ROWS = [(x, 2.0 * x + NOISE.gauss(0, 0.02), NOISE.gauss(50, 1)) for x in (NOISE.gauss(60, 1) for _ in range(400))]
HOT = rule("anomaly(self)", clear="false")


def plant_with(*rules: Rule, together: AssetDetect = TOGETHER) -> Scenario:
    return Scenario(rules=rules or [HOT], contracts=CONTRACTS, together=together)


def feed(plant: Scenario, rows: Iterable[tuple[float, ...]], *, status: int = 0) -> list[int]:
    """Give row after row, all members in one pass; return what the asset said after each."""
    said = []
    for row in rows:
        plant.advance(1)
        plant.sample(status=status, **dict(zip(MEMBERS, row, strict=True)))
        said.append(mask(plant))
    return said


def mask(plant: Scenario) -> int:
    return int(plant.state.column("tag.anomaly")[plant.site.assets[0].row])


def learnt() -> Scenario:
    plant = plant_with()
    feed(plant, ROWS[:120])
    return plant


def words(plant: Scenario) -> dict[str, str]:
    plan = plant.site.assets[0]
    return {each.name: each.words for each in asset_alarming(plant.state.columns, plan, MEMBERS)}


def test_while_it_learns_it_does_not_know_and_then_it_does():
    plant = plant_with()
    assert feed(plant, ROWS[:100]) == [-1] * 100
    assert feed(plant, ROWS[100:102]) == [0, 0]


def test_a_rule_of_the_type_hears_of_its_own_asset_and_one_of_the_site_by_name():
    plant = learnt()
    assert not plant.state.rules[0].active
    said = feed(plant, [(70.0, 140.0, 50.0)] * 12)
    assert "asset_levels" in names_in(said[-1])
    assert plant.state.rules[0].active
    assert plant_with(rule("anomaly(pump)")).site.programme.programs[0].rows == (6,)


@pytest.mark.parametrize("text", ["stale(pump)", "pump > 3", "anomaly(pumps)", "avg(pump, 5s) > 1", "anomaly(other)"])
def test_an_asset_is_no_tag(text):
    with pytest.raises(SiteExpressionsError, match="there is no tag"):
        plant_with(rule(text))


def test_an_asset_that_is_not_watched_has_no_verdict():
    with pytest.raises(SiteExpressionsError, match="there is no tag `self`"):
        Scenario(rules=[HOT])


def test_a_tag_that_leaves_its_place_is_named_with_how_far():
    plant = learnt()
    feed(plant, [(60.0, 120.0, 70.0)] * 20)
    found = words(plant)
    assert found["asset_levels"].startswith("speed_now stands ")
    assert "usual deviations from where it stood; levels are " in found["asset_levels"]


def test_a_tag_that_stays_where_it_may_but_leaves_the_others_is_told_apart():
    plant = learnt()
    said = feed(plant, [(60.8, 118.9, 50.0)] * 20)
    assert "asset_distance" in names_in(said[-1])
    found = words(plant)["asset_distance"]
    assert "stands where it may (" in found
    assert found.endswith("no longer goes with the others (Q)")
    assert ("temp makes" in found) or ("flow makes" in found)


def test_what_the_members_contribute_adds_up_to_the_distance():
    plant = learnt()
    assert feed(plant, [(70.0, 121.0, 52.0)] * 12)[-1] > 0  # then what is usual does not follow
    white = plant.state.column("member.white")[:3]
    assert sum(contributions(plant.state.columns, plant.site.assets[0])) == pytest.approx(sum(w * w for w in white))


def test_a_decision_keeps_the_verdict_as_evidence():
    plant = learnt()
    feed(plant, [(70.0, 140.0, 50.0)] * 12)
    row = plant.site.assets[0].row
    packed = slice_of(plant.state, plant.site, cycle=1, now_mono_ns=plant.mono_ns, programs=(), rows=[row])
    *members, kept = msgspec.msgpack.decode(packed, type=EvidenceSlice).rows
    assert (kept.tag, kept.device, kept.status) == ("pump", "", 0)
    assert {each.tag: each.value for each in members} == {"pump.temp": 70.0, "pump.flow": 140.0, "pump.speed_now": 50.0}
    assert names_in(kept.anomaly) == tuple(each.name for each in kept.unusual)
    assert kept.value == kept.anomaly_score > 1.65


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_a_row_with_one_value_that_is_no_number_is_unknown(bad):
    plant = learnt()
    assert feed(plant, [(60.0, bad, 50.0)]) == [-1]
    assert feed(plant, ROWS[120:122]) == [0, 0]


def test_bad_quality_never_alarms_and_the_asset_recovers():
    plant = learnt()
    assert feed(plant, [(1e9, -1e9, 1e9)] * 5, status=0x80000000) == [-1] * 5
    assert feed(plant, ROWS[120:130]) == [0] * 10


def test_huge_steps_alarm_and_are_recovered_from():
    plant = learnt()
    assert feed(plant, [(1e308, -1e308, 5e-324)])[0] > 0
    assert 0 in feed(plant, ROWS * 3)  # what 1e18 left in an EWMA of gain 0.05 takes 900 rows


def test_a_clock_that_goes_back_a_gap_and_the_same_row_again_are_rows_like_any():
    plant = learnt()
    plant.wall_ns -= 10**15
    assert feed(plant, [ROWS[121], ROWS[121], ROWS[121]]) == [0, 0, 0]
    plant.advance(7 * 86_400)
    feed(plant, ROWS[122:123])
    assert mask(plant) in (0, -1)
    assert feed(plant, ROWS[123:126])[-1] == 0


def test_constants_are_learnt_without_an_alarm():
    plant = plant_with()
    assert set(feed(plant, [(60.0, 120.0, 50.0)] * 140)) == {-1, 0}


def test_an_asset_costs_what_its_calibration_takes():
    plans = learnt().site.assets
    assert asset_rows(plans) == {"asset": 1, "member": 3, "sample": 300, "factor": 6, "order": 100}
