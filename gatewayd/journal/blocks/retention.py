"""Decisions whose recorded cycles a person wants kept: for an inquiry, a dispute, a lesson."""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from gatewayd.clock import Clock
from gatewayd.errors import RequestRefused
from gatewayd.journal.blocks.pins import RETAINED, RETAINED_MAX, Retained, retained
from gatewayd.journal.log import Journal
from gatewayd.model.decision import NewRecord
from gatewayd.model.record import Actor, Decision, Retention
from gatewayd.model.retention_view import RetainedView, RetentionAnswer

_encoder = msgspec.msgpack.Encoder()


class RetentionDesk:
    """Takes what people ask for to be kept, and to be let go.

    Args:
        journal: where both are journalled.
        clock: for when.
        is_recorded: whether the flight recorder has a cycle.
    """

    def __init__(self, journal: Journal, clock: Clock, is_recorded: Callable[[int], bool]) -> None:
        self._journal = journal
        self._clock = clock
        self._is_recorded = is_recorded

    def listed(self) -> tuple[RetainedView, ...]:
        """Return what is retained now, by decision."""
        return tuple(
            RetainedView(
                id=one.decision_id,
                cycle=one.cycle,
                since_ns=one.since_ns,
                point=one.point,
                recorded=self._is_recorded(one.cycle),
            )
            for one in retained(self._journal)
        )

    async def retain(self, decision_id: int, reason: str, actor: Actor) -> RetentionAnswer | None:
        """Keep the cycle of a decision from now on; None if the journal holds no such decision.

        Raises:
            RequestRefused: it is retained, or too many are.
            StoreError: it could not be journalled; nothing changed.
        """
        record = self._journal.decision(decision_id)
        if record is None or not isinstance(body := record.leaf.body, Decision):
            return None
        kept = retained(self._journal)
        if any(one.decision_id == decision_id for one in kept):
            raise RequestRefused(
                f"decision {decision_id} is retained already", remedy="`gatewayd decisions list --retained` shows all."
            )
        if len(kept) >= RETAINED_MAX:
            raise RequestRefused(
                f"{len(kept)} decisions are retained, and no more can be",
                remedy="Export what is needed, then let some go with `gatewayd decisions release`.",
            )
        one = Retained(decision_id, body.cycle, self._clock.wall_ns(), body.point)
        await self._commit("retained", one, reason, actor, row=_encoder.encode(one))
        lacks = "" if self._is_recorded(body.cycle) else "; its inputs are not recorded any more"
        return RetentionAnswer(message=f"decision {decision_id} is retained{lacks}", decision_id=decision_id)

    async def release(self, decision_id: int, reason: str, actor: Actor) -> RetentionAnswer:
        """Let the cycle of a decision go when its time comes.

        Raises:
            RequestRefused: it is not retained.
            StoreError: it could not be journalled; nothing changed.
        """
        one = next((one for one in retained(self._journal) if one.decision_id == decision_id), None)
        if one is None:
            raise RequestRefused(
                f"decision {decision_id} is not retained", remedy="`gatewayd decisions list --retained` shows all."
            )
        await self._commit("released", one, reason, actor, row=b"")
        return RetentionAnswer(message=f"decision {decision_id} is released", decision_id=decision_id)

    async def _commit(self, event: str, one: Retained, reason: str, actor: Actor, *, row: bytes) -> None:
        nameless = msgspec.structs.replace(actor, name="")
        body = Retention(decision_id=one.decision_id, cycle=one.cycle, event=event, actor=nameless)
        texts = {"reason_text": reason, "actor_name": actor.name}
        personal = {field: text for field, text in texts.items() if text}
        await self._journal.commit([NewRecord(body, personal)], saves={f"{RETAINED}{one.decision_id}": row})
