"""Rules as state machines over the results of their programs. Unknown is never true, and has its own effect."""

from __future__ import annotations

import math
from collections.abc import Iterable

from gatewayd.core.decide.draft import Draft
from gatewayd.core.decide.evidence import slice_of
from gatewayd.core.decide.guards import SLOT_FAIL_SAFE
from gatewayd.core.site import RulePlan, Site
from gatewayd.core.state import Claim, RuleState, State
from gatewayd.model.decision import Reason
from gatewayd.model.record import AlarmEvent, RuleEvent

_UNKNOWN = math.nan
_FALSE = 0.0
_TRUE = 1.0


def advance(state: State, site: Site, draft: Draft, changed: Iterable[int]) -> None:
    """Bring the rules and points up to date with the programs whose results changed."""
    rules: set[int] = set()
    for program in changed:
        users = state.users[program]
        rules.update(users.rules)
        state.dirty.update(users.points)
    for index in sorted(rules):
        _advance_rule(state, site, draft, site.rules[index])


def expire(state: State, site: Site, draft: Draft) -> None:
    """Renew or drop rule claims whose time to live ended."""
    if not 0 < state.next_decide_mono_ns <= draft.mono_ns:
        return
    for index, point in enumerate(state.points):
        for source, claim in list(point.claims.items()):
            if claim.rule >= 0 and 0 < claim.expires_mono_ns <= draft.mono_ns:
                _renew_or_drop(state, site, draft, index, source, claim)


def fail_safe_due(state: State, site: Site, claim: Claim) -> int:
    """Return when a winning claim gives way to the fail-safe value because its rule's inputs are lost; 0 = they are not.

    Only a claim that wins does: what a person or a sound rule holds is not taken away for an input they do not use.
    """
    if claim.rule not in state.lost or claim.slot <= SLOT_FAIL_SAFE:
        return 0
    plan, since_ns = site.rules[claim.rule], state.rules[claim.rule].unknown_since_mono_ns
    return since_ns if plan.on_unknown == "fail_safe" else since_ns + site.points[plan.point].fail_safe_after_ns


def engage_fail_safe(state: State, site: Site, rule_index: int, *, now_mono_ns: int) -> Claim:
    """Put the fail-safe value above a rule whose inputs are lost, until they are back."""
    plan = site.rules[rule_index]
    claim = Claim(
        slot=SLOT_FAIL_SAFE,
        order=plan.index,
        value=site.points[plan.point].fail_safe_value,
        reason=Reason.INPUTS_LOST,
        since_mono_ns=now_mono_ns,
        expires_mono_ns=0,
        rule=plan.index,
    )
    state.points[plan.point].claims[f"fail_safe:{plan.id}"] = claim
    return claim


def _advance_rule(state: State, site: Site, draft: Draft, plan: RulePlan) -> None:
    rule = state.rules[plan.index]
    condition = _condition(state, plan, active=rule.active)
    if math.isnan(condition):
        _become_unknown(state, site, draft, plan, rule)
        return
    rule.settled = True
    was_unknown = not rule.known
    if was_unknown:
        _become_known(state, draft, plan, rule)
    if condition == _TRUE and not rule.active:
        _activate(state, site, draft, plan, rule)
    elif condition == _FALSE and rule.active:
        _deactivate(state, site, draft, plan, rule, Reason.RULE_CLEARED)
    elif rule.active:
        _propose(state, site, draft, plan)
        if was_unknown:
            _record_state(state, site, draft, plan, "active", "unknown")
            _record_alarm(draft, plan, "unack")
    elif was_unknown:
        _record_state(state, site, draft, plan, "inactive", "unknown")


def _condition(state: State, plan: RulePlan, *, active: bool) -> float:
    """Return what the rule should be: 1 active, 0 inactive, NaN unknown."""
    result = state.column("program.result")
    when: float = result[plan.when]
    if not active or plan.clear < 0 or when == _TRUE:
        return when
    clear: float = result[plan.clear]
    if clear == _TRUE:
        return _FALSE
    return _UNKNOWN if math.isnan(clear) or math.isnan(when) else _TRUE


def _activate(state: State, site: Site, draft: Draft, plan: RulePlan, rule: RuleState) -> None:
    rule.active = True
    _record_state(state, site, draft, plan, "active", "inactive")
    _record_alarm(draft, plan, "unack")
    _propose(state, site, draft, plan)


def _deactivate(state: State, site: Site, draft: Draft, plan: RulePlan, rule: RuleState, reason: Reason) -> None:
    rule.active = False
    state.lost.discard(plan.index)
    _record_state(state, site, draft, plan, "inactive", "active")
    _record_alarm(draft, plan, "normal")
    _drop(state, plan, f"rule:{plan.id}", reason)
    _drop(state, plan, f"fail_safe:{plan.id}", reason)


def _become_unknown(state: State, site: Site, draft: Draft, plan: RulePlan, rule: RuleState) -> None:
    if not rule.known or not rule.settled:
        return
    rule.known = False
    rule.unknown_since_mono_ns = draft.mono_ns
    _record_state(state, site, draft, plan, "unknown", "active" if rule.active else "inactive")
    if not rule.active:
        return
    state.lost.add(plan.index)
    _record_alarm(draft, plan, "stale")
    if plan.on_unknown == "release":
        _drop(state, plan, f"rule:{plan.id}", Reason.INPUTS_LOST)
    if plan.point >= 0:
        state.dirty.add(plan.point)


def _become_known(state: State, draft: Draft, plan: RulePlan, rule: RuleState) -> None:
    rule.known = True
    state.lost.discard(plan.index)
    if not rule.active:
        return
    _drop(state, plan, f"fail_safe:{plan.id}", Reason.FAIL_SAFE)
    if plan.point >= 0:
        state.dirty.add(plan.point)  # what was held back may go on


def _propose(state: State, site: Site, draft: Draft, plan: RulePlan) -> None:
    """Claim the rule's slot with the value its `to` gives now; an unknown value proposes nothing new."""
    if plan.point < 0:
        return
    value: float = state.column("program.result")[plan.to]
    if math.isnan(value):
        return
    claims = state.points[plan.point].claims
    source = f"rule:{plan.id}"
    current = claims.get(source)
    if current is not None and abs(current.value - value) <= site.points[plan.point].deadband:
        return
    claims[source] = Claim(
        slot=plan.slot,
        order=plan.index,
        value=value,
        reason=Reason.RULE,
        since_mono_ns=draft.mono_ns,
        expires_mono_ns=draft.mono_ns + plan.ttl_ns,
        rule=plan.index,
    )
    state.dirty.add(plan.point)
    state.next_decide_mono_ns = draft.mono_ns


def _renew_or_drop(state: State, site: Site, draft: Draft, point: int, source: str, claim: Claim) -> None:
    """A claim lives on while its rule still says so with a value that is known."""
    rule, plan = state.rules[claim.rule], site.rules[claim.rule]
    if rule.active and rule.known and not math.isnan(state.column("program.result")[plan.to]):
        claim.expires_mono_ns = draft.mono_ns + plan.ttl_ns
        return
    del state.points[point].claims[source]
    state.points[point].because = Reason.TTL
    state.dirty.add(point)


def _drop(state: State, plan: RulePlan, source: str, reason: Reason) -> None:
    if plan.point >= 0 and state.points[plan.point].claims.pop(source, None) is not None:
        state.points[plan.point].because = reason
        state.dirty.add(plan.point)


def _record_state(state: State, site: Site, draft: Draft, plan: RulePlan, now: str, before: str) -> None:
    evidence = slice_of(state, site, cycle=draft.cycle, now_mono_ns=draft.mono_ns, programs=(plan.when, plan.clear))
    draft.record(RuleEvent(rule=plan.id, state=now, previous=before, evidence=draft.cite(evidence)), evidence=evidence)


def _record_alarm(draft: Draft, plan: RulePlan, alarm_state: str) -> None:
    if plan.alarm is not None:
        draft.record(AlarmEvent(alarm=plan.id, state=alarm_state, priority=plan.alarm.priority, text=plan.alarm.text))
