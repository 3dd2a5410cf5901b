"""Compiles the expressions of a site into one programme."""

from __future__ import annotations

import msgspec

from gatewayd.core.expr.analysis import Analysis, Names
from gatewayd.core.expr.opcodes import BY_NAME, FOR, PUSH_BOOLEAN, PUSH_CONST, PUSH_TAG, WINDOWS, Type
from gatewayd.core.expr.parser import parse
from gatewayd.core.expr.programme import (
    RING_SIZE_MAX,
    RING_SIZE_MIN,
    Compiled,
    Programme,
    Term,
    WindowSpec,
    digest_of,
)
from gatewayd.core.expr.syntax import Binary, Boolean, Hold, Node, Number, Status, Tag, Ternary, Unary, Window
from gatewayd.core.expr.syntax import Term as TermNode
from gatewayd.core.expr.verifier import PROGRAMS_MAX, RING_SAMPLES_MAX, verify
from gatewayd.errors import ExpressionError

__all__ = ["Compiler", "Names"]


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
        self._known: dict[tuple[str, Type, tuple[int, ...]], int] = {}

    def add(self, text: str, *, kind: Type, names: Names | None = None) -> int:
        """Compile one expression and return its index in the programme.

        Two expressions of the same text, kind and tags share an index, `for` included.

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
        reads = [node for node in analysis.order if isinstance(node, Tag | Status | Window)]
        key = (_flat(text), kind, tuple(analysis.row(node) for node in reads))
        if key not in self._known:
            if len(self._programs) == PROGRAMS_MAX:
                raise ExpressionError(
                    f"the site has more than {PROGRAMS_MAX} expressions", remedy="Remove rules.", position=0
                )
            self._open_windows(analysis, reads, names)
            self._known[key] = self._emit(text, kind, analysis, reads)
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

    def _emit(self, text: str, kind: Type, analysis: Analysis, reads: list[TermNode]) -> int:
        start = len(self._ops)
        for node in analysis.order:
            self._emit_node(node, analysis)
        terms = {term.text: term for term in (self._term(text, node, analysis.row(node)) for node in reads)}
        rows = sorted({term.row for term in terms.values()})
        length = len(self._ops) - start
        self._programs.append(Compiled(_flat(text), kind, start, length, tuple(rows), tuple(terms.values())))
        return len(self._programs) - 1

    def _emit_node(self, node: Node, analysis: Analysis) -> None:
        match node:
            case Number():
                self._cell(PUSH_CONST, self._const(node.value))
            case Boolean():
                self._cell(PUSH_BOOLEAN, int(node.value))
            case Tag():
                self._cell(PUSH_TAG, analysis.row(node))
            case Status():
                self._cell(BY_NAME[node.function], analysis.row(node))
            case Window():
                self._cell(WINDOWS[node.function], self._windows[analysis.row(node), node.duration_ns])
            case Unary() | Binary() | Ternary():
                self._cell(BY_NAME[node.operator], 0)
            case Hold():
                self._cell(PUSH_CONST, self._const(float(node.duration_ns)))
                self._cell(FOR, self._registers)
                self._registers += 1
            case _:
                raise AssertionError(node)

    def _cell(self, op: int, arg: int) -> None:
        self._ops.append(op)
        self._args.append(arg)

    def _const(self, value: float) -> int:
        return self._consts.setdefault(value, len(self._consts))

    def _open_windows(self, analysis: Analysis, reads: list[TermNode], names: Names) -> None:
        """Give every window of an expression its ring; one ring serves all that look back the same way."""
        for node in reads:
            if not isinstance(node, Window) or (analysis.row(node), node.duration_ns) in self._windows:
                continue
            row = analysis.row(node)
            size = ring_size(node.duration_ns, names.spacing_ns(row))
            if self._ring_samples + size > RING_SAMPLES_MAX:
                raise ExpressionError(
                    f"the windows of the site would keep more than {RING_SAMPLES_MAX} samples",
                    remedy="Look back less far, on fewer tags, or scan them less often.",
                    position=node.start,
                )
            self._ring_samples += size
            self._windows[row, node.duration_ns] = len(self._specs)
            self._specs.append(WindowSpec(row, node.duration_ns, size))

    def _term(self, text: str, node: TermNode, row: int) -> Term:
        written = _flat(text[node.start : node.end])
        if isinstance(node, Window):
            return Term(written, "window", row, self._windows[row, node.duration_ns], node.function)
        return Term(written, "tag" if isinstance(node, Tag) else node.function, row)


def _flat(text: str) -> str:
    """Return the text on one line, as records and people get it; errors point into the original."""
    return " ".join(text.split())


def ring_size(duration_ns: int, period_ns: int) -> int:
    """Return how many samples a window keeps: twice what its tag should deliver, within limits."""
    expected = 2 * duration_ns // max(1, period_ns) + 8
    return min(max(expected, RING_SIZE_MIN), RING_SIZE_MAX)
