"""Checks an expression against the plant before it is compiled: names, types, units, windows, depth of the stack."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from itertools import islice
from typing import NamedTuple, Protocol

from gatewayd.core.expr import units
from gatewayd.core.expr.opcodes import BY_NAME, CONDITION, OPERATIONS, STACK_MAX, Type
from gatewayd.core.expr.parser import FUNCTIONS
from gatewayd.core.expr.programme import RING_SIZE_MAX, longest_window_ns, ring_size
from gatewayd.core.expr.syntax import (
    Binary,
    Boolean,
    Choice,
    Memory,
    Node,
    Number,
    Status,
    Tag,
    Term,
    TimeOfDay,
    Unary,
    Vote,
    Window,
    Within,
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

    def asset(self, name: str) -> int | None:
        """Return the row of an asset that is watched as a whole, None if there is none of that name."""
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
        self._chosen: dict[tuple[int, int], Type] = {}  # place of an `if` in the text -> of what type its values are
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
            if len(self._stack) + _takes_one_more(node) > STACK_MAX:
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

    def chosen(self, node: Choice) -> Type:
        """Return of what type the values of an `if` are; `check` has found out."""
        return self._chosen[node.start, node.end]

    def _visit(self, node: Node) -> _Operand:
        match node:
            case Number():
                return _Operand(node, "number", "")
            case Boolean() | Within():
                return _Operand(node, "condition", "")
            case TimeOfDay():
                return _Operand(node, "number", "s")
            case Tag():
                return _Operand(node, "number", self._names.units(self._resolve(node)))
            case Status():
                self._resolve(node.tag, is_asset=node.function == "anomaly")
                pushes = OPERATIONS[BY_NAME[node.function]].pushes
                return _Operand(node, pushes, "s" if node.function == "age" else "")
            case Window():
                return _Operand(node, "number", self._window_units(node))
            case _:
                return self._operation(node)

    def _operation(self, node: Node) -> _Operand:
        match node:
            case Unary():
                operation = OPERATIONS[BY_NAME[node.operator]]
                (operand,) = self._take(operation.pops, f"`{_sign(node.operator)}`")
                return _Operand(node, operation.pushes, operand.units)
            case Binary():
                return self._binary(node)
            case Choice():
                return self._choice(node)
            case Vote():
                self._take(CONDITION * len(node.voters), "`vote`")
                return _Operand(node, "condition", "")
            case Memory():
                return self._memory(node)
            case _:
                raise AssertionError(node)

    def _take(self, wanted: tuple[Type, ...], who: str) -> list[_Operand]:
        """Take operands of these types from the stack, in the order of the text."""
        taken = [self._stack.pop() for _ in wanted][::-1]
        for operand, kind in zip(taken, wanted, strict=True):
            self._demand(operand, kind, who)
        return taken

    def _binary(self, node: Binary) -> _Operand:
        operation = OPERATIONS[BY_NAME[node.operator]]
        left, right = self._take(operation.pops, f"`{node.operator}`")
        shared = ""
        if node.operator in _SAME_UNITS:
            shared = self._same_units(node, f"`{node.operator}`", left, right)
        elif node.operator in ("*", "/") and left.units and right.units:
            shared = f"({left.units}){node.operator}({right.units})"
        return _Operand(node, operation.pushes, "" if operation.pushes == "condition" else shared)

    def _choice(self, node: Choice) -> _Operand:
        kind = self._stack[-3].type
        then, _, otherwise = self._take((kind, "condition", kind), "`if`")
        self._chosen[node.start, node.end] = kind
        return _Operand(node, kind, self._same_units(node, "`if`", then, otherwise))

    def _memory(self, node: Memory) -> _Operand:
        operation = OPERATIONS[BY_NAME[node.function]]
        operands = self._take(operation.pops[: len(node.operands)], f"`{node.function}`")
        for other in operands[1:]:
            self._same_units(node, f"`{node.function}`", operands[0], other)
        return _Operand(node, operation.pushes, operands[0].units if node.function == "prev" else "")

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

    def _same_units(self, node: Node, who: str, left: _Operand, right: _Operand) -> str:
        """Return the unit of two operands that must have the same, empty if nothing is known."""
        if not left.units or not right.units or units.are_equal(left.units, right.units):
            return left.units or right.units
        shown = self._quote(right.node)
        raise ExpressionError(
            f"{who} joins {self._quote(left.node)} in {left.units} and {shown} in {right.units}",
            remedy=units.remedy(shown, isinstance(right.node, Binary | Choice), of=right.units, wanted=left.units),
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
        spacing_ns = self._names.spacing_ns(row)
        if spacing_ns and ring_size(node.duration_ns, spacing_ns) > RING_SIZE_MAX:
            raise ExpressionError(
                f"{self._quote(node)} would keep more than {RING_SIZE_MAX} samples, "
                f"for the tag may bring one every {_seconds(spacing_ns)}",
                remedy=f"Look back at most {_seconds(longest_window_ns(spacing_ns))}, or sample the tag less often.",
                position=node.start,
            )
        of_tag = self._names.units(row)
        suffix = {"rate": "/s", "integral": "*s"}.get(node.function, "")
        return "" if node.function == "count" or not of_tag else of_tag + suffix

    def _resolve(self, tag: Tag, *, is_asset: bool = False) -> int:
        row = self._names.row(tag.name)
        if row is None and is_asset:
            row = self._names.asset(tag.name)
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


def _takes_one_more(node: Node) -> bool:
    """Say whether an operation brings a value of its own to the stack: a duration, a sequence, a time."""
    return isinstance(node, Within) or (isinstance(node, Memory) and (node.duration_ns > 0 or node.function == "prev"))


def _sign(operator: str) -> str:
    return "-" if operator == "negate" else operator


def _seconds(duration_ns: int) -> str:
    return f"{duration_ns / 1e9:g} s"


def _spelled(name: str) -> str:
    plain = name.replace(".", "_").replace("_", "a").isalnum() and name not in KEYWORDS
    return f"`{name}`" if plain else f"`{name}` (backticks included)"
