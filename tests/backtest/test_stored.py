"""A storage folder is a recording: its blocks, and the site they were recorded with."""

from __future__ import annotations

from pathlib import Path

import pytest

from gatewayd.backtest.stored import open_recorder, recorded_site
from gatewayd.errors import StoreError
from gatewayd.journal.blocks.sealed import inputs_of, site_digest_of
from gatewayd.site.digest import digests
from gatewayd.site.load import require_site
from tests.backtest.kept import RUN, keep_cycles
from tests.journal.samples import open_store

EXAMPLE = Path(__file__).resolve().parents[2] / "config"


async def test_the_cycles_and_the_site_of_a_run_are_found(tmp_path):
    config = require_site(EXAMPLE)
    await keep_cycles(tmp_path, config, seconds=3)

    with open_recorder(tmp_path) as (store, (block,)):
        assert [inputs.cycle - RUN for inputs in inputs_of(store, block)] == [1, 2, 3]
        site = recorded_site(store, site_digest_of(store, block))
    assert site.digests == digests(config)
    assert site.plans


def test_a_store_without_a_sealed_block_says_when_there_will_be_one(tmp_path):
    open_store(tmp_path / "store").close()

    with pytest.raises(StoreError, match="no sealed block") as caught, open_recorder(tmp_path):
        pass
    assert "evidence_block_s" in caught.value.remedy
