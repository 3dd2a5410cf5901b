"""What stands around a decision: proof, neighbours, override, and what is missing, said plainly."""

from __future__ import annotations

import msgspec

from gatewayd.model.decision import NewRecord, OutcomeResult
from tests.core.scenario import Scenario, hot_plant, rule
from tests.explain.made import answer, explained, hot, journalled, keep


async def test_every_part_of_the_expression_has_its_value(storage):
    plant = await hot(storage)
    account = explained(storage, plant.decisions[0].decision_id).account
    assert [(step.text, step.value) for step in account.traces[0].steps] == [("temp", 90.0), ("temp > 85", 1.0)]
    assert account.gateway_version == "1.2.3"


async def test_the_inclusion_proof_holds_once_a_checkpoint_covers_the_record(storage):
    plant = await hot(storage)
    assert explained(storage, plant.decisions[0].decision_id).account.is_included is True


async def test_a_write_without_an_outcome_is_in_doubt(storage):
    plant = await hot(storage)
    account = explained(storage, plant.decisions[0].decision_id).account
    assert account.is_in_doubt
    assert any("the outcome" in lack for lack in account.not_recorded)
    await answer(storage, plant)
    account = explained(storage, plant.decisions[0].decision_id).account
    assert not account.is_in_doubt
    assert [one.result for one in account.attempts] == ["verified"]


async def test_an_override_names_who_until_when_and_why(storage):
    plant = await journalled(storage)
    override = explained(storage, plant.decisions[1].decision_id).account.override
    assert (override.by, override.reason, override.value) == ("ana", "vibration survey", 60.0)
    assert override.expires_ns == plant.wall_ns + 60_000_000_000


async def test_the_neighbours_on_the_point_are_found_among_many(storage):
    plant = hot_plant()
    for number in range(9):
        await keep(storage, plant.override(50.0 + number, seconds=600))
        plant.settle()
    ids = [decision.decision_id for decision in plant.decisions]
    assert len(ids) > 5
    for place, decision_id in enumerate(ids):
        account = explained(storage, decision_id).account
        assert (account.before.id if account.before else 0) == (ids[place - 1] if place else 0)
        assert (account.after.id if account.after else 0) == (ids[place + 1] if place + 1 < len(ids) else 0)


async def test_neighbours_are_found_across_the_decisions_of_other_points(storage):
    plant = await hot(storage)
    ids = [1]
    for decision_id in range(2, 60):
        is_ours = decision_id in {3, 4, 11, 29, 30, 31, 57}
        ids += [decision_id] if is_ours else []
        body = plant.decisions[0]
        point = body.point if is_ours else "pump.other"
        await storage.journal.commit(
            (NewRecord(body=msgspec.structs.replace(body, decision_id=decision_id, point=point, evidence=b"")),)
        )
    for before, decision_id, after in zip([0, *ids], ids, [*ids[1:], 0], strict=False):
        account = explained(storage, decision_id).account
        assert (account.before.id if account.before else 0) == before
        assert (account.after.id if account.after else 0) == after


async def test_what_is_not_kept_is_said_and_not_invented(storage):
    """The plant on paper cites a configuration that nobody stored."""
    plant = await hot(storage)
    await answer(storage, plant, OutcomeResult.REFUSED)
    account = explained(storage, plant.decisions[0].decision_id).account
    assert account.rule is None
    assert any("the configuration" in lack for lack in account.not_recorded)
    assert any("the rule's text" in lack for lack in account.not_recorded)


async def test_a_fail_safe_decision_is_explained(storage):
    plant = Scenario(rules=[rule("temp > 85", clear="temp < 75", on_unknown="fail_safe")])
    plant.sample(temp=90.0, speed=80.0)
    plant.settle()
    await keep(storage, plant.lose("temp"))
    decision = plant.decisions[-1]
    found = explained(storage, decision.decision_id)
    assert (found.detail.decision.reasons, found.detail.decision.value) == (("inputs_lost",), 20.0)
