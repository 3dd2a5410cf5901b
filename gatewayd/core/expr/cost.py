"""What a program may cost at worst, known before it runs: in steps, one for a cell and one for each sample looked at."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from gatewayd.core.expr.opcodes import OPERATIONS, STD
from gatewayd.core.expr.programme import Compiled, Programme, WindowSpec

PROGRAM_COST_MAX = 262_144  # one run: two deviations over the longest window there is
SITE_COST_MAX = 8_388_608  # one cycle in which every program runs: 10 to 30 ms of an x86 core


def cost_of(program: Compiled, ops: Sequence[int], args: Sequence[int], windows: Sequence[WindowSpec]) -> int:
    """Return how many steps one run takes at most, whatever the plant does."""
    steps = 0
    for cell in range(program.start, program.start + program.length):
        steps += 1
        if OPERATIONS[ops[cell]].argument == "window":
            walks = 2 if ops[cell] == STD else 1
            steps += walks * windows[args[cell]].ring_size
    return steps


def costs(programme: Programme) -> Iterable[int]:
    """Yield the cost of each program of a programme."""
    for program in programme.programs:
        yield cost_of(program, programme.ops, programme.args, programme.windows)
