"""Shows an expression with the values it saw."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol

from gatewayd.core.expr.parser import parse
from gatewayd.core.expr.syntax import Shown, is_condition, shown


class ShownTerm(Protocol):
    """A term of a programme, or one out of the journal."""

    @property
    def text(self) -> str:
        """The term as written in the expression."""
        ...


def render(text: str, terms: Iterable[ShownTerm], values: Iterable[float]) -> str:
    """Return the text with a value behind each term: `bearing_temp [91.3] > 85`.

    Args:
        text: of an expression that was once compiled.
        terms: its terms; a term it does not hold is ignored.
        values: one per term, NaN = unknown.

    Raises:
        ExpressionError: the text is no expression.
    """
    value_of = {term.text: value for term, value in zip(terms, values, strict=True)}
    pieces: list[str] = []
    at = 0
    for node in shown(parse(text)):
        value = value_of.get(text[node.start : node.end])
        if value is not None:
            pieces += (text[at : node.end], f" [{_value(node, value)}]")
            at = node.end
    return "".join(pieces) + text[at:]


def _value(node: Shown, value: float) -> str:
    if value != value:
        return "unknown"
    if is_condition(node):
        return "true" if value else "false"
    return f"{value:.6g}"
