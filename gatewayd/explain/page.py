"""An explanation as one HTML page: no network, no scripts, for a screen in the dark, for paper and for a screen reader.

Everything that comes from the record is cleaned of control characters and escaped, in `_text` and nowhere else.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, tzinfo
from html import escape

from gatewayd.explain import words
from gatewayd.explain.chart import Limit, Mark, chart
from gatewayd.explain.style import STYLE
from gatewayd.model.account import Account, Neighbour, Trend
from gatewayd.model.view import Explanation

ROWS_MAX = 60  # of a trend's table, those nearest to the decision
CELL_CHARS_MAX = 4_000


def page(found: Explanation, zone: tzinfo | None = None) -> str:
    """Return the page.

    Args:
        found: the explanation, with trends if they are to be drawn.
        zone: of local time; None = this machine's.
    """
    account = found.account or Account()
    decision = found.detail.decision
    title = _text(f"Decision {decision.id}: {decision.point}")
    sections = (
        _section("Why", _why(found, account, zone)),
        _section("Trend", _trend(found, account, zone)),
        _section("Samples it read", _samples(found)),
        _section("The asset then", _twin(account)),
        _section("Guards", _guards(found)),
        _section("Priority array", _slots(found)),
        _section("Write and read-back", _writes(found, account, zone)),
        _section("Before and after", _neighbours(found, account, zone)),
        _section("Made under", _pairs(_versions(found, account))),
        _section("Proof", _pairs(_proof(found))),
        _section("Not recorded", _list(account.not_recorded)),
        _section("Numbers of the trend", _numbers(account.trends, decision.time_ns, zone)),
    )
    return (
        '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8"/>'
        "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\"/>"
        '<meta name="viewport" content="width=device-width, initial-scale=1"/>'
        f"<title>{title}</title><style>{STYLE}</style></head><body><main>"
        f"<h1>{title}</h1>{_answer(found, zone)}{''.join(sections)}</main></body></html>\n"
    )


def _text(value: str) -> str:
    return escape(words.plain(value[:CELL_CHARS_MAX]))


def _section(name: str, content: str) -> str:
    return f"<section><h2>{_text(name)}</h2>{content}</section>" if content else ""


def _answer(found: Explanation, zone: tzinfo | None) -> str:
    detail = found.detail
    outcome = detail.decision.outcome or ("doubt" if detail.decision.write else "none")
    kind = {"verified": "good", "none": "none"}.get(outcome, "bad")
    told = (
        ("Done", words.done(detail)),
        ("Why", words.reasons(detail)),
        ("By", words.by(detail)),
        ("Result", words.result(found)),
        ("When", f"{_moment(detail.decision.time_ns, zone)}, {words.cycle(detail.cycle)}"),
    )
    return f'<div class="answer {kind}">{_pairs(told)}</div>'


def _pairs(rows: Iterable[tuple[str, str]]) -> str:
    return "<dl>" + "".join(f"<dt>{_text(name)}</dt><dd>{_text(text)}</dd>" for name, text in rows if text) + "</dl>"


def _list(items: Sequence[str]) -> str:
    return "<ul>" + "".join(f"<li>{_text(item)}</li>" for item in items) + "</ul>" if items else ""


def _table(head: Sequence[str], rows: Iterable[Sequence[str]], caption: str = "") -> str:
    names = "".join(f'<th scope="col">{_text(name)}</th>' for name in head)
    body = "".join("<tr>" + "".join(f"<td>{_text(cell)}</td>" for cell in row) + "</tr>" for row in rows)
    named = f"<caption>{_text(caption)}</caption>" if caption else ""
    return f'<div class="wide"><table>{named}<thead><tr>{names}</tr></thead><tbody>{body}</tbody></table></div>'


def _moment(time_ns: int, zone: tzinfo | None) -> str:
    """Return a time as local and as UTC; `not recorded` for 0."""
    if time_ns == 0:
        return words.NOT_RECORDED
    utc = datetime.fromtimestamp(time_ns // 1_000_000 / 1e3, tz=UTC)
    local = utc.astimezone(zone).isoformat(sep=" ", timespec="milliseconds")
    return f"{local} ({utc.strftime('%H:%M:%S.%f')[:-3]} UTC)"


def _why(found: Explanation, account: Account, zone: tzinfo | None) -> str:
    rule, decision = account.rule, found.detail.decision
    told = [("Reasons", words.reasons(found.detail))]
    if rule is not None:
        sets = f"{rule.set} to {rule.to} for {rule.ttl}" if rule.set else ""
        told += [("Rule", rule.id), ("When", rule.when), ("Clear", rule.clear), ("Sets", sets)]
    elif decision.rule:
        told.append(("Rule", f"{decision.rule}: its text is {words.NOT_RECORDED}"))
    told.append(("Author says", found.why))
    if account.override is not None:
        until = _moment(account.override.expires_ns, zone)
        told.append(("Override", words.held(account.override, until, decision.units)))
    told += [("Person says", found.detail.reason_text), ("Approved", words.approvals(found.detail))]
    traces = (
        _table(
            ("Value", "Part"),
            ((words.truth(step.value, is_condition=step.is_condition), step.text) for step in one.steps),
            f"Worked out: {one.text}",
        )
        for one in account.traces
    )
    written = [] if account.traces else [("As written", found.expression), ("With values", found.filled_in)]
    return _pairs([*told, *written]) + "".join(traces)


def _trend(found: Explanation, account: Account, zone: tzinfo | None) -> str:
    decision, limits = found.detail.decision, account.limits
    marks = [Mark("decision", decision.time_ns)]
    for one in account.attempts[-2:]:
        marks += [Mark("write", one.sent_ns), Mark("read-back", one.answered_ns if one.read_back is not None else 0)]
    levels = []
    if limits is not None:
        named = (("write_min", limits.write_min), ("write_max", limits.write_max))
        levels = [Limit(decision.point, name, value) for name, value in named if value is not None]
    drawn = chart(account.trends, marks, levels, zone)
    if not drawn:
        return "<p>No sample around the decision is recorded.</p>"
    sources = {"recorder": "recorded inputs", "evidence": "the decision's evidence alone"}
    said = " and ".join(sorted({sources.get(trend.source, trend.source) for trend in account.trends}))
    return f"<figure>{drawn}<figcaption>From {_text(said)}. Numbers stand below.</figcaption></figure>"


def _numbers(trends: Sequence[Trend], decided_ns: int, zone: tzinfo | None) -> str:
    told = []
    for trend in trends:
        samples = sorted(zip(trend.times_ns, trend.values, strict=True), key=lambda one: abs(one[0] - decided_ns))
        rows = [
            (_moment(time_ns, zone), words.after(time_ns, decided_ns), _value(value, trend.units))
            for time_ns, value in sorted(samples[:ROWS_MAX])
        ]
        most = f"the {ROWS_MAX} nearest of {len(samples)}" if len(samples) > ROWS_MAX else f"{len(samples)} samples"
        told.append(_table(("Time", "From decision", "Value"), rows, f"{trend.tag}: {most}"))
    return "".join(told)


def _value(value: float | None, units: str) -> str:
    return "not Good" if value is None else words.number(value, units)


def _samples(found: Explanation) -> str:
    decided_ns = found.detail.decision.time_ns
    head = ("Tag", "Value", "Quality", "Code", "Device", "Source (UTC)", "Ingest (UTC)", "Processing (UTC)")
    rows = [
        (
            sample.tag,
            words.number(sample.value, sample.units),
            sample.quality,
            f"0x{sample.status & 0xFFFFFFFF:08X}",
            sample.device,
            _seen(sample.source_time_ns, decided_ns),
            _seen(sample.ingest_time_ns, decided_ns),
            _seen(sample.processing_time_ns, decided_ns),
        )
        for sample in found.samples
    ]
    unusual = [f"{sample.tag}: {why}" for sample in found.samples for why in sample.unusual]
    judged = "Unusual, by its detectors:" if unusual else _not_unusual(found)
    return f"{_table(head, rows)}<p>{_text(judged)}</p>{_list(unusual)}" if rows else ""


def _not_unusual(found: Explanation) -> str:
    if all(sample.anomaly is None for sample in found.samples):
        return "No detector had judged these samples."
    return "No detector found a sample unusual."


def _seen(time_ns: int, decided_ns: int) -> str:
    """Return a sample's time and how far from the decision it is, short enough for a table on paper."""
    if time_ns == 0:
        return words.NOT_RECORDED
    utc = datetime.fromtimestamp(time_ns // 1_000_000 / 1e3, tz=UTC)
    return f"{utc.strftime('%H:%M:%S.%f')[:-3]} ({words.after(time_ns, decided_ns)})"


def _twin(account: Account) -> str:
    rows = [(one.tag, words.number(one.value, one.units), one.quality) for one in account.twin]
    return _table(("Tag", "Value", "Quality"), rows) if rows else ""


def _guards(found: Explanation) -> str:
    rows = [
        (
            guard.guard,
            guard.verdict,
            words.number(guard.before),
            words.number(guard.after),
            words.number(guard.limit),
            guard.detail,
        )
        for guard in found.detail.guards
    ]
    head = ("Guard", "Verdict", "Before", "After", "Limit", "Detail")
    return _table(head, rows) if rows else "<p>None were asked.</p>"


def _slots(found: Explanation) -> str:
    detail = found.detail
    rows = [
        (
            str(slot),
            words.SLOTS.get(slot, ""),
            words.number(before),
            words.number(after),
            "wins" if slot == detail.decision.slot else "",
        )
        for slot, (before, after) in enumerate(zip(detail.slots_before, detail.slots_after, strict=False), start=1)
        if before is not None or after is not None
    ]
    if not detail.decision.slot:
        rows.append(("-", "relinquish default", "-", words.number(detail.decision.value), "wins"))
    return _table(("Slot", "Meaning", "Before", "After", ""), rows)


def _writes(found: Explanation, account: Account, zone: tzinfo | None) -> str:
    units = found.detail.decision.units
    rows = [
        (
            one.result + (" (recovered after a restart)" if one.recovered else ""),
            words.number(one.value, units),
            _moment(one.sent_ns, zone) if one.sent_ns else words.unsent(one),
            words.number(one.read_back, units),
            _moment(one.answered_ns, zone),
            one.detail,
        )
        for one in account.attempts
    ]
    if not rows:
        return f"<p>{_text(words.result(found))}</p>"
    return _table(("Result", "Written", "Sent", "Read back", "Answered", "Detail"), rows)


def _neighbours(found: Explanation, account: Account, zone: tzinfo | None) -> str:
    parent = found.detail.parent
    told = [("Continues", f"decision {parent}" if parent else "")]
    told += [("Before", _neighbour(account.before, found, zone)), ("After", _neighbour(account.after, found, zone))]
    return _pairs(told)


def _neighbour(one: Neighbour | None, found: Explanation, zone: tzinfo | None) -> str:
    if one is None:
        return "no decision on this point"
    written = "" if one.write else ", not written"
    value = words.number(one.value, found.detail.decision.units)
    return f"decision {one.id} at {_moment(one.time_ns, zone)}: {value}{written} ({', '.join(one.reasons)})"


def _versions(found: Explanation, account: Account) -> Sequence[tuple[str, str]]:
    versions = found.detail.versions
    digests = (
        ("Configuration", versions.site),
        ("Rules", versions.policy),
        ("Twin model", versions.model),
        ("Kernels", versions.kernel),
    )
    told = [(name, digest or words.NOT_RECORDED) for name, digest in digests]
    return [("Gateway", account.gateway_version or words.NOT_RECORDED), *told]


def _proof(found: Explanation) -> Sequence[tuple[str, str]]:
    proof = found.detail.proof
    intact = {True: "intact", False: "ALTERED: the stored slice does not match", None: ""}[found.evidence_intact]
    return (
        ("Record", str(proof.seq)),
        ("Leaf hash", proof.leaf_hash),
        ("Evidence", f"{proof.evidence} {intact}".strip() or "none cited"),
        ("Checkpoint", proof.checkpoint or "not covered by a checkpoint yet"),
        ("Inclusion", words.inclusion(found)),
    )
