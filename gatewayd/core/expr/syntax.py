"""The tree of an expression. Every node knows its place: `text[start:end]`."""

from __future__ import annotations

from typing import Literal

from msgspec import Struct

StatusFunction = Literal["stale", "quality", "anomaly"]
WindowFunction = Literal["rate", "avg", "min", "max", "std", "count", "integral"]


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
    """The value of a tag."""

    name: str


class Status(Node, frozen=True):
    """`stale(tag)`, `quality(tag)`, `anomaly(tag)`."""

    function: StatusFunction
    tag: Tag


class Window(Node, frozen=True):
    """What a tag was over a time: `rate(tag, 60s)`, `min(tag, 60s)`."""

    function: WindowFunction
    tag: Tag
    duration_ns: int


class Unary(Node, frozen=True):
    """One operand. `operator` is an operation's name: `negate`, `abs`, `not`."""

    operator: str
    operand: Node


class Binary(Node, frozen=True):
    """Two operands. `operator` is an operation's name: + - * / min max < <= > >= == != and or."""

    operator: str
    left: Node
    right: Node


class Ternary(Node, frozen=True):
    """Three operands in the order of the text. `operator` is an operation's name: `if` (value, condition, value), `vote`."""

    operator: str
    first: Node
    second: Node
    third: Node


class Hold(Node, frozen=True):
    """`COND for 5s`."""

    operand: Node
    duration_ns: int


Term = Tag | Status | Window


def postorder(root: Node) -> list[Node]:
    """Return every node after its operands, left before right: the order in which a stack machine meets them.

    Not recursive: `a + a + a + ...` is as deep as it is long. The tags named by functions are not visited.
    """
    order: list[Node] = []
    waiting = [root]
    while waiting:
        node = waiting.pop()
        order.append(node)
        if isinstance(node, Unary | Hold):
            waiting.append(node.operand)
        elif isinstance(node, Binary):
            waiting += (node.left, node.right)
        elif isinstance(node, Ternary):
            waiting += (node.first, node.second, node.third)
    order.reverse()
    return order


def terms(root: Node) -> list[Term]:
    """Return what an expression reads of the plant, in the order of the text."""
    return [node for node in postorder(root) if isinstance(node, Tag | Status | Window)]
