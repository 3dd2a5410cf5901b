"""P-LINEAGE: a decision explained from stored bytes only, long after the state it was made in is gone."""

from __future__ import annotations

from gatewayd.explain.gather import Explainer
from tests.explain.made import UNITS, journalled


async def test_a_rules_decision_shows_samples_terms_guards_and_outcome(storage):
    plant = await journalled(storage)
    explained = Explainer(storage.journal, storage.journal.checkpoint).explain(plant.decisions[0].decision_id, UNITS)
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
    detail = Explainer(storage.journal, storage.journal.checkpoint).detail(plant.decisions[1].decision_id, UNITS)
    assert detail is not None
    assert detail.decision.actor is not None
    assert (detail.decision.actor.name, detail.reason_text) == ("ana", "vibration survey")


async def test_the_list_is_newest_first_and_pages(storage):
    plant = await journalled(storage)
    explainer = Explainer(storage.journal, storage.journal.checkpoint)
    newest, older = explainer.decisions(10, 0, "", UNITS)
    assert [newest.id, older.id] == [plant.decisions[1].decision_id, plant.decisions[0].decision_id]
    assert [line.id for line in explainer.decisions(10, newest.id, "", UNITS)] == [older.id]
    assert explainer.decisions(10, 0, "pump.other", UNITS) == ()
    assert older.outcome == "verified"
    assert older.units == "%"


async def test_a_decision_that_never_was_is_not_explained(storage):
    await journalled(storage)
    assert Explainer(storage.journal, storage.journal.checkpoint).explain(999, UNITS) is None
    assert Explainer(storage.journal, storage.journal.checkpoint).detail(999, UNITS) is None
