"""A plant of a few tags in columns, with the expressions of a test compiled over it."""

from __future__ import annotations

import math
from array import array
from collections.abc import Iterable, Sequence
from types import SimpleNamespace

from gatewayd.compiled import PlainKernels
from gatewayd.core.expr.compiler import Compiler
from gatewayd.core.expr.lowering import lower
from gatewayd.core.expr.programme import Programme
from gatewayd.core.expr.terms import term_value
from gatewayd.core.kernels import FORMATS, Kernels
from kernels import table

SECOND = 1_000_000_000
GOOD, UNCERTAIN, BAD = 0, 0x40900000, 0x80050000
START = 1_000 * SECOND


class TagNames:
    """Tags in the order given; `units` and `period_ns` for all that are not named otherwise."""

    def __init__(self, *names: str, units: dict[str, str] | None = None, period_ns: int = SECOND) -> None:
        self.names = names
        self._units = units or {}
        self._period_ns = period_ns

    def row(self, name: str) -> int | None:
        return self.names.index(name) if name in self.names else None

    def asset(self, name: str) -> int | None:
        return None

    def units(self, row: int) -> str:
        return self._units.get(self.names[row], "")

    def period_ns(self, row: int) -> int:
        return self._period_ns

    def spacing_ns(self, row: int) -> int:
        return self._period_ns

    def all(self) -> Iterable[str]:
        return self.names


def program(text: str, *, kind: str = "condition", names: TagNames | None = None) -> Programme:
    """Compile one expression over tags a, b, c."""
    compiler = Compiler(names or TagNames("a", "b", "c"))
    compiler.add(text, kind=kind)  # type: ignore[arg-type]
    return compiler.finish()


class Plant:
    """Columns as the core lays them out, and the two kernels over them, in plain Python unless told otherwise."""

    def __init__(
        self,
        expressions: Sequence[str | tuple[str, str]],
        *,
        names: TagNames | None = None,
        kernels: Kernels | None = None,
    ) -> None:
        self.names = names or TagNames("a", "b", "c")
        compiler = Compiler(self.names)
        self.index = [
            compiler.add(item if isinstance(item, str) else item[0], kind=_kind(item)) for item in expressions
        ]
        self.programme = compiler.finish()
        self.lowered = lower(self.programme)
        self.now = START
        self.day = 12 * 3600 * SECOND  # noon at the start
        self.columns = {
            f"{name}.{field}": memoryview(array(FORMATS[kind], [0] * self._rows(name)))
            for name, fields in table.TABLES.items()
            for field, kind in fields
        }
        self.tag, self.window, self.ring = self._view("tag"), self._view("window"), self._view("ring")
        self.program, self.register, self.out = self._view("program"), self._view("register"), self._view("out")
        self._fill()
        self.kernels = kernels = kernels or PlainKernels()
        self._window_update = kernels.bind("window_update", self.columns)
        self._rules = kernels.bind("rules", self.columns)

    def sample(self, name: str, value: float, status: int = GOOD, *, event: int | None = None) -> None:
        """A new sample of a tag now, windows included; `event` is its own time, if it has one."""
        row = self.names.names.index(name)
        self.tag.value[row] = value
        self.tag.status[row] = status
        self.tag.ingest_mono[row] = self.now
        self.tag.event_time[row] = self.now if event is None else event
        self.tag.sequence[row] += 1
        self.tag.stale[row] = 0
        self.refresh(name)

    def refresh(self, *names: str) -> int:
        """Put tags on the fresh list without a new sample."""
        for slot, name in enumerate(names):
            self.columns["fresh.row"][slot] = self.names.names.index(name)
        return self._window_update(len(names))

    def turn_stale(self, name: str, status: int = UNCERTAIN) -> None:
        row = self.names.names.index(name)
        self.tag.stale[row] = 1
        self.tag.status[row] = status
        self.refresh(name)

    def advance(self, seconds: float) -> None:
        self.now += round(seconds * SECOND)

    def run(self, due: Sequence[int] | None = None) -> list[int]:
        """Run programs, all unless told; return those that changed."""
        listed = list(range(len(self.programme.programs))) if due is None else list(due)
        for slot, index in enumerate(listed):
            self.columns["due.program"][slot] = index
        day = -1 if self.day < 0 else (self.day + self.now - START) % (86_400 * SECOND)
        changed = self._rules(len(listed), len(self.programme.programs), self.now, day)
        assert changed >= 0
        return [int(index) for index in self.columns["changed.program"][:changed]]

    def result(self, index: int = 0) -> float:
        return float(self.program.result[self.index[index]])

    def results(self) -> list[float]:
        return [self.result(index) for index in range(len(self.index))]

    def ask(self, index: int = 0) -> float:
        """Run everything and return one result."""
        self.run()
        return self.result(index)

    def term_values(self, index: int = 0) -> list[float]:
        terms = self.programme.programs[self.index[index]].terms
        return [term_value(term, self.columns, self.now) for term in terms]

    def next_deadline(self) -> int:
        return int(self.out.value[0])

    def _view(self, name: str) -> SimpleNamespace:
        return SimpleNamespace(**{field: self.columns[f"{name}.{field}"] for field, _ in table.TABLES[name]})

    def _rows(self, name: str) -> int:
        programs = len(self.programme.programs)
        rows = {
            "tag": len(self.names.names),
            "window": len(self.programme.windows),
            "ring": sum(window.ring_size for window in self.programme.windows),
            "program": programs,
            "code": len(self.lowered.words),
            "register": self.programme.registers,
            "due": programs,
            "changed": programs,
            "fresh": len(self.names.names),
            "stack": table.STACK_MAX,
            "out": table.OUT_CELLS,
        }
        return max(1, rows.get(name, 1))

    def _fill(self) -> None:
        for row in range(len(self.names.names)):
            self.tag.value[row] = math.nan
            self.tag.status[row] = 0x80320000
            self.tag.anomaly[row] = -1
            self.tag.window_first[row] = -1
        first = 0
        for index, window in enumerate(self.programme.windows):
            self.window.tag[index] = window.row
            self.window.duration[index] = window.duration_ns
            self.window.ring_first[index] = first
            self.window.ring_size[index] = window.ring_size
            self.window.patience[index] = window.patience_ns
            self.window.next[index] = self.tag.window_first[window.row]
            self.tag.window_first[window.row] = index
            first += window.ring_size
        for index in range(len(self.programme.programs)):
            self.program.start[index] = self.lowered.start[index]
            self.program.length[index] = self.lowered.length[index]
            self.program.result[index] = math.nan
        for index, word in enumerate(self.lowered.words):
            self.columns["code.word"][index] = word
        for index in range(self.programme.registers):
            self.register.value[index] = self.register.previous[index] = self.register.result[index] = math.nan


def _kind(item: str | tuple[str, str]) -> str:
    return item[1] if isinstance(item, tuple) else "condition"
