"""Decisions made by a plant on paper and journalled, to be explained."""

from __future__ import annotations

from gatewayd.explain.gather import Explainer
from gatewayd.model.decision import Effects, NewRecord, OutcomeResult
from gatewayd.model.record import Outcome, Start
from gatewayd.model.view import Explanation
from gatewayd.storage import Storage
from tests.core.scenario import Scenario, rule

UNITS = {"pump.speed": "%"}
HOT = rule("temp > 85", to="min(speed, 40)", clear="temp < 75")


async def keep(storage: Storage, effects: Effects) -> None:
    """Make what a cycle wants durable."""
    await storage.journal.commit(effects.records, intents=effects.commands)


async def answer(
    storage: Storage, plant: Scenario, result: OutcomeResult = OutcomeResult.VERIFIED, detail: str = ""
) -> None:
    """Journal what became of the plant's last command."""
    command = plant.commands[-1]
    outcome = Outcome(
        decision_id=command.decision_id,
        result=result.value,
        value=command.value,
        read_back=command.value,
        sent_ns=plant.wall_ns + 2_000_000,
        answered_ns=plant.wall_ns + 14_000_000,
        detail=detail,
    )
    await storage.journal.commit((NewRecord(body=outcome),), resolves=(command.decision_id,))


async def hot(storage: Storage, **more: object) -> Scenario:
    """A started gateway whose rule has slowed down a hot pump; no outcome yet."""
    start = Start(version="1.2.3", kernel_digest=b"k" * 32)
    await storage.journal.commit((NewRecord(body=start),))
    plant = Scenario(rules=[HOT], **more)  # type: ignore[arg-type]
    plant.sample(temp=60.0, speed=80.0)
    await keep(storage, plant.sample(temp=90.0))
    return plant


async def journalled(storage: Storage) -> Scenario:
    """A hot bearing, its write verified, then a person's override."""
    plant = await hot(storage)
    await answer(storage, plant)
    plant.settle()
    await keep(storage, plant.override(60.0, reason="vibration survey"))
    return plant


def explained(storage: Storage, decision_id: int) -> Explanation:
    """Explain a decision that was made."""
    found = Explainer(storage.journal, storage.journal.checkpoint).explain(decision_id, UNITS)
    assert found is not None
    return found
