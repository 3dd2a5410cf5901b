"""What became of earlier writes, and what follows from it."""

from __future__ import annotations

import math

import msgspec
from msgspec import Struct

from gatewayd.core.decide.draft import Draft
from gatewayd.core.decide.guards import SLOT_FAIL_SAFE
from gatewayd.core.site import NS, Site
from gatewayd.core.state import Claim, PointState, State
from gatewayd.model.decision import OutcomeResult, Reason, WriteOutcome
from gatewayd.model.record import AlarmEvent

RETRY_FIRST_NS = 5 * NS
RETRY_MAX_NS = 60 * NS
MISMATCHES_MAX = 3
MISMATCH_WINDOW_NS = 600 * NS


class SavedPoint(Struct, frozen=True, array_like=True):
    """What must be known of a point after a restart, so that it is handed back and not switched too soon."""

    owned: bool
    switched_wall_ns: int


def take_outcome(state: State, site: Site, draft: Draft, outcome: WriteOutcome) -> None:
    """Learn the result of a write: what the point holds now, whether and when to try again."""
    if not 0 <= outcome.point < len(state.points):
        return  # a write in doubt whose point left the configuration
    point = state.points[outcome.point]
    if point.in_flight == outcome.decision_id:
        point.in_flight = 0
    state.dirty.add(outcome.point)
    state.next_decide_mono_ns = draft.mono_ns
    if outcome.result is OutcomeResult.VERIFIED:
        _verified(site, draft, point, outcome)
    elif outcome.result is OutcomeResult.MISMATCH:
        _mismatch(state, site, draft, point, outcome)
    else:
        if outcome.result is OutcomeResult.UNKNOWN:
            point.commanded = math.nan
        _retry_later(point, draft.mono_ns)


def _verified(site: Site, draft: Draft, point: PointState, outcome: WriteOutcome) -> None:
    was_on, is_on = point.commanded != 0.0, outcome.value != 0.0
    if math.isnan(point.commanded) or was_on != is_on:
        point.switched_mono_ns = draft.mono_ns
    point.commanded = outcome.value
    point.commanded_mono_ns = draft.mono_ns
    point.failures = 0
    point.retry_mono_ns = 0
    saved = SavedPoint(owned=point.owned, switched_wall_ns=draft.wall_ns)
    draft.saves[f"point/{site.points[outcome.point].name}"] = msgspec.msgpack.encode(saved)


def _mismatch(state: State, site: Site, draft: Draft, point: PointState, outcome: WriteOutcome) -> None:
    """One retry, because a set point is absolute; then the fail-safe value; then a person must look."""
    point.commanded = outcome.read_back
    recent = [at for at in point.mismatches if draft.mono_ns - at < MISMATCH_WINDOW_NS]
    point.mismatches = [*recent, draft.mono_ns][-MISMATCHES_MAX:]
    plan = site.points[outcome.point]
    if len(point.mismatches) == 1:
        point.last_key = ()
        return
    if len(point.mismatches) < MISMATCHES_MAX:
        point.claims["mismatch"] = Claim(
            slot=SLOT_FAIL_SAFE,
            order=-1,
            value=plan.fail_safe_value,
            reason=Reason.FAIL_SAFE,
            since_mono_ns=draft.mono_ns,
            expires_mono_ns=0,
        )
        return
    point.claims.pop("mismatch", None)
    point.locked_out = True
    draft.record(
        AlarmEvent(
            alarm=f"{plan.name}/locked-out",
            state="unack",
            priority="critical",
            text=f"{plan.name} does not do what it is told; set or clear an override to reset it",
        )
    )


def _retry_later(point: PointState, now_mono_ns: int) -> None:
    point.failures += 1
    wait_ns = min(RETRY_FIRST_NS << min(point.failures - 1, 8), RETRY_MAX_NS)
    point.retry_mono_ns = now_mono_ns + wait_ns
    point.last_key = ()
