"""What became of earlier writes, and what follows from it."""

from __future__ import annotations

import math

import msgspec
from msgspec import Struct

from gatewayd.core.decide.draft import Draft
from gatewayd.core.decide.guards import SLOT_FAIL_SAFE
from gatewayd.core.site import NS, PointPlan, Site
from gatewayd.core.state import Claim, PointState, State
from gatewayd.model.decision import OutcomeResult, Reason, WriteOutcome
from gatewayd.model.record import AlarmEvent

RETRY_FIRST_NS = 5 * NS
RETRY_MAX_NS = 60 * NS
MISMATCHES_MAX = 3
MISMATCH_WINDOW_NS = 600 * NS


class SavedPoint(Struct, frozen=True, array_like=True):
    """What must be known of a point after a restart: handed back, not switched too soon, still locked out."""

    owned: bool
    switched_wall_ns: int
    switched_mono_ns: int = 0
    boot_id: bytes = b""
    locked_out: bool = False


def save_point(state: State, site: Site, draft: Draft, index: int) -> None:
    """Note what must survive a restart; a point with nothing to remember is forgotten."""
    plan, point = site.points[index], state.points[index]
    switched_ns = point.switched_mono_ns if plan.min_on_ns or plan.min_off_ns else 0
    saved = SavedPoint(
        owned=point.owned,
        switched_wall_ns=draft.wall_ns - (draft.mono_ns - switched_ns) if switched_ns else 0,
        switched_mono_ns=switched_ns,
        boot_id=state.boot_id,
        locked_out=point.locked_out,
    )
    keep = saved.owned or saved.switched_mono_ns or saved.locked_out
    draft.saves[f"point/{plan.name}"] = msgspec.msgpack.encode(saved) if keep else b""


def take_outcome(state: State, site: Site, draft: Draft, outcome: WriteOutcome) -> None:
    """Learn the result of a write: what the point holds now, whether and when to try again."""
    if not 0 <= outcome.point < len(state.points):
        return  # a write in doubt whose point left the configuration
    point = state.points[outcome.point]
    if point.in_flight != outcome.decision_id:
        return  # an older write of two in doubt: only the newest says what the point holds
    point.in_flight = 0
    state.dirty.add(outcome.point)
    if outcome.result is OutcomeResult.REFUSED:
        _retry_later(point, draft.mono_ns)
        return
    _learn(state, site, draft, outcome)
    if outcome.result is OutcomeResult.UNKNOWN:
        _retry_later(point, draft.mono_ns)
        return
    point.failures = 0
    point.retry_mono_ns = 0
    if outcome.result is OutcomeResult.MISMATCH:
        _mismatch(state, site, draft, outcome)


def expire_trips(state: State, site: Site, draft: Draft) -> None:
    """Give a point that tripped to its fail-safe value back to policy after the time in which mismatches count."""
    if not 0 < state.next_decide_mono_ns <= draft.mono_ns:
        return
    for index, point in enumerate(state.points):
        claim = point.claims.get("mismatch")
        if claim is not None and claim.expires_mono_ns <= draft.mono_ns:
            reset(state, site, draft, index)


def reset(state: State, site: Site, draft: Draft, index: int) -> bool:
    """Forget the mismatches of a point and what followed from them; say whether anything did."""
    plan, point = site.points[index], state.points[index]
    was_tripped, was_locked_out = point.claims.pop("mismatch", None) is not None, point.locked_out
    point.mismatches.clear()
    point.locked_out = False
    if was_tripped:
        point.because = Reason.FAIL_SAFE
    if was_locked_out:
        _alarm(draft, plan, "locked-out", "normal", "")
        save_point(state, site, draft, index)
    if was_tripped or was_locked_out:
        _alarm(draft, plan, "mismatch", "normal", "")
        state.dirty.add(index)
    return was_tripped or was_locked_out


def _learn(state: State, site: Site, draft: Draft, outcome: WriteOutcome) -> None:
    """Note what the point holds after a write that may have reached it."""
    plan, point = site.points[outcome.point], state.points[outcome.point]
    held = math.nan  # the read-back of another tag, still on its way, is no set point: wait for the tag itself
    if outcome.result is OutcomeResult.VERIFIED:
        held = outcome.value
    elif outcome.result is OutcomeResult.MISMATCH and plan.readback_row == plan.row:
        held = outcome.read_back
    may_be = outcome.value if math.isnan(held) else held
    point.commanded = held
    point.known_mono_ns = point.wrote_mono_ns = draft.mono_ns
    if math.isnan(point.sent_from) or (point.sent_from != 0.0) != (may_be != 0.0):
        point.switched_mono_ns = draft.mono_ns
        if plan.min_on_ns or plan.min_off_ns:
            save_point(state, site, draft, outcome.point)


def _mismatch(state: State, site: Site, draft: Draft, outcome: WriteOutcome) -> None:
    """One retry, because a set point is absolute; then the fail-safe value; then a person must look."""
    point, plan = state.points[outcome.point], site.points[outcome.point]
    point.last_key = point.last_key[:1]
    if not outcome.sent_ns:
        return  # in doubt after a restart: it was perhaps never sent, so the actuator is not to blame
    recent = [at for at in point.mismatches if draft.mono_ns - at < MISMATCH_WINDOW_NS]
    point.mismatches = [*recent, draft.mono_ns][-MISMATCHES_MAX:]
    if len(point.mismatches) == 1:
        point.because = Reason.MISMATCH_RETRY
    elif len(point.mismatches) < MISMATCHES_MAX:
        _trip(point, plan, draft)
    else:
        _lock_out(state, site, draft, outcome.point)


def _trip(point: PointState, plan: PointPlan, draft: Draft) -> None:
    point.claims["mismatch"] = Claim(
        slot=SLOT_FAIL_SAFE,
        order=-1,
        value=plan.fail_safe_value,
        reason=Reason.FAIL_SAFE,
        since_mono_ns=draft.mono_ns,
        expires_mono_ns=draft.mono_ns + MISMATCH_WINDOW_NS,
    )
    text = (
        f"{plan.name} did not take its value twice and goes to its fail-safe value; set or clear an override to reset"
    )
    _alarm(draft, plan, "mismatch", "unack", text)


def _lock_out(state: State, site: Site, draft: Draft, index: int) -> None:
    plan, point = site.points[index], state.points[index]
    point.claims.pop("mismatch", None)
    if point.locked_out:
        return
    point.locked_out = True
    text = f"{plan.name} does not do what it is told; set or clear an override to reset it"
    _alarm(draft, plan, "locked-out", "unack", text)
    save_point(state, site, draft, index)


def _alarm(draft: Draft, plan: PointPlan, name: str, alarm_state: str, text: str) -> None:
    priority = "critical" if name == "locked-out" else "high"
    draft.record(AlarmEvent(alarm=f"{plan.name}/{name}", state=alarm_state, priority=priority, text=text))


def _retry_later(point: PointState, now_mono_ns: int) -> None:
    point.failures += 1
    wait_ns = min(RETRY_FIRST_NS << min(point.failures - 1, 8), RETRY_MAX_NS)
    point.retry_mono_ns = now_mono_ns + wait_ns
    point.last_key = point.last_key[:1]
