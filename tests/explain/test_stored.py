"""The same explanation from the store alone as from the running journal."""

from __future__ import annotations

from pathlib import Path

import pytest

from gatewayd.errors import StoreError
from gatewayd.explain.gather import Explainer
from gatewayd.explain.stored import open_journal
from tests.explain.made import UNITS, explained, journalled


async def test_a_store_says_what_the_daemon_said(storage):
    plant = await journalled(storage)
    ids = [decision.decision_id for decision in plant.decisions]
    told = [explained(storage, decision_id) for decision_id in ids]
    storage.close()
    with open_journal(Path(storage.folder)) as journal:
        explainer = Explainer(journal, journal.checkpoint)
        assert [explainer.explain(decision_id, UNITS) for decision_id in ids] == told


def test_a_folder_without_a_store_is_refused(tmp_path):
    with pytest.raises(StoreError), open_journal(tmp_path):
        pass
