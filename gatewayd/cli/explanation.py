"""A decision as a page of text: what happened, why, from what, by whom, and how to prove it."""

from __future__ import annotations

from collections.abc import Sequence

import click

from gatewayd.cli import show
from gatewayd.cli.tags import anomaly
from gatewayd.model.view import (
    ActorView,
    DecisionDetail,
    Explanation,
    GuardView,
    ProofView,
    SampleView,
    VersionsView,
    WriteView,
)

_SLOTS = {
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
_REASONS = {
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


def page(found: Explanation) -> str:
    """Return the whole explanation."""
    parts = [_headline(found.detail), "", show.heading("Why"), *_why(found)]
    if found.samples:
        parts += ["", show.heading("Samples it read"), _samples(found.samples, found.detail.decision.time_ns)]
    return "\n".join([*parts, *_rest(found.detail, intact=found.evidence_intact)])


def detail_page(found: DecisionDetail) -> str:
    """Return what the decision's own record says."""
    parts = [_headline(found), "", show.heading("Why"), *_reasons(found), *_person(found)]
    return "\n".join([*parts, *_rest(found, intact=None)])


def _headline(found: DecisionDetail) -> str:
    decision = found.decision
    change = f"{show.number(decision.previous)} -> {show.number(decision.value, decision.units)}"
    verb = "" if decision.write else "  (not written)"
    lines = [
        show.heading(f"Decision {decision.id}: {show.clean(decision.point)}  {change}{verb}"),
        show.pairs(
            [
                ("When", f"{show.at(decision.time_ns)}, cycle {found.cycle}"),
                ("Proposed", show.number(found.proposed, decision.units)),
                ("By", _by(found)),
                *((("Continues", f"decision {found.parent}"),) if found.parent else ()),
            ]
        ),
    ]
    return "\n".join(lines)


def _by(found: DecisionDetail) -> str:
    decision = found.decision
    told = [f"rule {show.clean(decision.rule)}"] if decision.rule else []
    if decision.actor is not None:
        told.append(person(decision.actor))
    if found.override_id:
        told.append(f"override {found.override_id}")
    told += [f"approved by {person(actor)}" for actor in found.approvals]
    return ", ".join(told) or "the gateway"


def person(actor: ActorView) -> str:
    """Return who somebody is, e.g. `ana (operator, uid 1001, socket)`."""
    name = show.clean(actor.name) or "name redacted"
    return f"{name} ({actor.role}, uid {actor.uid}, {actor.method})"


def _why(found: Explanation) -> list[str]:
    lines = _reasons(found.detail) + _person(found.detail)
    if found.expression:
        told = _programs("As written", found.expression) + _programs("With values", found.filled_in)
        told += [
            ("" if index else "Terms", f"{show.clean(term.text)} = {_term(term.value)}")
            for index, term in enumerate(found.terms)
        ]
        lines.append(show.pairs(told))
    if found.why:
        lines.append(show.pairs([("Author says", show.clean(found.why))]))
    return lines


def _programs(name: str, text: str) -> list[tuple[str, str]]:
    """Return one pair per program: the condition that fired, the value it proposed."""
    return [("" if index else name, show.clean(line)) for index, line in enumerate(text.splitlines())]


def _term(value: float | None) -> str:
    return show.state("unknown") if value is None else show.number(value)


def _reasons(found: DecisionDetail) -> list[str]:
    return [
        f"  - {reason}: {_REASONS.get(reason, 'see the manual')}" for reason in map(show.clean, found.decision.reasons)
    ]


def _person(found: DecisionDetail) -> list[str]:
    return [show.pairs([("Person says", show.clean(found.reason_text))])] if found.reason_text else []


def _samples(samples: Sequence[SampleView], decided_ns: int) -> str:
    rows = [
        (
            f"  {show.clean(sample.tag)}",
            show.number(sample.value, sample.units),
            show.state(sample.quality),
            anomaly(sample.anomaly, sample.score),
            show.clean(sample.device),
            _before(sample.source_time_ns, decided_ns),
            _before(sample.ingest_time_ns, decided_ns),
            _before(sample.processing_time_ns, decided_ns),
        )
        for sample in samples
    ]
    head = ("  TAG", "VALUE", "QUALITY", "ANOMALY", "DEVICE", "SOURCE", "INGEST", "PROCESSED")
    told = [f"  {show.clean(sample.tag)} is unusual, {show.clean(why)}" for sample in samples for why in sample.unusual]
    return "\n".join([show.table(head, rows, right=(1, 5, 6, 7)), *told])


def _before(time_ns: int, decided_ns: int) -> str:
    """Return a sample's time as seen from the decision: `-0.120 s` is 120 ms before it."""
    return "-" if time_ns == 0 else f"{(time_ns - decided_ns) / 1e9:+.3f} s"


def _rest(found: DecisionDetail, *, intact: bool | None) -> list[str]:
    parts = ["", show.heading("Guards")]
    parts.append(_guards(found.guards) if found.guards else "  none were asked")
    parts += ["", show.heading("Priority array"), _slots(found)]
    parts += ["", show.heading("Write"), _write(found.write, found.decision.time_ns, is_written=found.decision.write)]
    return [*parts, "", show.heading("Made under"), _versions(found.versions), "", *_proof(found.proof, intact)]


def _guards(guards: Sequence[GuardView]) -> str:
    rows = [
        (
            f"  {show.clean(guard.guard)}",
            show.state(guard.verdict),
            show.number(guard.before),
            show.number(guard.after),
            show.number(guard.limit),
            show.clean(guard.detail),
        )
        for guard in guards
    ]
    return show.table(("  GUARD", "VERDICT", "BEFORE", "AFTER", "LIMIT", ""), rows, right=(2, 3, 4))


def _slots(found: DecisionDetail) -> str:
    rows = []
    held = zip(found.slots_before, found.slots_after, strict=True)
    for slot, (before, after) in enumerate(held, start=1):
        if before is None and after is None:
            continue
        wins = "<- wins" if slot == found.decision.slot else ""
        rows.append((f"  {slot}", _SLOTS.get(slot, ""), show.number(before), show.number(after), wins))
    if not found.decision.slot:
        rows.append(("  -", "relinquish default", "-", show.number(found.decision.value), "<- wins"))
    return show.table(("  SLOT", "", "BEFORE", "AFTER", ""), rows, right=(2, 3))


def _write(write: WriteView | None, decided_ns: int, *, is_written: bool) -> str:
    if write is None:
        return "  no outcome on record yet" if is_written else "  nothing was written"
    sent = _before(write.sent_ns, decided_ns) if write.sent_ns else "never sent"
    rows = [
        ("Result", show.state(write.result) + (" (recovered after a restart)" if write.recovered else "")),
        ("Sent", f"{show.number(write.value)}, {sent}"),
        ("Read back", f"{show.number(write.read_back)}, {_before(write.answered_ns, decided_ns)}"),
    ]
    if write.detail:
        rows.append(("Detail", show.clean(write.detail)))
    return show.pairs(rows)


def _versions(versions: VersionsView) -> str:
    told = (
        ("Site", versions.site),
        ("Policy", versions.policy),
        ("Model", versions.model),
        ("Kernels", versions.kernel),
    )
    return show.pairs([(name, digest[:16] or "-") for name, digest in told])


def _proof(proof: ProofView, intact: bool | None) -> list[str]:
    words = {
        True: click.style("intact", fg="green"),
        False: click.style("ALTERED: the stored slice does not match", fg="red"),
        None: "",
    }
    evidence = f"{proof.evidence[:16]} {words[intact]}".strip() if proof.evidence else "none cited"
    rows = [("Record", f"{proof.seq}"), ("Leaf hash", proof.leaf_hash), ("Evidence", evidence)]
    rows.append(("Checkpoint", show.clean(proof.checkpoint) or "not covered by a checkpoint yet"))
    return [show.heading("Proof"), show.pairs(rows)]
