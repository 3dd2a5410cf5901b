"""A decision in words, the same for every form. Nothing here is cleaned or escaped: each form does that its own way."""

from __future__ import annotations

from gatewayd.model.account import Attempt, OverrideFact
from gatewayd.model.decision import RUN_SHIFT
from gatewayd.model.view import ActorView, DecisionDetail, Explanation

SLOTS = {
    1: "manual life safety",
    2: "automatic life safety",
    5: "critical equipment",
    6: "minimum on/off",
    8: "manual operator",
    10: "approved remote command",
    12: "policy",
    13: "canary policy",
    15: "schedule",
    16: "default",
}
REASONS = {
    "rule": "a rule's condition became true",
    "rule_cleared": "the rule's condition cleared",
    "ttl": "the proposal's time to live ended",
    "override": "a person holds the point",
    "override_released": "a person handed the point back",
    "override_expired": "the override's time ended",
    "relinquish": "no slot is held, so the relinquish default applies",
    "fail_safe": "the point goes to its fail-safe value",
    "inputs_lost": "the inputs are lost",
    "stopping": "the daemon was stopping",
    "clamp_range": "limited to write_min and write_max",
    "clamp_step": "limited to the largest step",
    "clamp_rate": "limited to the largest rate",
    "ramp": "one step on the way to the target",
    "hold_min_on": "held until the minimum on time has passed",
    "hold_min_off": "held until the minimum off time has passed",
    "interlock": "blocked by an interlock",
    "permissive": "a permissive is missing",
    "input_quality": "an input is not Good",
    "input_age": "an input is too old",
    "monitor": "automatic writes were held back",
    "in_force": "the plant already holds the value",
    "no_present_value": "the present value is not known",
    "locked_out": "locked out after repeated mismatches; a person must reset it",
    "mismatch_retry": "repeated after a read-back that did not match",
}
NOT_RECORDED = "not recorded"


def number(value: float | None, units: str = "") -> str:
    """Return a value with its units; `-` where there is none."""
    if value is None:
        return "-"
    return f"{value:.6g} {units}".rstrip()


def after(time_ns: int, decided_ns: int) -> str:
    """Return a time as seen from the decision: `-0.120 s` is 120 ms before it; `-` for never."""
    return "-" if time_ns == 0 else f"{(time_ns - decided_ns) / 1e9:+.3f} s"


def done(found: DecisionDetail) -> str:
    """Return what was done, in one sentence."""
    decision = found.decision
    value = number(decision.value, decision.units)
    if not decision.write:
        return f"nothing was written: {decision.point} was to go to {value} and did not"
    before = "; the value before was not known" if decision.previous is None else ""
    stood = f", from {number(decision.previous, decision.units)}" if decision.previous is not None else before
    asked = ""
    if found.proposed is not None and found.proposed != decision.value:
        asked = f" (asked for: {number(found.proposed, decision.units)})"
    return f"{decision.point} {_verb(found)} {value}{stood}{asked}"


def _verb(found: DecisionDetail) -> str:
    """Return no more than the record proves: only a verified write is known to have been done."""
    if found.write is None:
        return "was to be set to"
    if found.write.result == "verified":
        return "was set to"
    return "was told to go to" if found.write.sent_ns else "was to be set to"


def reasons(found: DecisionDetail) -> str:
    """Return all reasons, in order."""
    return "; ".join(REASONS.get(reason, f"{reason} (see the manual)") for reason in found.decision.reasons)


def cycle(number: int) -> str:
    """Return a cycle as run of the daemon and cycle of the run."""
    return f"run {number >> RUN_SHIFT} cycle {number & (1 << RUN_SHIFT) - 1}" if number else "a cycle not known"


def person(actor: ActorView) -> str:
    """Return who somebody is, e.g. `ana (operator, uid 1001, socket)`."""
    return f"{actor.name or 'name redacted'} ({actor.role}, uid {actor.uid}, {actor.method})"


def by(found: DecisionDetail) -> str:
    """Return who decided."""
    decision = found.decision
    told = [f"rule {decision.rule}"] if decision.rule else []
    if decision.actor is not None:
        told.append(person(decision.actor))
    if found.override_id:
        told.append(f"override {found.override_id}")
    told += [f"approved by {person(actor)}" for actor in found.approvals]
    return ", ".join(told) or "the gateway"


def result(found: Explanation) -> str:
    """Return what became of it."""
    decision, write = found.detail.decision, found.detail.write
    if write is None:
        if decision.write:
            return "IN DOUBT: no outcome is journalled; the plant may or may not have taken it"
        return "the plant was left as it was"
    recovered = " (found in doubt after a restart, settled by reading back)" if write.recovered else ""
    if write.sent_ns == 0 and not write.recovered:
        return f"{write.result}: never sent"
    read = "nothing was read back"
    if write.read_back is not None:
        at = after(write.answered_ns, decision.time_ns)
        read = f"read back {number(write.read_back, decision.units)} at {at}"
    return f"{write.result}: {read}{recovered}"


def attempt(one: Attempt, units: str, decided_ns: int) -> str:
    """Return one outcome, its times as seen from the decision."""
    sent = f"sent {number(one.value, units)} at {after(one.sent_ns, decided_ns)}" if one.sent_ns else unsent(one)
    back = "nothing read back"
    if one.read_back is not None:
        back = f"read back {number(one.read_back, units)} at {after(one.answered_ns, decided_ns)}"
    detail = f"; {one.detail}" if one.detail else ""
    return f"{one.result}: {sent}, {back}{detail}{' (recovered after a restart)' if one.recovered else ''}"


def unsent(one: Attempt) -> str:
    """Return why an outcome has no time of sending: a restart lost it, or nothing went out."""
    return f"when it was sent is {NOT_RECORDED}" if one.recovered else "never sent"


def held(fact: OverrideFact, until: str, units: str) -> str:
    """Return whose hold it was, until when and why.

    Args:
        fact: the override.
        until: its end as the form writes times.
        units: of the point.
    """
    why = fact.reason or "reason redacted"
    who = fact.by or "name redacted"
    return f"{fact.id}: {number(fact.value, units)} by {who} ({fact.role}, uid {fact.uid}) until {until}: {why}"


def inclusion(found: Explanation) -> str:
    """Return whether the record provably stands in the log."""
    account = found.account
    if account is None:
        return NOT_RECORDED
    if account.is_included is None:
        return "not covered by a signed checkpoint yet"
    return "proved: the audit path leads to the checkpoint's root" if account.is_included else "DOES NOT HOLD"


def truth(value: float | None, *, is_condition: bool) -> str:
    """Return the value of a part of an expression."""
    if value is None:
        return "unknown"
    if is_condition:
        return "true" if value else "false"
    return number(value)


def approvals(found: DecisionDetail) -> str:
    """Return who approved."""
    return ", ".join(person(actor) for actor in found.approvals) or "none needed or given"


def plain(text: str) -> str:
    """Return text without control characters, which neither a page nor a terminal may be driven by."""
    return "".join(char if char.isprintable() else " " for char in text)
