"""`gatewayd rules trace`: the expressions behind a decision, part by part, each with the value it had."""

from __future__ import annotations

import math
from typing import NamedTuple

import click
import msgspec

from gatewayd.cli import show
from gatewayd.cli.client import Client, path_of
from gatewayd.cli.session import Session, json_option, pass_session
from gatewayd.core.expr.trace import TracedStep, trace
from gatewayd.model.view import Explanation

_ID_MAX = 2**63 - 1


class _Term(NamedTuple):
    text: str
    value: float


@click.command("trace")
@click.argument("decision_id", metavar="DECISION_ID", type=click.IntRange(1, _ID_MAX))
@json_option
@pass_session
def trace_(session: Session, decision_id: int, *, as_json: bool) -> int:
    """Show every part of the expressions behind a decision, in the order in which they ran, with its value then.

    What a part read of the plant is taken from the decision's evidence; the rest follows from that. Unknown is neither
    true nor false. Exit code 1 if the decision follows from no expression, or its evidence is no longer kept.

    \b
    Examples:
      gatewayd rules trace 41
      gatewayd rules trace 41 --json
    """
    _, found = Client(session.socket_path).ask(Explanation, "GET", path_of("decisions", str(decision_id), "explain"))
    evidence = [_Term(term.text, math.nan if term.value is None else term.value) for term in found.terms]
    traces = [(line, trace(line, evidence)) for line in found.expression.splitlines()]
    if as_json:
        click.echo(msgspec.json.format(msgspec.json.encode(_fields(decision_id, found, traces)), indent=2))
    elif traces:
        click.echo(_page(decision_id, found, traces))
    else:
        click.echo(f"Decision {decision_id} follows from no expression, or its evidence is no longer kept.")
    return 0 if traces else 1


def _fields(decision_id: int, found: Explanation, traces: list[tuple[str, list[TracedStep]]]) -> dict[str, object]:
    return {
        "decision": decision_id,
        "rule": found.detail.decision.rule,
        "evidence_intact": found.evidence_intact,
        "expressions": [
            {
                "text": text,
                "steps": [
                    {"text": step.text, "value": None if math.isnan(step.value) else step.value, "is": _kind(step)}
                    for step in steps
                ],
            }
            for text, steps in traces
        ],
    }


def _page(decision_id: int, found: Explanation, traces: list[tuple[str, list[TracedStep]]]) -> str:
    decision = found.detail.decision
    by = f" by rule {show.clean(decision.rule)}" if decision.rule else ""
    parts = [show.heading(f"Decision {decision_id}: {show.clean(decision.point)}{by}")]
    if found.evidence_intact is False:
        parts.append(click.style("The stored evidence does not match the decision: it was ALTERED.", fg="red"))
    for text, steps in traces:
        rows = [(_value(step), show.clean(" ".join(step.text.split()))) for step in steps]
        parts.append(
            f"{show.clean(text)}\n{show.table(('  VALUE', 'PART'), [(f'  {value}', part) for value, part in rows])}"
        )
    return "\n\n".join(parts)


def _kind(step: TracedStep) -> str:
    return "condition" if step.is_condition else "number"


def _value(step: TracedStep) -> str:
    if math.isnan(step.value):
        return show.state("unknown")
    if step.is_condition:
        return "true" if step.value else "false"
    return show.number(step.value)
