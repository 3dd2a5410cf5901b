"""Says whether a programme may run. The interpreter checks nothing, so everything it relies on is proved here.

There are no jumps: a program runs from its first cell to its last, so it ends, and one walk over its cells with the types
of the stack instead of its values is a proof.
"""

from __future__ import annotations

import math

from gatewayd.core.expr.cost import PROGRAM_COST_MAX, SITE_COST_MAX, costs
from gatewayd.core.expr.opcodes import (
    AGE,
    DELAY_OFF,
    DELAY_ON,
    FOR,
    OPERATIONS,
    PREV,
    PUSH_CONST,
    SEQUENCE,
    STACK_MAX,
    TIME_OF_DAY,
    VOTERS_MAX,
    WINDOWS,
    WITHIN,
    Operation,
    Type,
    pops_of,
)
from gatewayd.core.expr.programme import RING_SIZE_MAX, RING_SIZE_MIN, Compiled, Programme, Term, digest_of
from gatewayd.core.expr.tokens import DURATION_MAX_NS
from gatewayd.errors import GatewayError

PROGRAMS_MAX = 65_536
CODE_MAX = 4_194_304  # cells
RING_SAMPLES_MAX = 4_194_304  # 64 MiB of rings
PATIENCE_MAX_NS = 2 * DURATION_MAX_NS

# The kernel takes these from the stack as integers, so they must be constants that are: operation -> (how many, least).
_WHOLE = {FOR: (1, 1), DELAY_ON: (1, 1), DELAY_OFF: (1, 1), AGE: (1, -1), TIME_OF_DAY: (1, -1), WITHIN: (2, 0)}


class ProgrammeRejected(GatewayError):
    """A programme that the interpreter must not see."""

    def __init__(self, message: str) -> None:
        super().__init__(
            f"rule programme refused: {message}",
            remedy="Build the site again with this version; if it came from a bundle, do not trust the bundle.",
        )


def verify(programme: Programme, *, tag_count: int) -> None:
    """Prove every index in bounds, every stack shallow and typed, every program one result, every list true.

    Args:
        programme: from the compiler or from anywhere else.
        tag_count: rows of the twin.

    Raises:
        ProgrammeRejected: at the first claim that does not hold.
    """
    _require(programme.digest == digest_of(programme), "its digest is not that of its content")
    _require(len(programme.programs) <= PROGRAMS_MAX, "too many programs")
    _require(len(programme.ops) == len(programme.args) <= CODE_MAX, "its code has no valid length")
    _require(all(math.isfinite(value) for value in programme.consts), "a constant is not finite")
    _verify_windows(programme, tag_count)
    at = registers = 0
    for index, program in enumerate(programme.programs):
        _require(program.start == at, f"program {index} does not start where the one before it ends")
        at += program.length
        _require(program.length > 0 and at <= len(programme.ops), f"program {index} leaves the code")
        registers = _Walk(programme, program, tag_count, registers).whole(f"program {index}")
    _require(at == len(programme.ops), "code belongs to no program")
    _require(registers == programme.registers, "registers belong to no operation")
    _verify_costs(programme)


def _verify_windows(programme: Programme, tag_count: int) -> None:
    for index, window in enumerate(programme.windows):
        _require(0 <= window.row < tag_count, f"window {index} looks at no tag")
        _require(0 < window.duration_ns <= DURATION_MAX_NS, f"window {index} has no valid duration")
        _require(RING_SIZE_MIN <= window.ring_size <= RING_SIZE_MAX, f"window {index} has no valid ring")
        _require(0 <= window.patience_ns <= PATIENCE_MAX_NS, f"window {index} has no valid patience")
    _require(sum(window.ring_size for window in programme.windows) <= RING_SAMPLES_MAX, "its windows are too large")


def _verify_costs(programme: Programme) -> None:
    total = 0
    for index, cost in enumerate(costs(programme)):
        _require(cost <= PROGRAM_COST_MAX, f"program {index} may take {cost} steps")
        total += cost
    _require(total <= SITE_COST_MAX, f"a cycle may take {total} steps, more than {SITE_COST_MAX}")


class _Walk:
    """One walk over the cells of one program. Registers are handed out in order, so no two operations share one."""

    def __init__(self, programme: Programme, program: Compiled, tag_count: int, registers: int) -> None:
        self._programme = programme
        self._program = program
        self._registers = registers
        self._first_register = registers
        self._rows: set[int] = set()
        self._stack: list[Type] = []
        self._limits = {
            "none": (0, 1),
            "boolean": (0, 2),
            "tag": (0, tag_count),
            "const": (0, len(programme.consts)),
            "window": (0, len(programme.windows)),
        }

    def whole(self, name: str) -> int:
        program = self._program
        for cell in range(program.start, program.start + program.length):
            self._step(cell, f"{name}, cell {cell - program.start}")
        _require(len(self._stack) == 1, f"{name} leaves {len(self._stack)} results")
        _require(self._stack[0] == program.kind, f"{name} is not a {program.kind}")
        _require(program.rows == tuple(sorted(self._rows)), f"{name} does not name the tags it reads")
        for term in program.terms:
            self._verify_term(term, name)
        return self._registers

    def _step(self, cell: int, where: str) -> None:
        op, arg = self._programme.ops[cell], self._programme.args[cell]
        operation = OPERATIONS.get(op)
        if operation is None:
            raise ProgrammeRejected(f"{where}: there is no operation {op}")
        self._verify_argument(operation, arg, where)
        if op in _WHOLE:
            self._verify_whole(cell, where)
        if op == PREV:
            is_sequence = cell > self._program.start and self._programme.ops[cell - 1] == SEQUENCE
            _require(is_sequence, f"{where}: there is no sequence")
        for wanted in reversed(pops_of(operation, arg)):
            _require(bool(self._stack), f"{where}: the stack is empty")
            _require(self._stack.pop() == wanted, f"{where}: {operation.name} needs a {wanted}")
        self._stack.append(operation.pushes)
        _require(len(self._stack) <= STACK_MAX, f"{where}: the stack is deeper than {STACK_MAX}")

    def _verify_argument(self, operation: Operation, arg: int, where: str) -> None:
        if operation.argument == "register":
            _require(arg == self._registers, f"{where}: register {arg} is not the next one")
            self._registers += 1
            return
        if operation.argument == "vote":
            voters = arg % 32
            _require(0 < voters <= VOTERS_MAX and 0 < arg // 32 <= voters, f"{where}: no vote can be {arg}")
            return
        low, high = self._limits[operation.argument]
        _require(low <= arg < high, f"{where}: {operation.argument} {arg} does not exist")
        if operation.argument == "tag":
            self._rows.add(arg)
        elif operation.argument == "window":
            self._rows.add(self._programme.windows[arg].row)

    def _verify_whole(self, cell: int, where: str) -> None:
        """Prove that the cells before this one push whole numbers of ns, at most 24 h."""
        count, least = _WHOLE[self._programme.ops[cell]]
        for before in range(cell - count, cell):
            is_constant = before >= self._program.start and self._programme.ops[before] == PUSH_CONST
            _require(is_constant, f"{where}: the duration is not a constant")
            duration_ns = self._programme.consts[self._programme.args[before]]
            whole = duration_ns.is_integer() and least <= duration_ns <= DURATION_MAX_NS
            _require(whole, f"{where}: the duration is not valid")

    def _verify_term(self, term: Term, name: str) -> None:
        if term.kind == "memory":
            is_own = self._first_register <= term.register < self._registers
            _require(is_own and term.row == -1, f"{name} shows what it does not remember")
            return
        _require(term.row in self._rows, f"{name} shows a tag that it does not read")
        if term.kind != "window":
            _require(term.window == -1 and not term.function, f"{name} shows a window that is none")
            return
        exists = 0 <= term.window < len(self._programme.windows) and term.function in WINDOWS
        _require(exists and self._programme.windows[term.window].row == term.row, f"{name} shows a wrong window")


def _require(claim: bool, message: str) -> None:
    if not claim:
        raise ProgrammeRejected(message)
