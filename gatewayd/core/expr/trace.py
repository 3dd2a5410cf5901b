"""How one decision came about: every part of its expression with the value it had. Slow and obvious, for people.

What a part read of the plant, and what remembers the past, is in the decision's evidence; the rest follows from that.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from typing import NamedTuple, Protocol

from gatewayd.core.expr.parser import parse
from gatewayd.core.expr.syntax import (
    Binary,
    Boolean,
    Choice,
    Node,
    Number,
    Shown,
    Unary,
    Vote,
    is_condition,
    operands,
    postorder,
)


class TracedTerm(Protocol):
    """A term of the evidence; see `gatewayd.model.record.EvidenceTerm`."""

    @property
    def text(self) -> str:
        """The term as written in the expression."""
        ...

    @property
    def value(self) -> float:
        """Its value; NaN = unknown."""
        ...


class TracedStep(NamedTuple):
    """One part of an expression.

    Args:
        text: as written.
        value: 1 true, 0 false, or a number; NaN = unknown.
        is_condition: it is true or false, not a number.
    """

    text: str
    value: float
    is_condition: bool


def trace(text: str, evidence: Iterable[TracedTerm]) -> list[TracedStep]:
    """Return every part of an expression with its value, in the order in which they were evaluated, the whole last.

    A part that the evidence holds has the value it has there, also where its operands would say something else today.
    One that reads the plant and is not in the evidence is unknown. Numbers as written are no steps.

    Args:
        text: of an expression that was once compiled.
        evidence: the terms of the decision.

    Raises:
        ExpressionError: the text is no expression.
    """
    known = {term.text: term.value for term in evidence}
    values: dict[int, float] = {}
    kinds: dict[int, bool] = {}
    steps: list[TracedStep] = []
    order = postorder(parse(text))
    for node in order:
        written = text[node.start : node.end]
        below = [values[id(operand)] for operand in operands(node)]
        kinds[id(node)] = _is_condition(node, kinds)
        values[id(node)] = _value(node, below, known.get(written, math.nan))
        if not isinstance(node, Number | Boolean):
            steps.append(TracedStep(written, values[id(node)], kinds[id(node)]))
    root = order[-1]
    return steps or [TracedStep(text, values[id(root)], kinds[id(root)])]


def _is_condition(node: Node, kinds: Mapping[int, bool]) -> bool:
    match node:
        case Boolean() | Vote():
            return True
        case Unary():
            return node.operator == "not"
        case Binary():
            return node.operator in _CONDITIONS
        case Choice():
            return kinds[id(node.then)]
        case _:
            return isinstance(node, Shown) and is_condition(node)


def _value(node: Node, below: list[float], in_evidence: float) -> float:
    match node:
        case Number():
            return node.value
        case Boolean():
            return float(node.value)
        case Unary():
            return _strict(_UNARY[node.operator], below)
        case Binary(operator="and"):
            return _lowest(below)
        case Binary(operator="or"):
            return 1.0 - _lowest([1.0 - value for value in below])
        case Binary():
            return _strict(_BINARY[node.operator], below)
        case Choice():
            then, condition, otherwise = below
            return math.nan if math.isnan(condition) else then if condition == 1.0 else otherwise
        case Vote():
            return _vote(node.needed, below)
        case _:
            return in_evidence


def _lowest(conditions: list[float]) -> float:
    """Kleene's and: false if one is false, else unknown if one is unknown."""
    if 0.0 in conditions:
        return 0.0
    return math.nan if any(math.isnan(condition) for condition in conditions) else 1.0


def _vote(needed: int, votes: list[float]) -> float:
    if votes.count(1.0) >= needed:
        return 1.0
    return 0.0 if len(votes) - votes.count(0.0) < needed else math.nan


def _strict(function: Callable[..., float], below: list[float]) -> float:
    """Unknown if an operand is; a result has one zero and one NaN, as where it is stored."""
    if any(math.isnan(value) for value in below):
        return math.nan
    value = float(function(*below)) + 0.0
    return math.nan if math.isnan(value) else value


_CONDITIONS = frozenset({"and", "or", "<", "<=", ">", ">=", "==", "!="})
_UNARY: dict[str, Callable[[float], float]] = {
    "not": lambda value: 1.0 - value,
    "negate": lambda value: -value,
    "abs": abs,
}
_BINARY: dict[str, Callable[[float, float], float]] = {
    "+": lambda left, right: left + right,
    "-": lambda left, right: left - right,
    "*": lambda left, right: left * right,
    "/": lambda left, right: left / right if right else math.nan,
    "min": min,
    "max": max,
    "<": lambda left, right: left < right,
    "<=": lambda left, right: left <= right,
    ">": lambda left, right: left > right,
    ">=": lambda left, right: left >= right,
    "==": lambda left, right: left == right,
    "!=": lambda left, right: left != right,
}
