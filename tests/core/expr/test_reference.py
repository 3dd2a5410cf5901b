"""The compiler, the kernels and the evidence agree with the slow obvious evaluator, bit for bit, over a random past."""

from __future__ import annotations

import math
import struct

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gatewayd.core.expr.parser import parse
from gatewayd.core.expr.syntax import Memory, TimeOfDay, Within, shown
from tests.core.expr.plant import BAD, GOOD, SECOND, START, UNCERTAIN, Plant, TagNames
from tests.core.expr.reference import DAY, Reader, Sample, TagHistory, evaluate
from tests.kernels.harness import FORMS, kernels

TAGS = ("a", "b", "c")
WINDOWS = ("2s", "5s", "60s")
WINDOW_FUNCTIONS = ("rate", "avg", "min", "max", "std", "count", "integral")

numbers = st.one_of(
    st.sampled_from([0.0, 0.5, 1.0, 2.0, 3.0, 1e-9, 1e308]),
    st.floats(0, 1e6, allow_nan=False),
).map(lambda value: format(value, ".17g").replace("+", ""))
tags = st.sampled_from(TAGS)
readings = st.one_of(
    st.sampled_from([0.0, -0.0, 1.0, -1.0, 2.0, 3.0, 1e308, -1e308, math.inf, -math.inf, math.nan]),
    st.floats(-1e3, 1e3),
)
durations = st.sampled_from(["1ms", "1s", "2.5s", "10s", "1h"])


number_leaves = st.one_of(
    numbers,
    tags,
    tags,
    st.builds("{}({}, {})".format, st.sampled_from(WINDOW_FUNCTIONS), tags, st.sampled_from(WINDOWS)),
    st.builds("quality({})".format, tags),
    st.builds("prev({})".format, tags),
    st.builds("(age({}) * 1)".format, tags),  # without its unit, which would not go with everything
    st.just("(time_of_day() * 1)"),
)
condition_leaves = st.one_of(
    st.builds("stale({})".format, tags),
    st.builds("anomaly({})".format, tags),
    st.sampled_from(["true", "false", 'within("12:00", "12:01")', 'within("12:00:02", "11:59")']),
    st.builds("age({}) {} {}".format, tags, st.sampled_from(["<", ">=", ">"]), st.sampled_from(["1", "2.5", "0"])),
    st.builds("time_of_day() {} {}".format, st.sampled_from(["<", ">="]), st.sampled_from(["43202", "1", "86401"])),
)


@st.composite
def number(draw: st.DrawFn, depth: int) -> str:
    shape = draw(st.sampled_from(["leaf", "leaf", "sign", "function", "abs", "negate", "clamp", "if"]))
    if depth == 0 or shape == "leaf":
        return draw(number_leaves)
    left, right = draw(number(depth - 1)), draw(number(depth - 1))
    return {
        "sign": f"({left} {draw(st.sampled_from('+-*/'))} {right})",
        "function": f"{draw(st.sampled_from(['min', 'max']))}({left}, {right})",
        "abs": f"abs({left})",
        "negate": f"(-{left})",
        "clamp": f"clamp({left}, {right}, {draw(number_leaves)})",
        "if": f"({left} if {draw(condition(depth - 1))} else {right})",
    }[shape]


@st.composite
def condition(draw: st.DrawFn, depth: int) -> str:
    shapes = ["leaf", "comparison", "comparison", "and", "or", "not", "for", "vote", "some", "if"]
    shape = draw(st.sampled_from([*shapes, "delay", "hysteresis", "latch", "edge"]))
    if depth == 0 or shape == "leaf":
        return draw(condition_leaves)
    if shape == "comparison":
        comparison = draw(st.sampled_from(["<", "<=", ">", ">=", "==", "!="]))
        return f"{draw(number(1))} {comparison} {draw(number(1))}"
    left, right = draw(condition(depth - 1)), draw(condition(depth - 1))
    return {
        "and": f"({left} and {right})",
        "or": f"({left} or {right})",
        "not": f"(not {left})",
        "for": f"({left} for {draw(durations)})",
        "vote": f"vote({left}, {right}, {draw(condition(depth - 1))})",
        "some": f"vote({draw(st.integers(1, 4))}, {left}, {right}, {left}, {draw(condition_leaves)})",
        "if": f"({left} if {draw(condition_leaves)} else {right})",
        "delay": f"delay_{draw(st.sampled_from(['on', 'off']))}({left}, {draw(durations)})",
        "hysteresis": f"hysteresis({draw(number(1))}, {draw(number_leaves)}, {draw(number_leaves)})",
        "latch": f"latch({left}, {right})",
        "edge": f"{draw(st.sampled_from(['rising', 'falling']))}({left})",
    }[shape]


# how much older a sample is than its arrival, in seconds; a device's clock may run ahead, or be set
lags = st.sampled_from([0.0, 0.0, 0.0, 0.0, 0.5, 1.0, 1.5, 4.0, 30.0, 3600.0, -3.0, -3600.0, 1001.0])
expressions = st.one_of(
    number(3).map(lambda text: (text, "number")),
    condition(3).map(lambda text: (text, "condition")),
)
events = st.one_of(
    st.tuples(st.just("sample"), tags, readings, st.sampled_from([GOOD, GOOD, GOOD, GOOD, UNCERTAIN, BAD]), lags),
    st.tuples(st.just("stale"), tags),
    st.tuples(st.just("anomaly"), tags, st.sampled_from([-1, 0, 1, 2, 3])),
)
passes = st.lists(
    st.tuples(st.sampled_from([0.001, 0.5, 1.0, 1.0, 1.0, 2.0, 4.0, 61.0]), st.lists(events, max_size=4)),
    min_size=1,
    max_size=12,
)


def bits(value: float) -> bytes:
    """As stored: one NaN, one zero."""
    return struct.pack("<d", math.nan if math.isnan(value) else value + 0.0)


def raw_bits(value: float) -> bytes:
    return struct.pack("<d", value)


class Twice:
    """The same past told to the columns and to the reference."""

    def __init__(self, expressions: list[tuple[str, str]], form: str) -> None:
        self.plant = Plant(expressions, names=TagNames(*TAGS), kernels=kernels(form))
        self.histories = {name: TagHistory() for name in TAGS}
        windows = {
            (TAGS[window.row], window.duration_ns): (window.ring_size, window.patience_ns)
            for window in self.plant.programme.windows
        }
        self.roots = [parse(text) for text, _ in expressions]
        self.readers = [Reader(self.histories, windows) for _ in expressions]
        self.texts = [text for text, _ in expressions]
        self.last = [bits(math.nan)] * len(expressions)

    def tell(self, event: tuple[object, ...]) -> None:
        kind, name = event[0], str(event[1])
        history = self.histories[name]
        if kind == "stale":
            self.plant.turn_stale(name)
            history.is_stale, history.status = True, UNCERTAIN
            history.falls_silent.append(len(history.samples))
        elif kind == "anomaly":
            self.plant.tag.anomaly[TAGS.index(name)] = history.anomaly = int(str(event[2]))
        else:
            value, status = float(str(event[2])), int(str(event[3]))
            taken = self.plant.now - round(float(str(event[4])) * SECOND)
            self.plant.sample(name, value, status, event=taken)
            history.is_stale, history.status, history.value = False, status, value
            history.samples.append(Sample(self.plant.now, value, status, taken))

    def agree(self) -> None:
        changed = self.plant.run()
        deadlines = []
        for index, (root, reader, text) in enumerate(zip(self.roots, self.readers, self.texts, strict=True)):
            reader.now, reader.deadlines = self.plant.now, []
            reader.day = (self.plant.day + self.plant.now - START) % DAY
            wanted = evaluate(root, reader)
            program = self.plant.index[index]
            assert raw_bits(self.plant.result(index)) == bits(wanted), text
            assert (program in changed) == (bits(wanted) != self.last[index]), text
            self.last[index] = bits(wanted)
            deadlines += reader.deadlines
            self._evidence_agrees(index, reader)
        assert self.plant.next_deadline() == min(deadlines, default=0)

    def _evidence_agrees(self, index: int, reader: Reader) -> None:
        text = self.texts[index]
        wanted: dict[str, float] = {}
        for node in shown(self.roots[index]):
            remembers = isinstance(node, Memory | TimeOfDay | Within)
            value = reader.results[node.start, node.end] if remembers else evaluate(node, reader)
            wanted.setdefault(text[node.start : node.end], value)
        terms = self.plant.programme.programs[self.plant.index[index]].terms
        found = dict(zip([term.text for term in terms], self.plant.term_values(index), strict=True))
        assert found.keys() == wanted.keys()
        for name, value in found.items():
            assert bits(value) == bits(wanted[name]), name


def tell_the_same_past(expressions, past, form: str) -> None:
    twice = Twice(expressions, form)
    for seconds, happened in past:
        twice.plant.advance(seconds)
        heard = set()
        for event in happened:
            if event[0] == "anomaly" or event[1] not in heard:  # at one instant a tag gives one sample or falls silent
                twice.tell(event)
                if event[0] != "anomaly":
                    heard.add(event[1])
        twice.agree()


steady = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
some_expressions = st.lists(expressions, min_size=1, max_size=4, unique_by=lambda item: item[0])


@pytest.mark.parametrize("form", FORMS)
@settings(steady, max_examples=60)
@given(some_expressions, passes)
def test_every_expression_gives_the_bits_of_the_reference_through_any_past(form, expressions, past):
    tell_the_same_past(expressions, past, form)
