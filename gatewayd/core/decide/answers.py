"""What a person is told: not only that a request is accepted, but what the plant will see of it, and why not."""

from __future__ import annotations

import msgspec

from gatewayd.core.decide.arbitrate import winner
from gatewayd.core.decide.draft import Draft
from gatewayd.core.decide.guards import SLOT_FAIL_SAFE
from gatewayd.core.site import Site
from gatewayd.core.state import PointState, State
from gatewayd.model.decision import Mode, Reason
from gatewayd.model.record import Decision


def complete(state: State, site: Site, draft: Draft) -> None:
    """Turn the cycle's accepted requests into replies, now that their points are decided."""
    if not draft.answers:
        return
    bodies = [record.body for record in draft.records]
    decisions = {body.point: body for body in bodies if isinstance(body, Decision)}
    for reply, index in draft.answers:
        decision = decisions.get(site.points[index].name)
        tail = _what_follows(state, state.points[index], decision)
        decision_id = decision.decision_id if decision is not None else 0
        draft.replies.append(
            msgspec.structs.replace(
                reply, message="; ".join(filter(None, (reply.message, tail))), decision_id=decision_id
            )
        )


def _what_follows(state: State, point: PointState, decision: Decision | None) -> str:
    """Return why the point does not do at once what was asked; empty = it does."""
    holder = winner(point)
    if holder is not None and holder.slot <= SLOT_FAIL_SAFE:
        return f"but its fail-safe value {holder.value:g} stands above until its cause ends ({holder.reason.value})"
    if decision is not None:
        if decision.write or Reason.IN_FORCE.value in decision.reasons:
            return ""
        refusal = decision.guards[-1]
        return f"but nothing is written yet: {refusal.guard} {refusal.detail}".rstrip()
    if point.in_flight:
        return "it follows once the write under way has its outcome"
    if holder is None and point.owned and state.mode is Mode.MONITOR:
        return "nothing is written by itself in monitor mode"
    return ""
