"""Who wins a point, and what is done about it: claims -> winner -> guards -> a decision carrying its reasons."""

from __future__ import annotations

import math
from dataclasses import dataclass

import msgspec

from gatewayd.core.decide.draft import Draft
from gatewayd.core.decide.evidence import slice_of
from gatewayd.core.decide.guards import SLOT_FAIL_SAFE, Judgement, judge_proposal
from gatewayd.core.decide.outcomes import SavedPoint
from gatewayd.core.site import NS, PointPlan, Site
from gatewayd.core.state import SLOTS, Claim, PointState, State
from gatewayd.model.decision import Command, Mode, Reason
from gatewayd.model.record import Decision

COMMAND_TTL_NS = 10 * NS  # a write not sent by then is not sent at all


_CONTINUES = frozenset(
    {
        Reason.RAMP,
        Reason.MISMATCH_RETRY,
        Reason.RULE_CLEARED,
        Reason.OVERRIDE_RELEASED,
        Reason.OVERRIDE_EXPIRED,
        Reason.TTL,
        Reason.RELINQUISH,
    }
)


@dataclass(slots=True)
class Verdict:
    """One point's winner and what the guards made of it."""

    plan: PointPlan
    claim: Claim
    judgement: Judgement
    in_force: bool  # the plant already holds the value

    @property
    def write(self) -> bool:
        """Say whether a command follows."""
        return self.judgement.write and not self.in_force

    @property
    def holder(self) -> tuple[int, int, int]:
        """Return who wins."""
        return (self.claim.slot, self.claim.rule, self.claim.override_id)

    @property
    def key(self) -> tuple[object, ...]:
        """Return what makes this verdict different from the last one; an equal verdict is not decided again."""
        written = self.judgement.value if self.write else None
        blocked = () if self.judgement.write else tuple(self.judgement.reasons)
        return (self.holder, self.claim.value, written, blocked)


def arbitrate(state: State, site: Site, draft: Draft) -> None:
    """Decide every point whose claims, guards or outcomes changed, or whose time has come."""
    due: set[int] = set()
    if 0 < state.next_decide_mono_ns <= draft.mono_ns:
        due = {index for index, point in enumerate(state.points) if 0 < point.due_mono_ns <= draft.mono_ns}
    for index in sorted(state.dirty | due):
        _decide_point(state, site, draft, site.points[index])
    state.dirty.clear()
    state.next_decide_mono_ns = _next_look(state, site)


def slots_of(point: PointState) -> tuple[float | None, ...]:
    """Return a point's priority array: 16 values, None where nobody holds the slot."""
    array: list[float | None] = [None] * SLOTS
    for claim in sorted(point.claims.values(), key=_rank, reverse=True):
        array[claim.slot - 1] = claim.value
    return tuple(array)


def _rank(claim: Claim) -> tuple[int, int]:
    return (claim.slot, claim.order)


def _winner(state: State, plan: PointPlan, now_mono_ns: int) -> Claim | None:
    """Return the highest claim; the relinquish default if nobody claims a point that we had commanded."""
    point = state.points[plan.index]
    if point.claims:
        return min(point.claims.values(), key=_rank)
    if not point.owned or state.mode is Mode.MONITOR:
        return None
    return Claim(
        slot=0,
        order=0,
        value=plan.relinquish_default,
        reason=Reason.RELINQUISH,
        since_mono_ns=now_mono_ns,
        expires_mono_ns=0,
    )


def _decide_point(state: State, site: Site, draft: Draft, plan: PointPlan) -> None:
    point = state.points[plan.index]
    if point.in_flight:
        return  # its outcome makes the point dirty again
    point.due_mono_ns = 0
    claim = _winner(state, plan, draft.mono_ns)
    if claim is None:
        return
    if draft.mono_ns < point.retry_mono_ns and claim.slot > SLOT_FAIL_SAFE:
        point.due_mono_ns = point.retry_mono_ns
        return
    judgement = judge_proposal(state, site, plan, claim, now_mono_ns=draft.mono_ns)
    point.due_mono_ns = judgement.due_mono_ns
    in_force = not math.isnan(judgement.base) and abs(judgement.value - judgement.base) <= plan.deadband
    verdict = Verdict(plan=plan, claim=claim, judgement=judgement, in_force=in_force)
    if not _is_news(point, verdict):
        _settle(draft, point, verdict)
        return
    body, evidence = _decision(state, site, draft, verdict)
    point.last_key = verdict.key
    name = claim.actor.name if claim.actor else ""
    draft.record(body, evidence=evidence, reason_text=claim.text, actor_name=name)
    if verdict.write:
        _command(draft, point, body, verdict)
    else:
        _settle(draft, point, verdict)


def _is_news(point: PointState, verdict: Verdict) -> bool:
    """Say whether a verdict deserves a decision of its own.

    It does not when nothing changed, when a write merely turned out to be in force, or while a ramp waits for its rate.
    """
    if verdict.key == point.last_key:
        return False
    same_holder = bool(point.last_key) and point.last_key[0] == verdict.holder
    if same_holder and verdict.judgement.write and verdict.in_force:
        return False
    return not (same_holder and verdict.judgement.reasons == [Reason.CLAMP_RATE] and verdict.judgement.due_mono_ns)


def _settle(draft: Draft, point: PointState, verdict: Verdict) -> None:
    """Hand a point back for good once its relinquish default is in force."""
    if verdict.judgement.write and verdict.in_force:
        point.last_key = verdict.key
        if verdict.claim.slot == 0:
            point.owned = False
            point.last_key = ()
            draft.saves[f"point/{verdict.plan.name}"] = b""


def _reasons(point: PointState, verdict: Verdict) -> tuple[Reason, ...]:
    reasons: list[Reason] = []
    if point.handed_back is not None:
        reasons.append(point.handed_back)
    last = point.last_key
    if last and last[:2] == (verdict.holder, verdict.claim.value) and last[2] is not None:
        reasons.append(Reason.RAMP)
    if point.mismatches and not last:
        reasons.append(Reason.MISMATCH_RETRY)
    reasons.append(verdict.claim.reason)
    reasons.extend(verdict.judgement.reasons)
    if verdict.in_force and verdict.judgement.write:
        reasons.append(Reason.IN_FORCE)
    return tuple(dict.fromkeys(reasons))


def _decision(state: State, site: Site, draft: Draft, verdict: Verdict) -> tuple[Decision, bytes]:
    point, claim, judgement = state.points[verdict.plan.index], verdict.claim, verdict.judgement
    rule = site.rules[claim.rule] if claim.rule >= 0 else None
    evidence = _evidence(state, site, draft, verdict)
    before, after = point.slots, slots_of(point)
    reasons = _reasons(point, verdict)
    body = Decision(
        decision_id=state.next_decision_id,
        cycle=draft.cycle,
        point=verdict.plan.name,
        proposed=claim.value,
        value=judgement.value,
        previous=judgement.base,
        write=verdict.write,
        reasons=tuple(reason.value for reason in reasons),
        slot=claim.slot,
        slots_before=before,
        slots_after=after,
        guards=tuple(judgement.results),
        rule=rule.id if rule else "",
        override_id=claim.override_id,
        actor=msgspec.structs.replace(claim.actor, name="") if claim.actor else None,
        parent=point.last_decision if _CONTINUES.intersection(reasons) else 0,
        evidence=draft.cite(evidence),
        site_digest=site.digests.site,
        policy_digest=site.digests.policy,
        model_digest=site.digests.model,
        kernel_digest=state.kernel_digest,
        expires_mono_ns=draft.mono_ns + COMMAND_TTL_NS,
    )
    state.next_decision_id += 1
    point.slots, point.last_decision, point.handed_back = after, body.decision_id, None
    return body, evidence


def _evidence(state: State, site: Site, draft: Draft, verdict: Verdict) -> bytes:
    plan = verdict.plan
    guards = [guard.program for guard in plan.interlocks + plan.permissives]
    rule = site.rules[verdict.claim.rule] if verdict.claim.rule >= 0 else None
    programs = [rule.when, rule.clear, rule.to, *guards] if rule else guards
    return slice_of(
        state,
        site,
        cycle=draft.cycle,
        now_mono_ns=draft.mono_ns,
        programs=programs,
        rows=(plan.row, plan.readback_row),
    )


def _command(draft: Draft, point: PointState, body: Decision, verdict: Verdict) -> None:
    plan, judgement = verdict.plan, verdict.judgement
    point.in_flight = body.decision_id
    if not point.owned:
        point.owned = True
        draft.saves[f"point/{plan.name}"] = msgspec.msgpack.encode(SavedPoint(owned=True, switched_wall_ns=0))
    draft.commands.append(
        Command(
            decision_id=body.decision_id,
            point=plan.index,
            row=plan.row,
            readback_row=plan.readback_row,
            value=judgement.value,
            previous=judgement.base,
            readback_tolerance=plan.readback_tolerance,
            readback_within_ns=plan.readback_within_ns,
            expires_mono_ns=body.expires_mono_ns,
        )
    )


def _next_look(state: State, site: Site) -> int:
    """Return the earliest boot-clock time at which some claim, ramp or override needs another look; 0 = none."""
    times = [point.due_mono_ns for point in state.points]
    times += [claim.expires_mono_ns for point in state.points for claim in point.claims.values()]
    for index in state.lost:
        rule = site.rules[index]
        if rule.point >= 0 and f"fail_safe:{rule.id}" not in state.points[rule.point].claims:
            times.append(state.rules[index].unknown_since_mono_ns + site.points[rule.point].fail_safe_after_ns)
    return min((time for time in times if time > 0), default=0)
