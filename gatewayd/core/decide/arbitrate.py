"""Who wins a point, and what is done about it: claims -> winner -> guards -> a decision carrying its reasons."""

from __future__ import annotations

from dataclasses import dataclass

from gatewayd.core.decide.draft import Draft
from gatewayd.core.decide.evidence import slice_of
from gatewayd.core.decide.guards import SLOT_FAIL_SAFE, Judgement, judge_proposal, observe
from gatewayd.core.decide.outcomes import save_point
from gatewayd.core.decide.rules import engage_fail_safe, fail_safe_due
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
        """Return what makes this verdict different from the last one; an equal verdict is not decided again.

        After a failed write only the holder is remembered: the same verdict is then news again.
        """
        written = self.judgement.value if self.write else None
        blocked = () if self.judgement.write else tuple(self.judgement.reasons)
        return (self.holder, self.claim.value, written, blocked)


def arbitrate(state: State, site: Site, draft: Draft) -> None:
    """Decide every point whose claims, guards or outcomes changed, or whose time has come."""
    due: set[int] = set()
    is_time = 0 < state.next_decide_mono_ns <= draft.mono_ns
    if not state.dirty and not is_time:
        return
    if is_time:
        due = {index for index, point in enumerate(state.points) if 0 < point.due_mono_ns <= draft.mono_ns}
    for index in sorted(state.dirty | due):
        _decide_point(state, site, draft, site.points[index])
    state.dirty.clear()
    state.next_decide_mono_ns = _next_look(state)


def slots_of(point: PointState) -> tuple[float | None, ...]:
    """Return a point's priority array: 16 values, None where nobody holds the slot."""
    array: list[float | None] = [None] * SLOTS
    for claim in sorted(point.claims.values(), key=_rank, reverse=True):
        array[claim.slot - 1] = claim.value
    return tuple(array)


def _rank(claim: Claim) -> tuple[int, int]:
    return (claim.slot, claim.order)


def winner(point: PointState) -> Claim | None:
    """Return the highest claim on a point."""
    return min(point.claims.values(), key=_rank, default=None)


def _winner(state: State, site: Site, plan: PointPlan, now_mono_ns: int) -> Claim | None:
    """Return who decides now: the highest claim, its fail-safe, or nobody.

    The relinquish default decides where nobody claims a point that we had commanded.
    """
    point = state.points[plan.index]
    claim = winner(point)
    if claim is not None:
        due_ns = fail_safe_due(state, site, claim)
        if 0 < due_ns <= now_mono_ns:
            return engage_fail_safe(state, site, claim.rule, now_mono_ns=now_mono_ns)
        point.due_mono_ns = due_ns
        return claim
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


def _is_too_soon(point: PointState, claim: Claim, now_mono_ns: int) -> bool:
    """Say whether a failed write keeps this one waiting: a fail-safe value waits only for a fail-safe value."""
    is_fail_safe, was_fail_safe = claim.slot == SLOT_FAIL_SAFE, point.sent_slot == SLOT_FAIL_SAFE
    return now_mono_ns < point.retry_mono_ns and (was_fail_safe or not is_fail_safe)


def _decide_point(state: State, site: Site, draft: Draft, plan: PointPlan) -> None:
    point = state.points[plan.index]
    point.due_mono_ns = 0
    if point.in_flight:
        return  # its outcome makes the point dirty again
    observe(state, plan, now_mono_ns=draft.mono_ns)
    claim = _winner(state, site, plan, draft.mono_ns)
    if claim is None:
        return
    if _is_too_soon(point, claim, draft.mono_ns):
        point.due_mono_ns = _sooner(point.due_mono_ns, point.retry_mono_ns)
        return
    judgement = judge_proposal(state, site, plan, claim, now_mono_ns=draft.mono_ns)
    point.due_mono_ns = _sooner(point.due_mono_ns, judgement.due_mono_ns)
    in_force = abs(judgement.value - judgement.base) <= plan.deadband and Reason.CLAMP_STEP not in judgement.reasons
    verdict = Verdict(plan=plan, claim=claim, judgement=judgement, in_force=in_force)
    if not _is_news(point, verdict):
        _settle(state, site, draft, verdict)
        return
    body, evidence = _decision(state, site, draft, verdict)
    point.last_key = verdict.key
    name = claim.actor.name if claim.actor else ""
    draft.record(body, evidence=evidence, reason_text=claim.text, actor_name=name)
    if verdict.write:
        _command(state, site, draft, body, verdict)
    else:
        _settle(state, site, draft, verdict)


def _is_news(point: PointState, verdict: Verdict) -> bool:
    """Say whether a verdict deserves a decision of its own.

    It does not when nothing changed, when a write merely turned out to be in force, or while a ramp or a retry waits for
    its rate or for the first sample after the write before.
    """
    if verdict.key == point.last_key:
        return False
    same_holder = bool(point.last_key) and point.last_key[0] == verdict.holder
    if same_holder and verdict.judgement.write and verdict.in_force:
        return False
    waits = verdict.judgement.reasons in ([Reason.CLAMP_RATE], [Reason.NO_PRESENT_VALUE])
    return not (same_holder and waits and verdict.judgement.due_mono_ns)


def _sooner(first_mono_ns: int, second_mono_ns: int) -> int:
    """Return the earlier of two deadlines of which 0 is none."""
    return min(first_mono_ns or second_mono_ns, second_mono_ns or first_mono_ns)


def _settle(state: State, site: Site, draft: Draft, verdict: Verdict) -> None:
    """Hand a point back for good once its relinquish default is in force."""
    point = state.points[verdict.plan.index]
    if verdict.judgement.write and verdict.in_force:
        point.last_key = verdict.key
        if verdict.claim.slot == 0:
            point.owned = False
            point.last_key = ()
            save_point(state, site, draft, verdict.plan.index)


def _reasons(point: PointState, verdict: Verdict) -> tuple[Reason, ...]:
    reasons: list[Reason] = []
    if point.because is not None:
        reasons.append(point.because)
    last = point.last_key
    if last[:2] == (verdict.holder, verdict.claim.value) and last[2] is not None:
        reasons.append(Reason.RAMP)
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
        actor=claim.actor.without_name() if claim.actor else None,
        parent=point.last_decision if _CONTINUES.intersection(reasons) else 0,
        evidence=draft.cite(evidence),
        site_digest=site.digests.site,
        policy_digest=site.digests.policy,
        model_digest=site.digests.model,
        kernel_digest=state.kernel_digest,
        expires_mono_ns=draft.mono_ns + COMMAND_TTL_NS,
    )
    state.next_decision_id += 1
    point.slots, point.last_decision, point.because = after, body.decision_id, None
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


def _command(state: State, site: Site, draft: Draft, body: Decision, verdict: Verdict) -> None:
    plan, judgement = verdict.plan, verdict.judgement
    point = state.points[plan.index]
    point.in_flight, point.sent_from, point.sent_slot = body.decision_id, judgement.base, verdict.claim.slot
    point.due_mono_ns = 0  # its outcome comes first
    if not point.owned:
        point.owned = True
        save_point(state, site, draft, plan.index)
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


def _next_look(state: State) -> int:
    """Return the earliest boot-clock time at which some claim, ramp or override needs another look; 0 = none."""
    times = [point.due_mono_ns for point in state.points]
    times += [claim.expires_mono_ns for point in state.points for claim in point.claims.values()]
    return min((time for time in times if time > 0), default=0)
