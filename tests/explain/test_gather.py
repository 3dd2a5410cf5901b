"""P-LINEAGE: a decision explained from stored bytes only, long after the state it was made in is gone."""

from __future__ import annotations

import hashlib
import re

import click
import msgspec

from gatewayd.cli import explanation
from gatewayd.core.decide.evidence import evidence_rows
from gatewayd.explain import page
from gatewayd.explain.gather import Explainer
from gatewayd.model.config import Contract
from gatewayd.model.decision import NewRecord, OutcomeResult
from gatewayd.model.detectors import Ewma
from gatewayd.model.record import EvidenceSlice
from gatewayd.model.view import Explanation
from gatewayd.model.wanted import EVERYTHING, Wanted
from tests.cli.golden import golden
from tests.core.scenario import MEMBERS, point
from tests.explain.made import UNITS, answer, explained, hot, journalled, keep


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
    assert Explainer(storage.journal, storage.journal.checkpoint).explain(999, UNITS) is None
    assert Explainer(storage.journal, storage.journal.checkpoint).detail(999, UNITS) is None


async def test_one_made_decision_reads_like_this(storage):
    """Clock moved by hand; what differs from run to run is the keys, so hashes are blotted out."""
    plant = await journalled(storage)
    told = explanation.page(explained(storage, plant.decisions[1].decision_id))
    golden("explain/override.txt", re.sub(r"[0-9a-f]{16,}|[A-Za-z0-9+/]{43}=", "#", click.unstyle(told)) + "\n")


async def test_every_kind_of_decision_is_explained_in_every_form(storage):
    """Verified, refused, in doubt, a hold of a person and its end, inputs lost, blocked by an interlock."""
    plant = await hot(storage, points=[point(interlocks={"boiling": "pump.temp > 95"})])
    await answer(storage, plant, OutcomeResult.REFUSED, detail="<script>device says no</script>")
    plant.settle(OutcomeResult.REFUSED)
    for effects in (
        plant.override(60.0, reason="<script>alert(1)</script>\x1b[2J"),
        plant.settle(OutcomeResult.MISMATCH, read_back=3.0),
        plant.release(),
        plant.sample(temp=99.0),
        plant.override(70.0),
        plant.lose("temp"),
        plant.advance(40),
    ):
        await keep(storage, effects)
    ids = [record.leaf.body.decision_id for record in storage.journal.decisions(100)]
    assert len(ids) >= 4
    for decision_id in ids:
        found = explained(storage, decision_id)
        told = page.page(found)
        assert "<script>" not in told
        assert "\x1b[2J" not in told + explanation.page(found)
        assert msgspec.json.decode(msgspec.json.encode(found), type=Explanation) == found


async def test_a_detector_says_in_words_what_was_unusual(storage):
    plant = await hot(storage, contracts=MEMBERS | {"temp": Contract(units="degC", ewma=Ewma(warmup=20))})
    plant.advance(1.0)
    for place in range(60):
        plant.run(1, temp=60.0 + 0.1 * (place % 5))
    plant.sample(temp=120.0)
    row = plant.row["temp"]
    unusual = evidence_rows(plant.state, plant.site, [row])[0].unusual
    assert unusual
    slice_ = EvidenceSlice(cycle=1, expression="", rows=evidence_rows(plant.state, plant.site, [row]), terms=())
    evidence = msgspec.msgpack.encode(slice_)
    body = msgspec.structs.replace(plant.decisions[-1], decision_id=900, evidence=hashlib.sha256(evidence).digest())
    await storage.journal.commit((NewRecord(body=body, evidence=evidence),))
    found = explained(storage, 900)
    assert unusual[0].words in explanation.page(found).replace("\n    ", " ")
    assert "ewma: " in page.page(found)
