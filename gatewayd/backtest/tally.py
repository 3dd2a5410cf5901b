"""What would have fired: counts and times per rule, anomalies per tag, events in the order of time."""

from __future__ import annotations

import math
from array import array
from collections.abc import Callable
from typing import Final

from msgspec import Struct

from gatewayd.core.detectors import instances
from gatewayd.core.site import Site
from gatewayd.core.state import State
from gatewayd.model.decision import Effects
from gatewayd.model.detectors import names_in
from gatewayd.model.record import AlarmEvent, Decision, GuardResult, RuleEvent

EVENTS_MAX: Final = 200_000  # kept; more are counted only
SLICE: Final = 4096  # bytes of the anomaly column that are compared at once


class Event(Struct, frozen=True):
    """Something that would have happened.

    Args:
        kind: `rule`, `alarm`, `decision`, `anomaly`.
        name: of the rule, the alarm, the point, the tag.
        state: `active`, `inactive`, `unknown` of a rule; `unack`, `normal`, `stale` of an alarm; `write` or `held` of a
            decision; `begins` or `ends` of an anomaly.
        detail: for people.
        rule: that a decision follows from.
        value: that a decision would write, NaN of all others.
        guards: what the guards of a decision said.
    """

    time_ns: int
    kind: str
    name: str
    state: str
    detail: str = ""
    rule: str = ""
    value: float = math.nan
    guards: tuple[GuardResult, ...] = ()


class RuleTally(Struct):
    """How often one rule changed, and how long it was active; times are wall ns, 0 = never.

    `first_ns` and `last_ns` are when it first and last became active.
    """

    rule: str
    state: str = "inactive"
    activations: int = 0
    deactivations: int = 0
    unknowns: int = 0
    first_ns: int = 0
    last_ns: int = 0
    active_ns: int = 0
    unknown_ns: int = 0
    alarms: int = 0
    writes: int = 0
    held: int = 0
    since_ns: int = 0  # of `state`


class TagTally(Struct):
    """The anomalies of one tag: how many times one began, the detectors that said so, the largest score at a beginning."""

    tag: str
    anomalies: int = 0
    detectors: tuple[str, ...] = ()
    first_ns: int = 0
    last_ns: int = 0
    score_max: float = 0.0


class Tally:
    """Collects from the effects of cycles.

    Args:
        site: whose rules and tags are counted.
        since_ns: what happens before is not counted; a rule that is active by then is active from then on.
        wants: says of a rule's id whether it is told; alarms and decisions follow their rule.
    """

    def __init__(self, site: Site, *, since_ns: int = 0, wants: Callable[[str], bool] = lambda rule: True) -> None:
        self.rules = {plan.id: RuleTally(plan.id) for plan in site.rules if wants(plan.id)}
        self.tags: dict[int, TagTally] = {}
        self.events: list[Event] = []
        self.events_lost = 0
        self.cycles = 0
        self.decisions = 0
        self.writes = 0
        self._site = site
        self._since_ns = since_ns
        self._is_all = len(self.rules) == len(site.rules)
        self._has_detectors = bool(site.assets) or any(True for tag in site.tags for _ in instances(tag.contract))
        self._anomaly = b""

    def take(self, now_ns: int, effects: Effects, state: State) -> None:
        """Count one cycle."""
        self.cycles += 1
        for record in effects.records:
            match record.body:
                case RuleEvent():
                    self._rule(now_ns, record.body)
                case AlarmEvent():
                    self._alarm(now_ns, record.body)
                case Decision():
                    self._decision(now_ns, record.body)
                case _:
                    pass
        if self._has_detectors:
            self._watch(now_ns, state)

    def end(self, now_ns: int) -> None:
        """Close what is still under way."""
        for rule in self.rules.values():
            self._spend(rule, now_ns)

    # --- rules ------------------------------------------------------------------------------------------------------

    def _rule(self, now_ns: int, body: RuleEvent) -> None:
        rule = self.rules.get(body.rule)
        if rule is None:
            return
        self._spend(rule, now_ns)
        rule.state = body.state
        if now_ns < self._since_ns:
            return
        if body.state == "active":
            rule.activations += 1
            rule.first_ns = rule.first_ns or now_ns
            rule.last_ns = now_ns
        elif body.state == "inactive":
            rule.deactivations += 1
        else:
            rule.unknowns += 1
        self._keep(Event(now_ns, "rule", body.rule, body.state, f"was {body.previous}", body.rule))

    def _spend(self, rule: RuleTally, now_ns: int) -> None:
        """Add the time since the last change to what the rule was until now."""
        spent_ns = max(0, now_ns - max(rule.since_ns, self._since_ns)) if rule.since_ns else 0
        if rule.state == "active":
            rule.active_ns += spent_ns
        elif rule.state == "unknown":
            rule.unknown_ns += spent_ns
        rule.since_ns = now_ns

    def _alarm(self, now_ns: int, body: AlarmEvent) -> None:
        rule = self.rules.get(body.alarm)
        if now_ns < self._since_ns or (rule is None and not self._is_all):
            return
        if rule is not None and body.state == "unack":
            rule.alarms += 1
        told = f"{body.priority}: {body.text}"
        self._keep(Event(now_ns, "alarm", body.alarm, body.state, told, body.alarm if rule else ""))

    def _decision(self, now_ns: int, body: Decision) -> None:
        rule = self.rules.get(body.rule)
        if now_ns < self._since_ns or (rule is None and not self._is_all):
            return
        self.decisions += 1
        self.writes += body.write
        if rule is not None:
            rule.writes += body.write
            rule.held += not body.write
        state = "write" if body.write else "held"
        reasons = ", ".join(body.reasons)
        self._keep(Event(now_ns, "decision", body.point, state, reasons, body.rule, body.value, body.guards))

    # --- detectors --------------------------------------------------------------------------------------------------

    def _watch(self, now_ns: int, state: State) -> None:
        """Find the tags whose anomaly changed; the column is compared as bytes, for it seldom does."""
        now, before = state.column("tag.anomaly").tobytes(), self._anomaly
        if now == before:
            return
        self._anomaly = now
        scores = state.column("tag.anomaly_score")
        for at in range(0, len(now), SLICE):
            if now[at : at + SLICE] == before[at : at + SLICE]:
                continue
            changed = array("q", now[at : at + SLICE])
            known = array("q", before[at : at + SLICE]) or array("q", [-1]) * len(changed)
            for place, (mask, old) in enumerate(zip(changed, known, strict=True)):
                if (mask > 0) != (old > 0):
                    row = at // 8 + place
                    self._anomalous(now_ns, row, mask, scores[row])

    def _anomalous(self, now_ns: int, row: int, mask: int, score: float) -> None:
        if now_ns < self._since_ns:
            return
        label = self._site.label(row)
        names = names_in(mask)
        if mask <= 0:
            self._keep(Event(now_ns, "anomaly", label, "ends"))
            return
        tag = self.tags.setdefault(row, TagTally(label))
        tag.anomalies += 1
        tag.detectors = tuple(dict.fromkeys((*tag.detectors, *names)))
        tag.first_ns = tag.first_ns or now_ns
        tag.last_ns = now_ns
        tag.score_max = max(tag.score_max, abs(score))
        self._keep(Event(now_ns, "anomaly", label, "begins", f"{', '.join(names)}, score {score:.3g}"))

    def _keep(self, event: Event) -> None:
        if len(self.events) < EVENTS_MAX:
            self.events.append(event)
        else:
            self.events_lost += 1
