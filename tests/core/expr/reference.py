"""The meaning of the language, slow and obvious: what the compiler, the kernels and the columns must agree with.

NaN is unknown, 1.0 true, 0.0 false. Nothing here shares code with the product but the parser's tree.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from itertools import pairwise

from gatewayd.core.expr.syntax import Binary, Boolean, Hold, Node, Number, Status, Tag, Ternary, Unary, Window

UNKNOWN = math.nan


@dataclass
class Sample:
    time: int
    value: float
    status: int

    @property
    def is_good(self) -> bool:
        return self.status < 0x40000000 and not math.isnan(self.value)


@dataclass
class TagHistory:
    """Everything a tag ever said."""

    samples: list[Sample] = field(default_factory=list)
    status: int = 0x80320000
    value: float = UNKNOWN
    is_stale: bool = False
    anomaly: int = -1

    def current(self) -> float:
        return self.value if self.status < 0x40000000 and not self.is_stale else UNKNOWN

    def quality(self) -> float:
        if self.status < 0x40000000:
            return 2.0
        return 1.0 if self.status < 0x80000000 else 0.0

    def covered_since(self, duration: int) -> int | None:
        """The first good sample after the last bad one, or after the last silence longer than the window."""
        since: int | None = None
        last_good: int | None = None
        for sample in self.samples:
            if not sample.is_good:
                since = None
                continue
            if since is None or last_good is None or sample.time - last_good > duration:
                since = sample.time
            last_good = sample.time
        return since

    def window(self, function: str, duration: int, ring_size: int, now: int) -> float:
        since = self.covered_since(duration)
        if math.isnan(self.current()) or since is None or (now - since) * 2 < duration:
            return UNKNOWN
        good = [sample for sample in self.samples if sample.is_good][-ring_size:]
        inside = [sample for sample in good if now - duration <= sample.time <= now]
        if function == "avg":
            return _mean([sample.value for sample in inside])
        values = [sample.value for sample in inside]
        match function:
            case "count":
                return float(len(values))
            case "min" | "max":
                return UNKNOWN if not values else min(values) if function == "min" else max(values)
            case _ if len(inside) < 2:
                return UNKNOWN
            case "std":
                return _std(values)
            case "integral":
                return _area(inside)
        return (inside[-1].value - inside[0].value) / ((inside[-1].time - inside[0].time) / 1e9)


class Reader:
    """What one expression sees, and the memory of its `for`s."""

    def __init__(self, tags: dict[str, TagHistory], ring_sizes: dict[tuple[str, int], int]) -> None:
        self.tags = tags
        self.ring_sizes = ring_sizes
        self.true_since: dict[tuple[int, int], int] = {}  # place of a `for` in the text -> when its condition rose
        self.now = 0
        self.deadlines: list[int] = []

    def hold(self, node: Hold, condition: float) -> float:
        place = (node.start, node.end)
        if condition != 1.0:
            self.true_since.pop(place, None)
            return condition
        since = self.true_since.setdefault(place, self.now)
        if self.now - since >= node.duration_ns:
            return 1.0
        self.deadlines.append(since + node.duration_ns)
        return 0.0


def evaluate(node: Node, reader: Reader) -> float:
    match node:
        case Number():
            return node.value
        case Boolean():
            return 1.0 if node.value else 0.0
        case Tag():
            return reader.tags[node.name].current()
        case Status():
            return _status(node.function, reader.tags[node.tag.name])
        case Window():
            ring_size = reader.ring_sizes[node.tag.name, node.duration_ns]
            return reader.tags[node.tag.name].window(node.function, node.duration_ns, ring_size, reader.now)
        case Unary():
            return _unary(node.operator, evaluate(node.operand, reader))
        case Hold():
            return reader.hold(node, evaluate(node.operand, reader))
        case Binary():
            left, right = evaluate(node.left, reader), evaluate(node.right, reader)  # both, always: `for` has a memory
            return _logic(node.operator, left, right) if node.operator in ("and", "or") else _strict(node, left, right)
        case Ternary():
            first, second, third = (evaluate(part, reader) for part in (node.first, node.second, node.third))
            return _vote(first, second, third) if node.operator == "vote" else _choice(first, second, third)
    raise AssertionError(node)


def _vote(*votes: float) -> float:
    """Two of three, whatever the third says."""
    return 1.0 if votes.count(1.0) >= 2 else 0.0 if votes.count(0.0) >= 2 else UNKNOWN


def _choice(then: float, condition: float, otherwise: float) -> float:
    return UNKNOWN if math.isnan(condition) else then if condition == 1.0 else otherwise


def _status(function: str, tag: TagHistory) -> float:
    if function == "stale":
        return 1.0 if tag.is_stale else 0.0
    if function == "quality":
        return tag.quality()
    return UNKNOWN if tag.anomaly == -1 else float(tag.anomaly != 0)


def _unary(operator: str, value: float) -> float:
    if math.isnan(value):
        return UNKNOWN
    return {"negate": -value, "abs": abs(value), "not": 1.0 - value}[operator]


def _logic(operator: str, left: float, right: float) -> float:
    """Kleene: minimum and maximum of false < unknown < true."""
    rank = {0.0: 0, 1.0: 2}
    ranks = [1 if math.isnan(value) else rank[value] for value in (left, right)]
    return (0.0, UNKNOWN, 1.0)[min(ranks) if operator == "and" else max(ranks)]


def _strict(node: Binary, left: float, right: float) -> float:
    if math.isnan(left) or math.isnan(right):
        return UNKNOWN
    match node.operator:
        case "+":
            return left + right
        case "-":
            return left - right
        case "*":
            return left * right
        case "/":
            return UNKNOWN if right == 0 else left / right
        case "min":
            return min(left, right)
        case "max":
            return max(left, right)
    holds = {
        "<": left < right,
        "<=": left <= right,
        ">": left > right,
        ">=": left >= right,
        "==": left == right,
        "!=": left != right,
    }
    return 1.0 if holds[node.operator] else 0.0


def _mean(values: list[float]) -> float:
    if not values:
        return UNKNOWN
    total = 0.0
    for value in values:
        total += value
    return total / len(values)


def _std(values: list[float]) -> float:
    """Square root of the mean squared distance from the mean."""
    mean, total = _mean(values), 0.0
    for value in values:
        total += (value - mean) * (value - mean)
    return math.sqrt(total / len(values))


def _area(samples: list[Sample]) -> float:
    """Trapezoids between the samples, in units times seconds."""
    total = 0.0
    for before, after in pairwise(samples):
        total += (before.value * 0.5 + after.value * 0.5) * ((after.time - before.time) / 1e9)
    return total
