"""What an asset has learned outlives a restart."""

from __future__ import annotations

import struct

import msgspec
import pytest

from gatewayd.core.detect.asset_memory import KIND, AssetsLearned, learned_assets, restore_assets
from gatewayd.model.detectors import AssetDetect
from tests.core.detect.test_asset_words import MEMBERS, ROWS, feed, learnt, plant_with
from tests.core.scenario import Scenario


def saved(plant: Scenario) -> bytes:
    return learned_assets(plant.state, plant.site)[KIND]


def restored(plant: Scenario, content: bytes) -> int | None:
    return restore_assets(plant.state, plant.site, content)


def test_it_goes_on_exactly_where_it_was():
    before, after = learnt(), plant_with()
    assert restored(after, saved(before)) == 1
    assert saved(after) == saved(before)
    for row in (ROWS[130], (70.0, 140.0, 50.0), ROWS[131]):
        assert feed(after, [row]) == feed(before, [row])
    assert saved(after) == saved(before)


def test_a_calibration_goes_on_too():
    before, after = plant_with(), plant_with()
    feed(before, ROWS[:60])
    assert restored(after, saved(before)) == 1
    assert feed(after, ROWS[60:102]) == feed(before, ROWS[60:102])
    assert feed(after, ROWS[102:103]) == [0]


@pytest.mark.parametrize(
    "together",
    [AssetDetect(calibration=150, tags=MEMBERS), AssetDetect(calibration=100, tags=("temp", "flow"))],
    ids=["another calibration", "other members"],
)
def test_another_asset_learns_anew(together):
    after = plant_with(together=together)
    assert restored(after, saved(learnt())) == 0
    assert after.state.column("asset.count")[0] == 0


def test_other_limits_keep_what_was_learned():
    after = plant_with(together=AssetDetect(calibration=100, limit=2.0, tags=MEMBERS))
    assert restored(after, saved(learnt())) == 1


@pytest.mark.parametrize("cut", [0, 1, 50, -1])
def test_bytes_that_are_cut_are_told(cut):
    assert restored(plant_with(), saved(learnt())[:cut]) is None


def test_numbers_that_cannot_be_are_not_taken():
    past = msgspec.msgpack.decode(saved(learnt()), type=AssetsLearned)
    nan = struct.pack("=d", float("nan"))
    for change in (
        {"members": nan + past.assets[0].members[8:]},
        {"factor": past.assets[0].factor[8:]},
        {"own": (-1.0, *past.assets[0].own[1:])},
        {"own": (float("inf"), *past.assets[0].own[1:])},
        {"own": (1e300, *past.assets[0].own[1:])},
    ):
        bad = msgspec.structs.replace(past, assets=(msgspec.structs.replace(past.assets[0], **change),))
        after = plant_with()
        assert restored(after, msgspec.msgpack.encode(bad)) == 0
        assert after.state.column("asset.count")[0] == 0


def test_a_site_that_watches_no_asset_keeps_nothing():
    assert learned_assets(*(lambda plant: (plant.state, plant.site))(Scenario())) == {}
