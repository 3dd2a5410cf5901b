"""A backtest as people read it: one line per rule, anomalies per tag, events in the order of time."""

from __future__ import annotations

import msgspec
from msgspec import Struct

from gatewayd.backtest.tally import Event, Tally
from gatewayd.cli import show


class Run(Struct):
    """How far a backtest came; times are wall ns.

    Args:
        unsampled: tags that rules or guards read and the recording does not hold.
        notes: what a reader of the figures must know.
    """

    samples: int = 0
    first_ns: int = 0
    now_ns: int = 0
    unsampled: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


def fields(tally: Tally, run: Run, *, with_events: bool) -> dict[str, object]:
    """Return the same for JSON."""
    return {
        **msgspec.structs.asdict(run),
        "cycles": tally.cycles,
        "decisions": tally.decisions,
        "writes": tally.writes,
        "rules": list(tally.rules.values()),
        "anomalies": list(tally.tags.values()),
        "events": tally.events if with_events else [],
        "events_left_out": tally.events_lost if with_events else len(tally.events) + tally.events_lost,
    }


def page(tally: Tally, run: Run, *, with_events: bool) -> str:
    """Return the whole report."""
    parts = [_rules(tally)]
    if tally.tags:
        parts.append(_anomalies(tally))
    if with_events:
        parts.append("\n".join(_event(event) for event in tally.events) or "no events")
        if tally.events_lost:
            parts.append(f"{tally.events_lost} more events are not listed; name a rule or a shorter time")
    parts.append("\n".join(_sum(tally, run)))
    return "\n\n".join(parts)


def _rules(tally: Tally) -> str:
    rows = [
        (
            show.clean(rule.rule),
            str(rule.activations),
            str(rule.deactivations),
            str(rule.unknowns),
            show.span(rule.active_ns / 1e9) if rule.active_ns else "-",
            str(rule.alarms),
            str(rule.writes),
            str(rule.held),
            _moment(rule.first_ns),
            _moment(rule.last_ns),
        )
        for rule in tally.rules.values()
    ]
    head = ("RULE", "ACTIVE", "INACTIVE", "UNKNOWN", "FOR", "ALARMS", "WRITES", "HELD", "FIRST", "LAST")
    return show.table(head, rows, right=(1, 2, 3, 4, 5, 6, 7)) if rows else "the site has no rules"


def _anomalies(tally: Tally) -> str:
    rows = [
        (
            show.clean(tag.tag),
            str(tag.anomalies),
            f"{tag.score_max:.3g}",
            ", ".join(tag.detectors),
            _moment(tag.first_ns),
            _moment(tag.last_ns),
        )
        for tag in tally.tags.values()
    ]
    return show.table(("ANOMALIES OF", "COUNT", "SCORE", "DETECTORS", "FIRST", "LAST"), rows, right=(1, 2))


def _event(event: Event) -> str:
    value = f" {show.number(event.value)}" if event.kind == "decision" else ""
    rule = f" by {show.clean(event.rule)}" if event.kind == "decision" and event.rule else ""
    line = f"{show.at(event.time_ns)}  {event.kind:<8}  {show.clean(event.name)}  {event.state}{value}{rule}"
    told = [line + (f"  ({show.clean(event.detail)})" if event.detail else "")]
    told += [
        f"    {show.clean(guard.guard)}: {guard.verdict} {show.number(guard.before)} -> {show.number(guard.after)}"
        for guard in event.guards
        if guard.verdict != "pass"
    ]
    return "\n".join(told)


def _moment(time_ns: int) -> str:
    return show.at(time_ns)[:19] if time_ns else "-"


def _sum(tally: Tally, run: Run) -> list[str]:
    lines = [
        f"{run.samples} samples from {_moment(run.first_ns)} to {_moment(run.now_ns)}, {tally.cycles} cycles",
        f"{tally.decisions} decisions, of which {tally.writes} would have written; nothing was written",
    ]
    if run.unsampled:
        first = ", ".join(map(show.clean, run.unsampled[:8]))
        more = f" and {len(run.unsampled) - 8} more" if len(run.unsampled) > 8 else ""
        lines.append(f"not in the recording, so unknown all the time: {first}{more}")
    return lines + [show.clean(note) for note in run.notes]
