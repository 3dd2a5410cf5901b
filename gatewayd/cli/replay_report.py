"""A replay as people read it: what is equal, what could not be replayed, and the first difference with its inputs."""

from __future__ import annotations

import click
import msgspec

from gatewayd.cli import show
from gatewayd.cli.interrupt import Ending
from gatewayd.explain.words import cycle
from gatewayd.replay.report import Difference, FieldDifference, Gap, Report, Sample


def as_json(report: Report, ending: Ending, *, place: str, took_ns: int) -> str:
    """Return the same for programs."""
    fields = {"place": place, "equal": report.difference is None, "took_ns": took_ns}
    answer = fields | msgspec.structs.asdict(report) | ending.fields()
    return msgspec.json.format(msgspec.json.encode(answer), indent=2).decode()


def page(report: Report, *, place: str, took_ns: int) -> str:
    """Return the whole report."""
    parts = [f"{show.heading(_verdict(report))}\n{show.pairs(_rows(report, place, took_ns))}"]
    if report.gaps:
        parts.append("\n".join([show.heading("Not replayed"), *(f"  {_gap(gap)}" for gap in report.gaps)]))
    if report.difference is not None:
        parts.append(_difference(report.difference))
    return "\n\n".join(parts)


def _verdict(report: Report) -> str:
    if report.difference is not None:
        return click.style("DIFFERENT", fg="red", bold=True)
    if not report.records:
        return click.style("Nothing was decided in what was replayed.", fg="yellow")
    words = "Every decision is equal, bit for bit" + (", as far as it can be replayed." if report.gaps else ".")
    return click.style(words, fg="green")


def _rows(report: Report, place: str, took_ns: int) -> list[tuple[str, str]]:
    compared = f"{report.records} are equal, {report.decisions} of them decisions, {report.evidence} with evidence"
    faster = f"{report.recorded_ns / took_ns:.0f} times as fast" if took_ns else ""
    took = f"{show.span(took_ns / 1e9)}, {faster}"
    rows = [
        ("Place", show.clean(place)),
        ("Records", f"{report.first} to {report.last}: {compared}" if report.records else "none were compared"),
        ("Cycles", f"{report.cycles}, with {report.samples} samples"),
        ("Time", f"{show.span(report.recorded_ns / 1e9)} of the gateway's in {took}"),
    ]
    if report.restarts:
        rows.append(("Restarts", str(report.restarts)))
    if report.sites > 1:
        rows.append(("Sites", f"{report.sites} configurations"))
    if report.lost:
        rows.append(("Lost", f"{report.lost} computed records are among those that the journal says it lost"))
    return rows


def _gap(gap: Gap) -> str:
    span = f"{cycle(gap.first_cycle)} to {cycle(gap.last_cycle) if gap.last_cycle else 'its end'}: "
    decisions = f" ({gap.decisions} decisions)" if gap.decisions >= 0 else ""
    return f"{span if gap.first_cycle else ''}{show.clean(gap.why)}{decisions}"


def _difference(difference: Difference) -> str:
    where = f"{cycle(difference.cycle)}, {show.at(difference.wall_ns)}"
    lines = [show.heading("The first difference"), f"  {show.clean(difference.what)}", f"  in {where}"]
    lines += _fields("Fields", difference.fields)
    lines += _fields("Evidence", difference.evidence)
    if difference.inputs:
        lines += ["", show.heading("Its inputs"), *(f"  {show.clean(line)}" for line in difference.inputs)]
    if difference.samples:
        head = ("TAG", "VALUE", "STATUS", "SOURCE TIME")
        lines += [show.table(head, [_sample(one) for one in difference.samples], right=(1,))]
        if left_out := difference.samples_in_all - len(difference.samples):
            lines.append(f"  and {left_out} more")
    return "\n".join(lines)


def _fields(title: str, fields: tuple[FieldDifference, ...]) -> list[str]:
    if not fields:
        return []
    rows = [(show.clean(one.name), show.clean(one.recorded), show.clean(one.computed)) for one in fields]
    return ["", show.table((title.upper(), "RECORDED", "COMPUTED"), rows)]


def _sample(sample: Sample) -> tuple[str, ...]:
    return show.clean(sample.tag), show.number(sample.value), f"0x{sample.status:08X}", show.at(sample.source_time_ns)
