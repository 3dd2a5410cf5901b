"""What a term was worth at a moment, read from the columns: for the evidence of a decision, never on the hot path.

Gives the bits the interpreter saw, as long as the columns have not changed since. What remembers gives its last result.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from itertools import pairwise

from gatewayd.core.expr.programme import Term
from gatewayd.model import quality

Columns = Mapping[str, memoryview]


def term_value(term: Term, columns: Columns, now_mono_ns: int) -> float:
    """Return a term's value: a number, 1 or 0 for `stale` and `anomaly`, NaN = unknown.

    Args:
        term: of a verified programme.
        columns: `table.column` -> the live columns.
        now_mono_ns: boot-clock ns of the pass.
    """
    value = _read(term, columns, now_mono_ns)
    return (
        math.nan if math.isnan(value) else value
    )  # a NaN out of arithmetic has a sign, which depends on the processor


def _read(term: Term, columns: Columns, now_mono_ns: int) -> float:
    match term.kind:
        case "tag":
            return _tag(columns, term.row)
        case "window":
            return _window(term, columns, now_mono_ns)
        case "stale":
            return float(columns["tag.stale"][term.row] != 0)
        case "anomaly":
            alarm = columns["tag.anomaly"][term.row]
            return math.nan if alarm < 0 else float(alarm > 0)
        case "quality":
            return {"good": 2.0, "uncertain": 1.0, "bad": 0.0}[quality.severity(columns["tag.status"][term.row])]
        case "age":
            heard_ns = columns["tag.ingest_mono"][term.row]
            return (now_mono_ns - heard_ns) / 1e9 if columns["tag.sequence"][term.row] else math.nan
        case "memory":
            return float(columns["register.result"][term.register])


def _tag(columns: Columns, row: int) -> float:
    is_known = quality.is_good(columns["tag.status"][row]) and columns["tag.stale"][row] == 0
    return float(columns["tag.value"][row]) if is_known else math.nan


def _window(term: Term, columns: Columns, now_mono_ns: int) -> float:
    covered_since = columns["window.full_since"][term.window]
    if covered_since == 0 or math.isnan(_tag(columns, term.row)):
        return math.nan
    duration_ns = columns["window.duration"][term.window]
    newest_ns = columns["ring.time"][columns["window.ring_first"][term.window] + columns["window.head"][term.window]]
    now_ns = newest_ns + now_mono_ns - columns["window.newest_mono"][term.window]
    begin_ns = now_ns - duration_ns
    cut_ns, event_ns = columns["window.cut"][term.window], columns["tag.event_time"][term.row]
    is_covered = 2 * (now_ns - covered_since) >= duration_ns
    is_left_out = event_ns < newest_ns and event_ns < begin_ns
    if not is_covered or is_left_out or (cut_ns and cut_ns >= begin_ns):
        return math.nan
    return _FUNCTIONS[term.function](_samples(columns, term.window, begin_ns))


def _samples(columns: Columns, window: int, oldest_ns: int) -> list[tuple[int, float]]:
    """Return (event time, value), oldest first, without those before `oldest_ns`."""
    first, size = columns["window.ring_first"][window], columns["window.ring_size"][window]
    head, count = columns["window.head"][window], columns["window.count"][window]
    cells = [first + (head - back) % size for back in reversed(range(count))]
    times, values = columns["ring.time"], columns["ring.value"]
    return [(times[cell], values[cell]) for cell in cells if times[cell] >= oldest_ns]


def _rate(samples: list[tuple[int, float]]) -> float:
    if len(samples) < 2:
        return math.nan
    (oldest_ns, oldest), (newest_ns, newest) = samples[0], samples[-1]
    return (newest - oldest) / ((newest_ns - oldest_ns) / 1e9)


def _mean(samples: list[tuple[int, float]]) -> float:
    if not samples:
        return math.nan
    total = 0.0
    for _, value in samples:  # not sum(): from 3.12 on it compensates, and the interpreter does not
        total += value
    return total / len(samples)


def _std(samples: list[tuple[int, float]]) -> float:
    if len(samples) < 2:
        return math.nan
    mean = _mean(samples)
    total = 0.0
    for _, value in samples:
        total += (value - mean) * (value - mean)
    return math.sqrt(total / len(samples))


def _integral(samples: list[tuple[int, float]]) -> float:
    if len(samples) < 2:
        return math.nan
    total = 0.0
    for (before_ns, before), (after_ns, after) in pairwise(samples):
        total += (before * 0.5 + after * 0.5) * ((after_ns - before_ns) / 1e9)
    return total


def _lowest(samples: list[tuple[int, float]]) -> float:
    return min((value for _, value in samples), default=math.nan)


def _highest(samples: list[tuple[int, float]]) -> float:
    return max((value for _, value in samples), default=math.nan)


def _count(samples: list[tuple[int, float]]) -> float:
    return float(len(samples))


_FUNCTIONS: dict[str, Callable[[list[tuple[int, float]]], float]] = {
    "rate": _rate,
    "avg": _mean,
    "min": _lowest,
    "max": _highest,
    "std": _std,
    "count": _count,
    "integral": _integral,
}
