import numpy as np

from gatewayd.model.detectors import AssetDetect
from gatewayd.model.detectors import Committee as CommitteeSettings
from hil.bench.detectors import Asset, Committee, bytes_per_tag

FIVE_MINUTES = 300 * 10**9


def test_a_series_does_not_know_what_was_before_it():
    values = np.random.default_rng(1).normal(20.0, 1.0, 600).tolist()
    times = [row * FIVE_MINUTES for row in range(600)]
    committee = Committee()
    first = committee.scores(times, values)
    committee.scores(times, [1e6] * 600)
    again = committee.scores(times, values)
    assert again.event.tolist() == first.event.tolist()
    assert again.level.tolist() == first.level.tolist()


def test_a_step_is_an_event_and_its_level_stays_for_a_while():
    values = [*np.random.default_rng(1).normal(20.0, 1.0, 1500).tolist(), *[60.0] * 30]
    scores = Committee().scores([row * FIVE_MINUTES for row in range(1530)], values)
    assert scores.event[:256].max() == 0.0, "while it warms up it says nothing"
    assert scores.event[1500] > CommitteeSettings().limit
    assert scores.level[1529] > 0.7 * scores.level[1500]


def test_a_tag_with_a_clock_takes_at_most_512_bytes():
    assert bytes_per_tag() <= 512
    assert bytes_per_tag(CommitteeSettings(clock_bins=0)) <= 128


def test_an_asset_says_nothing_while_it_learns():
    rows = np.random.default_rng(2).normal(0.0, 1.0, (300, 3))
    rows[250:] += 20.0
    scores = Asset(3, AssetDetect(calibration=200)).scores(rows)
    assert not scores.alarm[:200].any()
    assert np.isnan(scores.score[:200]).all()
    assert not scores.alarm[201:240].any()
    assert scores.alarm[270:].all()
