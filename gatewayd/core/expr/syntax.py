"""The tree of an expression. Every node knows its place: `text[start:end]`."""

from __future__ import annotations

from typing import Literal

from msgspec import Struct

StatusFunction = Literal["stale", "quality", "anomaly", "age"]
WindowFunction = Literal["rate", "avg", "min", "max", "std", "count", "integral"]
MemoryFunction = Literal["for", "delay_on", "delay_off", "hysteresis", "latch", "rising", "falling", "prev"]


class Node(Struct, frozen=True):
    """Base of every node."""

    start: int
    end: int


class Number(Node, frozen=True):
    """A number; it has no unit."""

    value: float


class Boolean(Node, frozen=True):
    """`true` or `false`."""

    value: bool


class Tag(Node, frozen=True):
    """The value of a tag; `state(pump)` is that of `pump.state`."""

    name: str


class Status(Node, frozen=True):
    """`stale(tag)`, `quality(tag)`, `anomaly(tag)`, `age(tag)`."""

    function: StatusFunction
    tag: Tag


class Window(Node, frozen=True):
    """What a tag was over a time: `rate(tag, 60s)`, `min(tag, 60s)`."""

    function: WindowFunction
    tag: Tag
    duration_ns: int


class TimeOfDay(Node, frozen=True):
    """`time_of_day()`: seconds since the site's midnight."""


class Within(Node, frozen=True):
    """`within("22:00", "06:00")`: the first belongs to it, the second does not; both in ns since midnight."""

    begin_ns: int
    finish_ns: int


class Unary(Node, frozen=True):
    """One operand. `operator` is an operation's name: `negate`, `abs`, `not`."""

    operator: str
    operand: Node


class Binary(Node, frozen=True):
    """Two operands. `operator` is an operation's name: + - * / min max < <= > >= == != and or."""

    operator: str
    left: Node
    right: Node


class Choice(Node, frozen=True):
    """`VALUE if COND else VALUE`; both values are numbers, or both conditions."""

    then: Node
    condition: Node
    otherwise: Node


class Vote(Node, frozen=True):
    """`vote(2, a, b, c)`: at least `needed` of the voters."""

    needed: int
    voters: tuple[Node, ...]


class Memory(Node, frozen=True):
    """What depends on the past of its operands: `COND for 5s`, `latch(set, reset)`. `duration_ns` is 0 if it has none."""

    function: MemoryFunction
    operands: tuple[Node, ...]
    duration_ns: int = 0


Term = Tag | Status | Window
Shown = Term | Memory | TimeOfDay | Within  # what the evidence of a decision gives a value for


def operands(node: Node) -> tuple[Node, ...]:
    """Return what a node is made of, in the order of the text. The tags named by functions are not operands."""
    match node:
        case Unary():
            return (node.operand,)
        case Binary():
            return (node.left, node.right)
        case Choice():
            return (node.then, node.condition, node.otherwise)
        case Vote():
            return node.voters
        case Memory():
            return node.operands
        case _:
            return ()


def postorder(root: Node) -> list[Node]:
    """Return every node after its operands, left before right: the order in which a stack machine meets them.

    Not recursive: `a + a + a + ...` is as deep as it is long.
    """
    order: list[Node] = []
    waiting = [root]
    while waiting:
        node = waiting.pop()
        order.append(node)
        waiting += operands(node)
    order.reverse()
    return order


def terms(root: Node) -> list[Term]:
    """Return what an expression reads of the plant, in the order of the text."""
    return [node for node in postorder(root) if isinstance(node, Tag | Status | Window)]


def shown(root: Node) -> list[Shown]:
    """Return what the evidence of a decision gives a value for, operands first."""
    return [node for node in postorder(root) if isinstance(node, Shown)]


def is_condition(node: Shown) -> bool:
    """Say whether a node is true or false rather than a number."""
    match node:
        case Status():
            return node.function in ("stale", "anomaly")
        case Memory():
            return node.function != "prev"
        case _:
            return isinstance(node, Within)
