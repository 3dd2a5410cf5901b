"""A decision as a page of text: what happened, why, from what, by whom, and how to prove it."""

from __future__ import annotations

from collections.abc import Sequence
from textwrap import wrap

import click

from gatewayd.cli import show
from gatewayd.cli.tags import anomaly
from gatewayd.explain import words
from gatewayd.model.account import Account, Neighbour, Trace, TwinTag
from gatewayd.model.view import (
    DecisionDetail,
    Explanation,
    GuardView,
    ProofView,
    SampleView,
    VersionsView,
    WriteView,
)

_COLUMNS = 80


def page(found: Explanation) -> str:
    """Return the whole explanation, the answer first; lines fit a terminal of 80 columns as far as names allow."""
    detail, account = found.detail, found.account or Account()
    decision = detail.decision
    parts = [_answer(found), "", show.heading("Why"), *_why(found, account)]
    if found.samples:
        parts += ["", show.heading("Samples it read"), _samples(found.samples, decision.time_ns)]
    if account.twin:
        parts += ["", show.heading("The asset then"), _twin(account.twin)]
    parts += ["", show.heading("Guards"), _guards(detail.guards) if detail.guards else "  none were asked"]
    parts += ["", show.heading("Priority array"), _slots(detail)]
    parts += ["", show.heading("Write"), _writes(found, account)]
    parts += ["", show.heading("Before and after"), *_neighbours(detail, account)]
    parts += ["", show.heading("Made under"), _versions(detail.versions, account.gateway_version or words.NOT_RECORDED)]
    parts += ["", *_proof(detail.proof, found.evidence_intact, words.inclusion(found))]
    if account.not_recorded:
        parts += ["", show.heading("Not recorded"), *(_item(show.clean(lack)) for lack in account.not_recorded)]
    return "\n".join(parts)


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
                ("When", f"{show.at(decision.time_ns)}, {words.cycle(found.cycle)}"),
                ("Proposed", show.number(found.proposed, decision.units)),
                ("By", show.clean(words.by(found))),
                *((("Continues", f"decision {found.parent}"),) if found.parent else ()),
            ]
        ),
    ]
    return "\n".join(lines)


def _answer(found: Explanation) -> str:
    """Return what was done, why, by whom and with which result."""
    detail = found.detail
    decision = detail.decision
    change = f"{show.number(decision.previous)} -> {show.number(decision.value, decision.units)}"
    told = [
        ("Done", words.done(detail)),
        ("Why", words.reasons(detail)),
        ("By", words.by(detail)),
        ("Result", words.result(found)),
        ("When", f"{show.at(decision.time_ns)}, {words.cycle(detail.cycle)}"),
    ]
    verb = "" if decision.write else "  (not written)"
    head = show.heading(f"Decision {decision.id}: {show.clean(decision.point)}  {change}{verb}")
    return f"{head}\n{_told(told)}"


def _why(found: Explanation, account: Account) -> list[str]:
    decision, rule = found.detail.decision, account.rule
    told = []
    if rule is not None:
        told += [("Rule", rule.id), ("When", rule.when), *_some("Clear", rule.clear)]
        told += _some("Sets", f"{rule.set} to {rule.to} for {rule.ttl}" if rule.set else "")
    elif decision.rule:
        told.append(("Rule", f"{decision.rule}: its text is {words.NOT_RECORDED}"))
    told += _some("Author says", found.why)
    if account.override is not None:
        until = show.at(account.override.expires_ns)
        told.append(("Override", words.held(account.override, until, decision.units)))
    told += _some("Person says", found.detail.reason_text)
    told.append(("Approved", words.approvals(found.detail)))
    lines = [_told(told)]
    if account.traces:
        lines += [_trace(one) for one in account.traces]
    elif found.expression:
        terms = "\n".join(
            f"{one.text} = {words.truth(one.value, is_condition=False)}" for one in found.terms if "\n" not in one.text
        )
        written = _programs("As written", found.expression) + _programs("With values", found.filled_in)
        lines.append(_told(written + _programs("Terms", terms)))
    return lines


def _some(name: str, text: str) -> list[tuple[str, str]]:
    return [(name, text)] if text else []


def _trace(one: Trace) -> str:
    """Return an expression's parts with their values, the whole last."""
    rows = [
        (f"    {show.state(words.truth(step.value, is_condition=step.is_condition))}", _one_line(step.text))
        for step in one.steps
    ]
    return f"{_item('worked out: ' + _one_line(one.text))}\n{_rows(rows)}"


def _rows(rows: Sequence[tuple[str, str]]) -> str:
    width = min(16, max((len(click.unstyle(value)) for value, _ in rows), default=0))
    lines = []
    for value, text in rows:
        shown = value + " " * (width - len(click.unstyle(value)))
        lines.append(_hanging(shown, width, text))
    return "\n".join(lines)


def _one_line(text: str) -> str:
    return show.clean(" ".join(text.split()))


def _told(rows: Sequence[tuple[str, str]]) -> str:
    """Return `name  value` lines; a long value goes on below itself."""
    width = max((len(name) for name, _ in rows), default=0) + 2
    return "\n".join(_hanging(f"  {name:<{width - 2}}", width, show.clean(text)) for name, text in rows)


def _item(text: str) -> str:
    return _hanging("  -", 3, text, gap=" ")


def _hanging(head: str, width: int, text: str, *, gap: str = "  ") -> str:
    lines = wrap(text, max(20, _COLUMNS - width - len(gap))) or [""]
    return f"\n{' ' * (width + len(gap))}".join([f"{head}{gap}{lines[0]}".rstrip(), *lines[1:]])


def _twin(tags: Sequence[TwinTag]) -> str:
    rows = [(f"  {show.clean(one.tag)}", show.number(one.value, one.units), show.state(one.quality)) for one in tags]
    return show.table(("  TAG", "VALUE", "QUALITY"), rows, right=(1,))


def _writes(found: Explanation, account: Account) -> str:
    decision = found.detail.decision
    if account.attempts:
        told = [words.attempt(one, decision.units, decision.time_ns) for one in account.attempts]
        return "\n".join(_item(show.clean(one)) for one in told)
    return _write(found.detail.write, decision.time_ns, is_written=decision.write)


def _neighbours(found: DecisionDetail, account: Account) -> list[str]:
    told = [("Continues", f"decision {found.parent}")] if found.parent else []
    told.append(("Before", _neighbour(account.before, found)))
    told.append(("After", _neighbour(account.after, found)))
    return [_told(told)]


def _neighbour(one: Neighbour | None, found: DecisionDetail) -> str:
    if one is None:
        return "no decision on this point"
    written = "" if one.write else ", not written"
    apart = words.after(one.time_ns, found.decision.time_ns)
    value = words.number(one.value, found.decision.units)
    return f"decision {one.id} at {apart}: {value}{written} ({', '.join(one.reasons)})"


def _programs(name: str, text: str) -> list[tuple[str, str]]:
    """Return one pair per program: the condition that fired, the value it proposed."""
    return [("" if index else name, show.clean(line)) for index, line in enumerate(text.splitlines())]


def _reasons(found: DecisionDetail) -> list[str]:
    told = ((show.clean(reason), words.REASONS.get(reason, "see the manual")) for reason in found.decision.reasons)
    return [f"  - {reason}: {meaning}" for reason, meaning in told]


def _person(found: DecisionDetail) -> list[str]:
    return [show.pairs([("Person says", show.clean(found.reason_text))])] if found.reason_text else []


def _samples(samples: Sequence[SampleView], decided_ns: int) -> str:
    """Return each sample on two lines: what it was, then its three times as seen from the decision."""
    head = ("  TAG", "VALUE", "QUALITY")
    rows = [
        (f"  {show.clean(sample.tag)}", show.number(sample.value, sample.units), show.state(sample.quality))
        for sample in samples
    ]
    first, *lines = show.table(head, rows, right=(1,)).split("\n")
    told = [first]
    for line, sample in zip(lines, samples, strict=True):
        told += [line, _hanging("  ", 2, show.clean(_times(sample, decided_ns)))]
        told += [_item(f"unusual: {show.clean(why)}") for why in sample.unusual]
    return "\n".join(told)


def _times(sample: SampleView, decided_ns: int) -> str:
    times = (
        ("source", sample.source_time_ns),
        ("ingest", sample.ingest_time_ns),
        ("processed", sample.processing_time_ns),
    )
    told = ", ".join(f"{name} {_before(time_ns, decided_ns)}" for name, time_ns in times)
    code = f"code 0x{sample.status & 0xFFFFFFFF:08X}"
    return f"{sample.device}; {told}; {code}; anomaly {anomaly(sample.anomaly, sample.score)}"


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
        rows.append((f"  {slot}", words.SLOTS.get(slot, ""), show.number(before), show.number(after), wins))
    if not found.decision.slot:
        rows.append(("  -", "relinquish default", "-", show.number(found.decision.value), "<- wins"))
    return show.table(("  SLOT", "", "BEFORE", "AFTER", ""), rows, right=(2, 3))


def _write(write: WriteView | None, decided_ns: int, *, is_written: bool) -> str:
    if write is None:
        return "  no outcome on record yet" if is_written else "  nothing was written"
    unsent = f"time {words.NOT_RECORDED}" if write.recovered else "never sent"
    sent = _before(write.sent_ns, decided_ns) if write.sent_ns else unsent
    rows = [
        ("Result", show.state(write.result) + (" (recovered after a restart)" if write.recovered else "")),
        ("Sent", f"{show.number(write.value)}, {sent}"),
        ("Read back", f"{show.number(write.read_back)}, {_before(write.answered_ns, decided_ns)}"),
    ]
    if write.detail:
        rows.append(("Detail", show.clean(write.detail)))
    return show.pairs(rows)


def _versions(versions: VersionsView, gateway: str = "") -> str:
    told = (
        *_some("Gateway", gateway),
        ("Site", versions.site),
        ("Policy", versions.policy),
        ("Model", versions.model),
        ("Kernels", versions.kernel),
    )
    return show.pairs([(name, show.clean(digest)[:16] or "-") for name, digest in told])


def _proof(proof: ProofView, intact: bool | None, inclusion: str = "") -> list[str]:
    verdict = {
        True: click.style("intact", fg="green"),
        False: click.style("ALTERED: the stored slice does not match", fg="red"),
        None: "",
    }
    evidence = f"{show.clean(proof.evidence)[:16]} {verdict[intact]}".strip() if proof.evidence else "none cited"
    rows = [("Record", f"{proof.seq}"), ("Leaf hash", show.clean(proof.leaf_hash)), ("Evidence", evidence)]
    rows.append(("Checkpoint", show.clean(proof.checkpoint) or "not covered by a checkpoint yet"))
    if inclusion:
        origin, _, rest = proof.checkpoint.partition(" ")
        rows[3:] = [
            ("Checkpoint", show.clean(origin) or rows[3][1]),
            *(("", show.clean(part)) for part in rest.split()),
        ]
        rows.append(("Inclusion", inclusion))
    return [show.heading("Proof"), show.pairs(rows)]
