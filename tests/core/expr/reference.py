"""The meaning of the language, slow and obvious: what the compiler, the kernels and the columns must agree with.

NaN is unknown, 1.0 true, 0.0 false. Nothing here shares code with the product but the parser's tree.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from itertools import pairwise

from gatewayd.core.expr.syntax import (
    Binary,
    Boolean,
    Choice,
    Memory,
    Node,
    Number,
    Status,
    Tag,
    TimeOfDay,
    Unary,
    Vote,
    Window,
    Within,
)

UNKNOWN = math.nan
SECOND = 1_000_000_000
DAY = 86_400 * SECOND


@dataclass
class Sample:
    time: int  # when it arrived, by our clock
    value: float
    status: int
    event: int  # when it was taken, by the device's

    @property
    def is_good(self) -> bool:
        return self.status < 0x40000000 and not math.isnan(self.value)


@dataclass
class Past:
    """What one window keeps of a tag."""

    duration: int
    size: int
    kept: dict[int, float] = field(default_factory=dict)  # event time -> value
    newest_arrived: int = 0
    covered_since: int | None = None
    cut: int = 0

    def take(self, sample: Sample) -> None:
        if not sample.is_good:
            self.covered_since = None
            return
        if not 1 <= sample.event <= 2**62:
            return  # no time
        newest = max(self.kept, default=0)
        if self.kept and sample.event < newest - self.duration:
            if sample.time - self.newest_arrived <= self.duration:
                return  # too late
            self.kept, newest = {}, 0  # the device's clock was set back
        is_newest = sample.event > newest
        if is_newest:
            self.kept = {time: value for time, value in self.kept.items() if time >= sample.event - self.duration}
            self.newest_arrived = sample.time
        if not self.kept:
            self.covered_since, self.cut = None, 0
        self.kept[sample.event] = sample.value
        if len(self.kept) > self.size:
            oldest = min(self.kept)
            del self.kept[oldest]
            self.cut = max(self.cut, oldest)
        if self.covered_since is None and is_newest:
            self.covered_since = sample.event


@dataclass
class TagHistory:
    """Everything a tag ever said."""

    samples: list[Sample] = field(default_factory=list)
    falls_silent: list[int] = field(default_factory=list)  # after how many samples
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

    def past(self, duration: int, size: int) -> Past:
        past = Past(duration, size)
        for number, sample in enumerate(self.samples, start=1):
            past.take(sample)
            if number in self.falls_silent:
                past.covered_since = None
        return past


class Reader:
    """What one expression sees, and what it remembers, by its place in the text."""

    def __init__(self, tags: dict[str, TagHistory], windows: dict[tuple[str, int], tuple[int, int]]) -> None:
        self.tags = tags
        self.windows = windows  # (tag, duration) -> size of the ring, patience
        self.memory: dict[tuple[int, int], dict[str, float]] = {}
        self.results: dict[tuple[int, int], float] = {}
        self.now = 0
        self.day = 0
        self.deadlines: list[int] = []

    def wait(self, duration: float) -> None:
        self.deadlines.append(self.now + int(duration))

    def window(self, node: Window) -> float:
        tag = self.tags[node.tag.name]
        size, patience = self.windows[node.tag.name, node.duration_ns]
        past = tag.past(node.duration_ns, size)
        if past.covered_since is None or tag.status >= 0x40000000 or tag.is_stale:
            return UNKNOWN
        last = tag.samples[-1]
        newest = max(past.kept)
        now = newest + self.now - past.newest_arrived  # by the device's clock
        begin = now - node.duration_ns
        inside = {time: value for time, value in sorted(past.kept.items()) if time >= begin}
        gone = min(inside, default=None)
        is_whole = not past.cut or past.cut < begin
        is_covered = (now - past.covered_since) * 2 >= node.duration_ns
        if not is_whole:
            gone = past.cut
        wake = None if gone is None else gone + node.duration_ns + 1
        if is_whole and not is_covered:
            wake = past.covered_since + -(-node.duration_ns // 2)
        if wake is not None:
            self.deadlines.append(max(self.now + wake - now, last.time + patience))
        is_left_out = last.event < newest and last.event < begin
        if not is_whole or not is_covered or is_left_out or math.isnan(tag.current()):
            return UNKNOWN
        return _window(node.function, list(inside.items()))

    def age(self, node: Status, watched: float | None) -> float:
        samples = self.tags[node.tag.name].samples
        if not samples:
            return UNKNOWN
        age = self.now - samples[-1].time
        if watched is None:
            self.wait(SECOND - age % SECOND)
        elif age <= watched:
            self.wait(watched - age or 1)
        return age / 1e9

    def time_of_day(self, watched: float | None) -> float:
        if self.day < 0:
            return UNKNOWN
        if watched is None:
            self.wait(SECOND - self.day % SECOND)
        else:
            ahead = watched - self.day if self.day < watched else DAY - self.day
            self.wait(min(60 * SECOND, 1 if self.day == watched else ahead))
        return self.day / 1e9

    def within(self, node: Within) -> float:
        if self.day < 0:
            return UNKNOWN
        ahead = [(edge - self.day - 1) % DAY + 1 for edge in (node.begin_ns, node.finish_ns)]
        self.wait(min(*ahead, 60 * SECOND))
        return 1.0 if ahead[1] < ahead[0] else 0.0  # the end comes before the next beginning

    def remember(self, node: Memory, operands: list[float]) -> float:
        memory = self.memory.setdefault((node.start, node.end), {})
        first = operands[0]
        match node.function:
            case "for" | "delay_on":
                return self._delay_on(node, memory, first)
            case "delay_off":
                return self._delay_off(node, memory, first)
            case "hysteresis":
                return _hysteresis(memory, *operands)
            case "latch":
                return _latch(memory, *operands)
            case "rising" | "falling":
                return self._edge(node, memory, first)
        sequence = len(self.tags[node.operands[0].name].samples)  # type: ignore[attr-defined]
        if math.isnan(first):
            return UNKNOWN
        if memory.get("sequence") != sequence:
            memory |= {"sequence": sequence, "previous": memory.get("value", UNKNOWN), "value": first}
        return memory["previous"]

    def _delay_on(self, node: Memory, memory: dict[str, float], condition: float) -> float:
        if condition == 0.0 or (math.isnan(condition) and node.function == "for"):
            memory.clear()
        if condition != 1.0:
            return condition
        since = memory.setdefault("since", self.now)
        if self.now - since >= node.duration_ns:
            return 1.0
        self.wait(since + node.duration_ns - self.now)
        return 0.0

    def _delay_off(self, node: Memory, memory: dict[str, float], condition: float) -> float:
        if condition == 1.0:
            memory.clear()
            memory["was_on"] = 1.0
        if condition != 0.0 or "was_on" not in memory:
            return condition
        since = memory.setdefault("since", self.now)
        if self.now - since < node.duration_ns:
            self.wait(since + node.duration_ns - self.now)
            return 1.0
        memory.clear()
        return 0.0

    def _edge(self, node: Memory, memory: dict[str, float], condition: float) -> float:
        if math.isnan(condition):
            return UNKNOWN
        before = memory.get("value")
        memory["value"] = condition
        if (before, condition) != ((0.0, 1.0) if node.function == "rising" else (1.0, 0.0)):
            return 0.0
        self.wait(1)
        return 1.0


def evaluate(node: Node, reader: Reader, watched: float | None = None) -> float:
    """`watched`: ns at which an age or a time of the day is compared with a number."""
    value = _evaluate(node, reader, watched)
    reader.results[node.start, node.end] = value
    return value


def _evaluate(node: Node, reader: Reader, watched: float | None) -> float:
    match node:
        case Number():
            return node.value
        case Boolean():
            return 1.0 if node.value else 0.0
        case Tag():
            return reader.tags[node.name].current()
        case Status(function="age"):
            return reader.age(node, watched)
        case Status():
            return _status(node.function, reader.tags[node.tag.name])
        case Window():
            return reader.window(node)
        case TimeOfDay():
            return reader.time_of_day(watched)
        case Within():
            return reader.within(node)
        case Unary():
            return _unary(node.operator, evaluate(node.operand, reader))
        case Memory():
            return reader.remember(node, [evaluate(operand, reader) for operand in node.operands])
        case Binary():
            left = evaluate(node.left, reader, _watched(node, node.right))
            right = evaluate(node.right, reader, _watched(node, node.left))  # both, always: they have a memory
            return _logic(node.operator, left, right) if node.operator in ("and", "or") else _strict(node, left, right)
        case Vote():
            return _vote(node.needed, [evaluate(voter, reader) for voter in node.voters])
        case Choice():
            return _choice(*(evaluate(part, reader) for part in (node.then, node.condition, node.otherwise)))
    raise AssertionError(node)


def _watched(node: Binary, other: Node) -> float | None:
    is_compared = node.operator in ("<", "<=", ">", ">=", "==", "!=") and isinstance(other, Number)
    return math.floor(other.value * SECOND) if is_compared and other.value * SECOND <= DAY else None


def _window(function: str, inside: list[tuple[int, float]]) -> float:
    values = [value for _, value in inside]
    match function:
        case "count":
            return float(len(values))
        case "avg":
            return _mean(values)
        case "min" | "max":
            return UNKNOWN if not values else min(values) if function == "min" else max(values)
        case _ if len(inside) < 2:
            return UNKNOWN
        case "std":
            return _std(values)
        case "integral":
            return _area(inside)
    return (values[-1] - values[0]) / ((inside[-1][0] - inside[0][0]) / 1e9)


def _hysteresis(memory: dict[str, float], value: float, switch_on: float, switch_off: float) -> float:
    if any(math.isnan(operand) for operand in (value, switch_on, switch_off)):
        return UNKNOWN
    if switch_on < switch_off:  # on below, off above
        value, switch_on, switch_off = -value, -switch_on, -switch_off
    if value >= switch_on:
        memory["value"] = 1.0
    elif value <= switch_off:
        memory["value"] = 0.0
    return memory.setdefault("value", 0.0)


def _latch(memory: dict[str, float], sets: float, resets: float) -> float:
    held = memory.get("value", 0.0)
    possible = {
        0.0 if reset else 1.0 if set_ else held
        for set_ in ([0, 1] if math.isnan(sets) else [sets])
        for reset in ([0, 1] if math.isnan(resets) else [resets])
    }
    if resets == 1.0 or (sets == 1.0 and resets == 0.0):
        memory["value"] = 0.0 if resets else 1.0
    return possible.pop() if len(possible) == 1 else UNKNOWN


def _vote(needed: int, votes: list[float]) -> float:
    if votes.count(1.0) >= needed:
        return 1.0
    return 0.0 if len(votes) - votes.count(0.0) < needed else UNKNOWN


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


def _area(samples: list[tuple[int, float]]) -> float:
    """Trapezoids between the samples, in units times seconds."""
    total = 0.0
    for (time_before, before), (time_after, after) in pairwise(samples):
        total += (before * 0.5 + after * 0.5) * ((time_after - time_before) / 1e9)
    return total
