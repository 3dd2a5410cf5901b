"""The load of the backtest's bench does what it measures: rules fire, every sample is taken."""

from __future__ import annotations

import io

from hil.bench.backtest_load import TAGS, load_site, pack_noise, seconds


def test_the_load_runs_through_rules_and_detectors():
    site, file = load_site(), io.BytesIO()
    packed = pack_noise(file, site, rows=20)

    assert packed.contents.samples == 20 * TAGS
    assert seconds(site, packed, packed.chunks) > 0
