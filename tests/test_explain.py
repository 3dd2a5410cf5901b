"""P-LINEAGE: a decision explained from stored bytes only, long after the state it was made in is gone."""

from __future__ import annotations

from pathlib import Path

import pytest

from gatewayd.explain import Explainer
from gatewayd.journal.keys import create_identity
from gatewayd.model.config import Gateway, GatewayFile
from gatewayd.model.config import Storage as StorageConfig
from gatewayd.model.decision import NewRecord, OutcomeResult
from gatewayd.model.record import Outcome
from gatewayd.model.wanted import EVERYTHING, Wanted
from gatewayd.storage import Storage
from tests.clock import ManualClock
from tests.core.scenario import Scenario, rule

NAME = "test.example/gw/one"
UNITS = {"pump.speed": "%"}


@pytest.fixture
def storage(tmp_path: Path):
    create_identity(tmp_path, NAME)
    config = GatewayFile(gateway=Gateway(name=NAME), storage=StorageConfig(path=str(tmp_path), quota_mb=16))
    storage = Storage.open(config, ManualClock())
    yield storage
    storage.close()


async def journalled(storage: Storage) -> Scenario:
    """A hot bearing, its write verified, then a person's override."""
    plant = Scenario(rules=[rule("temp > 85", to="min(speed, 40)", clear="temp < 75")])
    plant.sample(temp=60.0, speed=80.0)
    effects = plant.sample(temp=90.0)
    await storage.journal.commit(effects.records, intents=effects.commands)
    command = plant.commands[-1]
    outcome = Outcome(
        decision_id=command.decision_id,
        result=OutcomeResult.VERIFIED.value,
        value=command.value,
        read_back=command.value,
        sent_ns=5,
        answered_ns=6,
    )
    await storage.journal.commit((NewRecord(body=outcome),), resolves=(command.decision_id,))
    plant.settle()
    effects = plant.override(60.0, reason="vibration survey")
    await storage.journal.commit(effects.records, intents=effects.commands)
    return plant


async def test_a_rules_decision_shows_samples_terms_guards_and_outcome(storage):
    plant = await journalled(storage)
    explained = Explainer(storage.journal).explain(plant.decisions[0].decision_id, UNITS)
    assert explained is not None
    assert explained.evidence_intact
    assert explained.filled_in.splitlines()[0] == "temp [90] > 85"
    assert {sample.tag: sample.value for sample in explained.samples}["pump.temp"] == 90.0
    assert explained.detail.write is not None
    assert explained.detail.write.result == "verified"
    assert explained.detail.slots_after[11] == 40.0
    assert explained.detail.versions.policy == (b"p" * 32).hex()
    assert {guard.verdict for guard in explained.detail.guards} == {"pass"}


async def test_a_persons_decision_names_them_from_the_side_table(storage):
    plant = await journalled(storage)
    detail = Explainer(storage.journal).detail(plant.decisions[1].decision_id, UNITS)
    assert detail is not None
    assert detail.decision.actor is not None
    assert (detail.decision.actor.name, detail.reason_text) == ("ana", "vibration survey")


async def test_the_list_is_newest_first_and_pages(storage):
    plant = await journalled(storage)
    explainer = Explainer(storage.journal)
    turns = []

    async def listed(wanted: Wanted = EVERYTHING):
        return await explainer.decisions(10, wanted, UNITS, turn)

    async def turn() -> None:
        turns.append(1)

    newest, older = await listed()
    assert [newest.id, older.id] == [plant.decisions[1].decision_id, plant.decisions[0].decision_id]
    assert [line.id for line in await listed(Wanted(before=newest.id))] == [older.id]
    assert await listed(Wanted(point="pump.other")) == ()
    assert turns, "others have their turn between two looks"
    assert older.outcome == "verified"
    assert older.units == "%"


async def test_a_decision_that_never_was_is_not_explained(storage):
    await journalled(storage)
    assert Explainer(storage.journal).explain(999, UNITS) is None
    assert Explainer(storage.journal).detail(999, UNITS) is None
