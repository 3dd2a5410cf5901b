"""What detectors say of a tag, and what a decision keeps of it."""

from __future__ import annotations

import math
import random

import msgspec
import pytest

from gatewayd.core.decide.evidence import slice_of
from gatewayd.core.detect.words import alarming
from gatewayd.model.config import Contract
from gatewayd.model.detectors import DETECTORS, Committee, Ewma, PageHinkley, RangeRecord, RobustZ, Seasonal
from gatewayd.model.record import EvidenceRow, EvidenceSlice
from tests.core.scenario import MEMBERS, Scenario, rule

WAVE = [60.0 + 0.1 * ((7 * i) % 11 - 5) for i in range(200)]
NOISE = [60.0 + random.Random(i).gauss(0.0, 0.1) for i in range(300)]
QUICK = {"page_hinkley": {"warmup": 20}, "range_record": {"warmup": 20}, "robust_z": {"warmup": 20}}
HOUR_S = 3600.0


def watched(**contract: object) -> Scenario:
    """A pump whose temperature has these detectors. Its tags have an hour until they are stale: a week is soon over."""
    members = {name: Contract(units=member.units, stale_after_s=HOUR_S) for name, member in MEMBERS.items()}
    members["temp"] = Contract(units="degC", stale_after_s=HOUR_S, **contract)
    return Scenario(rules=[rule("temp > 200")], contracts=members)


def fed(values: list[float], *, every_s: float = 1.0, **contract: object) -> Scenario:
    plant = watched(**contract)
    for value in values:
        plant.advance(every_s)
        plant.sample(temp=value)
    return plant


def said(plant: Scenario) -> dict[str, str]:
    return {each.name: each.words for each in alarming(plant.state.columns, plant.row["temp"])}


def anomaly(plant: Scenario) -> int:
    return int(plant.state.column("tag.anomaly")[plant.row["temp"]])


def test_every_detector_of_a_tag_has_a_say_and_its_own_bit():
    every = {name: kind() for name, kind in DETECTORS.items()}
    plant = fed(WAVE[:70], **every)
    assert anomaly(plant) == -1  # the slower ones do not know yet
    plant.sample(temp=90.0)
    assert anomaly(plant) & 1


def test_evidence_says_which_detector_how_unusual_and_beside_what():
    plant = fed([*WAVE, 64.0], ewma=Ewma())
    (words,) = said(plant).values()
    assert words.startswith(("12.", "13."))
    assert " sigma above its mean of 60" in words


@pytest.mark.parametrize(
    ("name", "settings", "values", "words"),
    [
        ("robust_z", RobustZ(), [*WAVE, 50.0], "robust sigma below its median of"),
        ("range_record", RangeRecord(warmup=50), [*WAVE, 63.0], "outside all it has been, by 250 % of that range"),
    ],
    ids=["robust_z", "range_record"],
)
def test_each_detector_has_words_of_its_own(name, settings, values, words):
    assert words in said(fed(values, **{name: settings}))[name]


RESPECTS = (
    "it stands outside all it has been in the ",
    "its change from sample to sample is larger than ever in the ",
    "its slow drift is larger than ever in the ",
    "its noise is larger than ever in the ",
    "for some hours it has been less like itself at these hours than ever in the ",
    "it is further than ever from what it is at this time of the day in the ",
)


@pytest.fixture(scope="module")
def jumped() -> Scenario:
    return fed([*NOISE, 90.0], committee=Committee())


@pytest.mark.parametrize(("channel", "words"), list(enumerate(RESPECTS)))
def test_a_committee_says_in_which_respect_by_how_much_and_beside_how_long_a_past(jumped, channel, words):
    jumped.state.column("committee.channel")[0] = channel
    jumped.state.column("committee.excess")[0] = 4.0
    found = said(jumped)["committee"]
    assert found.startswith(words)
    assert "5.02 minutes before (301 samples), by 20 % of that range; score " in found


def test_a_committee_tells_a_value_that_falls_silent_from_one_that_grows_lively(jumped):
    jumped.state.column("committee.channel")[0] = 3
    jumped.state.column("committee.variance")[0] = 1e-9
    assert said(jumped)["committee"].startswith("its noise is smaller than ever")


def test_a_committee_whose_alarm_began_before_the_start_says_no_more_than_it_knows(jumped):
    jumped.state.column("committee.excess")[0] = 0.0
    assert "it did what it never did in the " in said(jumped)["committee"]


def test_a_committee_alarms_by_the_bit_that_records_hold():
    plant = fed([*WAVE, *WAVE, 90.0], committee=Committee())
    assert anomaly(plant) == 64
    assert "alarm from 6.5" in said(plant)["committee"]


def test_page_hinkley_says_what_the_level_is_now():
    plant = fed(WAVE, page_hinkley=PageHinkley())
    for _ in range(20):
        plant.advance(1)
        plant.sample(temp=61.5)
        if anomaly(plant) > 0:
            break
    assert "its level has changed, to about 61.5" in said(plant)["page_hinkley"]


def test_a_cusum_says_which_way_the_level_went():
    from gatewayd.model.detectors import Cusum

    assert "its level has fallen from 59.9" in said(fed([*WAVE, *[59.2] * 15], cusum=Cusum()))["cusum"]


def test_a_seasonal_profile_says_what_is_usual_now():
    days = [10.0 + 5 * (hour % 24 >= 12) + 0.1 * (hour % 7) for hour in range(24 * 4)]
    plant = fed([*days, *days[:12], 10.0], every_s=HOUR_S, seasonal=Seasonal(bins=24))
    assert "its usual deviation below the 15" in said(plant)["seasonal"]


def test_a_held_alarm_says_so():
    plant = fed([*WAVE, 64.0, 60.0], ewma=Ewma(hold_s=30))
    assert said(plant)["ewma"].endswith("(held)")


def test_a_calibrated_alarm_says_how_rare_it_is():
    plant = fed([*WAVE, 64.0], ewma=Ewma(tail=0.01, z_max=1000.0))
    assert "so rare is 1 in" in said(plant)["ewma"]


def test_a_decisions_evidence_carries_the_words_and_only_where_something_alarms():
    plant = fed([*WAVE, 64.0], ewma=Ewma())
    packed = slice_of(
        plant.state,
        plant.site,
        cycle=1,
        now_mono_ns=plant.mono_ns,
        programs=(),
        rows=[plant.row["temp"], plant.row["flow"]],
    )
    rows = {row.tag: row for row in msgspec.msgpack.decode(packed, type=EvidenceSlice).rows}
    assert [each.name for each in rows["pump.temp"].unusual] == ["ewma"]
    assert rows["pump.flow"].unusual == ()


def test_evidence_of_before_there_were_words_is_still_read():
    row = EvidenceRow(
        tag="a", device="d", value=1.0, status=0, source_time_ns=1, ingest_time_ns=1, processing_time_ns=1, anomaly=1
    )
    old = msgspec.msgpack.decode(msgspec.msgpack.encode(row))[:10]
    assert msgspec.msgpack.decode(msgspec.msgpack.encode(old), type=EvidenceRow) == row


@pytest.mark.parametrize("name", DETECTORS)
def test_bad_input_never_alarms_and_is_recovered_from(name):
    """Constants, NaN, infinities, huge steps, duplicates, gaps and samples of bad quality."""
    plant = watched(**{name: msgspec.structs.replace(DETECTORS[name](), **QUICK.get(name, {}))})
    for value in [60.0] * 30 + WAVE[:100]:
        plant.advance(1)
        plant.sample(temp=value)
    assert anomaly(plant) in (0, -1)
    for value in (math.nan, math.inf, -math.inf):
        plant.sample(temp=value)
        assert anomaly(plant) == -1
    for value in (1e308, -1e308, 5e-324):
        plant.sample(temp=value)
        plant.sample(temp=value, status=0x80000000)
        assert anomaly(plant) == -1
    plant.advance(7 * 24 * HOUR_S)
    for value in WAVE:
        plant.advance(1)
        plant.sample(temp=value)
    assert anomaly(plant) in (0, -1)
