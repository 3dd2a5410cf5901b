"""Checks an expression against the plant before it is compiled: names, types, units, windows, depth of the stack."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from itertools import islice
from typing import NamedTuple, Protocol

from gatewayd.core.expr.opcodes import BY_NAME, OPERATIONS, STACK_MAX, Type
from gatewayd.core.expr.parser import FUNCTIONS
from gatewayd.core.expr.syntax import (
    Binary,
    Boolean,
    Hold,
    Node,
    Number,
    Status,
    Tag,
    Term,
    Ternary,
    Unary,
    Window,
    postorder,
)
from gatewayd.core.expr.tokens import KEYWORDS
from gatewayd.errors import ExpressionError

NAMES_COMPARED_MAX = 20_000  # for suggestions only
WINDOW_SAMPLES_MIN = 2  # a window shorter than this many sample periods would never hold anything

_SAME_UNITS = frozenset({"+", "-", "min", "max", "<", "<=", ">", ">=", "==", "!="})


class Names(Protocol):
    """The tags an expression may name, as its author sees them."""

    def row(self, name: str) -> int | None:
        """Return the twin's row of a tag, None if there is no such tag."""
        ...

    def units(self, row: int) -> str:
        """Return the unit of a row's values, empty if nobody said."""
        ...

    def period_ns(self, row: int) -> int:
        """Return the longest expected time between two samples, 0 if it has none."""
        ...

    def spacing_ns(self, row: int) -> int:
        """Return the shortest, 0 if it has none; a tag that reports its changes has two different ones."""
        ...

    def all(self) -> Iterable[str]:
        """Return every name, for suggestions."""
        ...


class _Operand(NamedTuple):
    """What is known of a value on the stack. `units` is empty for constants and where nothing is known."""

    node: Node
    type: Type
    units: str


class Analysis:
    """One expression under examination.

    Args:
        text: of the expression; messages quote it.
        root: its tree.
        names: who knows the tags.

    Attributes:
        order: the nodes in the order in which they run.
    """

    def __init__(self, text: str, root: Node, names: Names) -> None:
        self.order = postorder(root)
        self._rows: dict[int, int] = {}  # start of a tag in the text -> its row
        self._text = text
        self._names = names
        self._stack: list[_Operand] = []

    def check(self, kind: Type) -> None:
        """Check the whole expression, which must be of the kind given.

        Raises:
            ExpressionError: at the first thing that is wrong.
        """
        for node in self.order:
            self._stack.append(self._visit(node))
            # a `for` needs one more cell, for its duration
            if len(self._stack) + isinstance(node, Hold) > STACK_MAX:
                raise ExpressionError(
                    f"more than {STACK_MAX} values wait for each other here",
                    remedy="Nest less to the right, or split the rule.",
                    position=node.start,
                )
        result = self._stack.pop()
        self._demand(result, kind, "the whole expression")

    def row(self, term: Term) -> int:
        """Return the row that a term reads; `check` has resolved it."""
        tag = term if isinstance(term, Tag) else term.tag
        return self._rows[tag.start]

    def _visit(self, node: Node) -> _Operand:
        match node:
            case Number():
                return _Operand(node, "number", "")
            case Boolean():
                return _Operand(node, "condition", "")
            case Tag():
                return _Operand(node, "number", self._names.units(self._resolve(node)))
            case Status():
                self._resolve(node.tag)
                return _Operand(node, OPERATIONS[BY_NAME[node.function]].pushes, "")
            case Window():
                return _Operand(node, "number", self._window_units(node))
            case _:
                return self._operation(node)

    def _operation(self, node: Node) -> _Operand:
        if isinstance(node, Hold):
            self._demand(self._stack.pop(), "condition", "`for`")
            return _Operand(node, "condition", "")
        if isinstance(node, Unary):
            operation = OPERATIONS[BY_NAME[node.operator]]
            operand = self._stack.pop()
            self._demand(operand, operation.pops[0], f"`{_sign(node.operator)}`")
            return _Operand(node, operation.pushes, operand.units)
        if isinstance(node, Ternary):
            return self._ternary(node)
        assert isinstance(node, Binary)
        return self._binary(node)

    def _binary(self, node: Binary) -> _Operand:
        operation = OPERATIONS[BY_NAME[node.operator]]
        right, left = self._stack.pop(), self._stack.pop()
        for operand, wanted in zip((left, right), operation.pops, strict=True):
            self._demand(operand, wanted, f"`{node.operator}`")
        units = ""
        if node.operator in _SAME_UNITS:
            self._same_units(node, left, right)
            units = left.units or right.units
        return _Operand(node, operation.pushes, "" if operation.pushes == "condition" else units)

    def _ternary(self, node: Ternary) -> _Operand:
        operation = OPERATIONS[BY_NAME[node.operator]]
        third, second, first = self._stack.pop(), self._stack.pop(), self._stack.pop()
        for operand, wanted in zip((first, second, third), operation.pops, strict=True):
            self._demand(operand, wanted, f"`{node.operator}`")
        if node.operator == "if":
            self._same_units(node, first, third)
        return _Operand(node, operation.pushes, first.units or third.units if node.operator == "if" else "")

    def _demand(self, operand: _Operand, wanted: Type, who: str) -> None:
        if operand.type == wanted:
            return
        shown = self._quote(operand.node)
        if wanted == "condition":
            message = f"{who} needs a condition, and {shown} is a number"
            remedy = "Compare it with something, e.g. `running == 1`."
        else:
            message = f"{who} needs a number, and {shown} is true or false"
            remedy = "Use a tag, a number or arithmetic here."
        raise ExpressionError(message, remedy=remedy, position=operand.node.start)

    def _same_units(self, node: Binary | Ternary, left: _Operand, right: _Operand) -> None:
        if not left.units or not right.units or left.units == right.units:
            return
        raise ExpressionError(
            f"`{node.operator}` joins {self._quote(left.node)} in {left.units} "
            f"and {self._quote(right.node)} in {right.units}",
            remedy="Convert one side by a factor; products are not checked for units.",
            position=node.start,
        )

    def _window_units(self, node: Window) -> str:
        row = self._resolve(node.tag)
        period_ns = self._names.period_ns(row)
        if node.duration_ns < WINDOW_SAMPLES_MIN * period_ns:
            raise ExpressionError(
                f"{self._quote(node)} looks back {_seconds(node.duration_ns)}, "
                f"and the tag is sampled every {_seconds(period_ns)}",
                remedy=f"Look back at least {_seconds(WINDOW_SAMPLES_MIN * period_ns)}, or scan it more often.",
                position=node.start,
            )
        units = self._names.units(row)
        suffix = {"rate": "/s", "integral": "*s"}.get(node.function, "")
        return "" if node.function == "count" or not units else units + suffix

    def _resolve(self, tag: Tag) -> int:
        row = self._names.row(tag.name)
        if row is None:
            raise ExpressionError(
                f"there is no tag `{tag.name}`", remedy=self._suggestion(tag.name), position=tag.start
            )
        self._rows[tag.start] = row
        return row

    def _suggestion(self, name: str) -> str:
        if name in FUNCTIONS:
            return f"The function `{name}` needs parentheses."
        known = list(islice(self._names.all(), NAMES_COMPARED_MAX))
        near = difflib.get_close_matches(name, known, n=3)
        hyphened = [other for other in known if other.startswith(f"{name}-")] if not near else []
        shown = " or ".join(_spelled(other) for other in (near or hyphened)[:3])
        return f"Did you mean {shown}?" if shown else "`gatewayd tags list` shows every tag."

    def _quote(self, node: Node) -> str:
        shown = " ".join(self._text[node.start : node.end].split())
        return f"`{shown if len(shown) <= 60 else shown[:57] + '...'}`"


def _sign(operator: str) -> str:
    return "-" if operator == "negate" else operator


def _seconds(duration_ns: int) -> str:
    return f"{duration_ns / 1e9:g} s"


def _spelled(name: str) -> str:
    plain = name.replace(".", "_").replace("_", "a").isalnum() and name not in KEYWORDS
    return f"`{name}`" if plain else f"`{name}` (backticks included)"
