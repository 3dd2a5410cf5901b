"""Compiles the expressions of a site into one programme."""

from __future__ import annotations

import math

import msgspec

from gatewayd.core.expr.analysis import Analysis, Names
from gatewayd.core.expr.cost import PROGRAM_COST_MAX, SITE_COST_MAX, cost_of
from gatewayd.core.expr.opcodes import (
    BY_NAME,
    IF,
    IF_CONDITION,
    PUSH_BOOLEAN,
    PUSH_CONST,
    PUSH_TAG,
    SEQUENCE,
    VOTE,
    WINDOWS,
    Type,
)
from gatewayd.core.expr.parser import parse
from gatewayd.core.expr.programme import Compiled, Programme, Term, WindowSpec, digest_of, ring_size
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
from gatewayd.core.expr.tokens import DURATION_MAX_NS
from gatewayd.core.expr.verifier import PROGRAMS_MAX, RING_SAMPLES_MAX, verify
from gatewayd.errors import ExpressionError

__all__ = ["Compiler", "Names"]

PATIENCE = 2  # missed samples before a program runs for those that left a window
WATCHED_MAX_S = 1e6  # more than any duration

_COMPARISONS = frozenset({"<", "<=", ">", ">=", "==", "!="})


class Compiler:
    """Collects expressions; each gets an index, then `finish` hands out the programme.

    A text that fails leaves nothing behind that runs, so the caller may go on and collect every error of a site.

    Args:
        names: who knows the tags, unless `add` is told otherwise.
    """

    def __init__(self, names: Names) -> None:
        self._names = names
        self._programs: list[Compiled] = []
        self._ops: list[int] = []
        self._args: list[int] = []
        self._consts: dict[float, int] = {}
        self._windows: dict[tuple[int, int], int] = {}
        self._specs: list[WindowSpec] = []
        self._ring_samples = 0
        self._registers = 0
        self._cost = 0
        self._known: dict[tuple[str, Type, tuple[int, ...]], int] = {}

    def add(self, text: str, *, kind: Type, names: Names | None = None) -> int:
        """Compile one expression and return its index in the programme.

        Two expressions of the same text, kind and tags share an index, and what they remember.

        Args:
            text: at most 2000 characters.
            kind: `condition` must be true, false or unknown; `number` must be a number.
            names: who knows the tags of this one, e.g. the members of an asset.

        Raises:
            ExpressionError: with the position in `text` and a remedy.
        """
        root = parse(text)
        names = names or self._names
        analysis = Analysis(text, root, names)
        analysis.check(kind)
        rows = tuple(analysis.row(node) for node in analysis.order if isinstance(node, Tag | Status | Window))
        key = (_flat(text), kind, rows)
        if key not in self._known:
            if len(self._programs) == PROGRAMS_MAX:
                raise ExpressionError(
                    f"the site has more than {PROGRAMS_MAX} expressions", remedy="Remove rules.", position=0
                )
            self._open_windows(analysis, names)
            self._known[key] = self._emit(text, kind, analysis)
        return self._known[key]

    def finish(self) -> Programme:
        """Return everything added so far as a verified programme."""
        programme = Programme(
            programs=tuple(self._programs),
            ops=tuple(self._ops),
            args=tuple(self._args),
            consts=tuple(self._consts),
            registers=self._registers,
            windows=tuple(self._specs),
            digest=b"",
        )
        programme = msgspec.structs.replace(programme, digest=digest_of(programme))
        verify(programme, tag_count=1 + max((row for program in self._programs for row in program.rows), default=-1))
        return programme

    def _emit(self, text: str, kind: Type, analysis: Analysis) -> int:
        start, first_register = len(self._ops), self._registers
        watched = _watched(analysis.order)
        terms: dict[tuple[str, int], Term] = {}
        for node in analysis.order:
            register = self._registers
            self._emit_node(node, analysis, watched)
            term = self._term(text, node, analysis, register)
            if term is not None:
                terms.setdefault((term.text, term.row), term)
        rows = sorted({term.row for term in terms.values()} - {-1})
        length = len(self._ops) - start
        program = Compiled(_flat(text), kind, start, length, tuple(rows), tuple(terms.values()))
        try:
            self._account(program)
        except ExpressionError:
            del self._ops[start:], self._args[start:]
            self._registers = first_register
            raise
        self._programs.append(program)
        return len(self._programs) - 1

    def _account(self, program: Compiled) -> None:
        """Add what a program costs to what a cycle costs.

        Raises:
            ExpressionError: one of them would cost more than it may.
        """
        cost = cost_of(program, self._ops, self._args, self._specs)
        spent = f"a run of it takes up to {cost} steps"
        if cost > PROGRAM_COST_MAX:
            raise ExpressionError(
                f"{spent}, more than {PROGRAM_COST_MAX}",
                remedy="Look back less far, or at fewer tags, or split the rule.",
                position=0,
            )
        if self._cost + cost > SITE_COST_MAX:
            raise ExpressionError(
                f"{spent}, with the expressions before it {self._cost + cost}; a cycle has {SITE_COST_MAX}",
                remedy="Look back less far, or at fewer tags, or remove rules.",
                position=0,
            )
        self._cost += cost

    def _emit_node(self, node: Node, analysis: Analysis, watched: dict[int, int]) -> None:
        match node:
            case Number():
                self._cell(PUSH_CONST, self._const(node.value))
            case Boolean():
                self._cell(PUSH_BOOLEAN, int(node.value))
            case Tag():
                self._cell(PUSH_TAG, analysis.row(node))
            case Status():
                if node.function == "age":
                    self._push(watched.get(node.start, -1))
                self._cell(BY_NAME[node.function], analysis.row(node))
            case Window():
                self._cell(WINDOWS[node.function], self._windows[analysis.row(node), node.duration_ns])
            case Unary() | Binary():
                self._cell(BY_NAME[node.operator], 0)
            case Choice():
                self._cell(IF if analysis.chosen(node) == "number" else IF_CONDITION, 0)
            case Vote():
                self._cell(VOTE, 32 * node.needed + len(node.voters))
            case _:
                self._emit_memory(node, analysis, watched)

    def _emit_memory(self, node: Node, analysis: Analysis, watched: dict[int, int]) -> None:
        """Emit an operation that has a register, with what it takes from the stack beside its operands."""
        match node:
            case Memory(function="prev", operands=(Tag() as tag,)):
                self._cell(SEQUENCE, analysis.row(tag))
            case Memory(duration_ns=duration_ns) if duration_ns:
                self._push(duration_ns)
            case TimeOfDay():
                self._push(watched.get(node.start, -1))
            case Within():
                self._push(node.begin_ns)
                self._push(node.finish_ns)
            case _:
                pass
        self._cell(BY_NAME[_written(node)], self._registers)
        self._registers += 1

    def _push(self, nanoseconds: int) -> None:
        self._cell(PUSH_CONST, self._const(float(nanoseconds)))

    def _cell(self, op: int, arg: int) -> None:
        self._ops.append(op)
        self._args.append(arg)

    def _const(self, value: float) -> int:
        return self._consts.setdefault(value, len(self._consts))

    def _open_windows(self, analysis: Analysis, names: Names) -> None:
        """Give every window of an expression its ring; one ring serves all that look back the same way."""
        for node in analysis.order:
            if not isinstance(node, Window) or (analysis.row(node), node.duration_ns) in self._windows:
                continue
            row = analysis.row(node)
            spacing_ns = names.spacing_ns(row)
            size = ring_size(node.duration_ns, spacing_ns)
            if self._ring_samples + size > RING_SAMPLES_MAX:
                raise ExpressionError(
                    f"the windows of the site would keep more than {RING_SAMPLES_MAX} samples",
                    remedy="Look back less far, on fewer tags, or scan them less often.",
                    position=node.start,
                )
            self._ring_samples += size
            self._windows[row, node.duration_ns] = len(self._specs)
            self._specs.append(WindowSpec(row, node.duration_ns, size, PATIENCE * spacing_ns))

    def _term(self, text: str, node: Node, analysis: Analysis, register: int) -> Term | None:
        written = _flat(text[node.start : node.end])
        match node:
            case Tag():
                return Term(written, "tag", analysis.row(node))
            case Status():
                return Term(written, node.function, analysis.row(node))
            case Window():
                row = analysis.row(node)
                return Term(written, "window", row, self._windows[row, node.duration_ns], node.function)
            case Memory() | TimeOfDay() | Within():
                return Term(written, "memory", -1, register=register)
            case _:
                return None


def _written(node: Node) -> str:
    """Return the name of an operation that has a register."""
    if isinstance(node, Memory):
        return node.function
    return "within" if isinstance(node, Within) else "time_of_day"


def _watched(order: list[Node]) -> dict[int, int]:
    """Return at how many ns an age or a time of the day is compared with a number: start of its node -> ns.

    Where it is not, its program runs every second.
    """
    found: dict[int, int] = {}
    for node in order:
        if not isinstance(node, Binary) or node.operator not in _COMPARISONS:
            continue
        for moving, fixed in ((node.left, node.right), (node.right, node.left)):
            is_age = isinstance(moving, Status) and moving.function == "age"
            if (is_age or isinstance(moving, TimeOfDay)) and isinstance(fixed, Number):
                watched_ns = math.floor(min(fixed.value, WATCHED_MAX_S) * 1_000_000_000)
                if watched_ns <= DURATION_MAX_NS:
                    found[moving.start] = watched_ns
    return found


def _flat(text: str) -> str:
    """Return the text on one line, as records and people get it; errors point into the original."""
    return " ".join(text.split())
