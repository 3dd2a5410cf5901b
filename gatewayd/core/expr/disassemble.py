"""Shows the code of a program to people."""

from __future__ import annotations

from gatewayd.core.expr.cost import cost_of
from gatewayd.core.expr.opcodes import OPERATIONS
from gatewayd.core.expr.programme import Programme, WindowSpec


def disassemble(programme: Programme, index: int) -> str:
    """Return one line per cell of a program: place, operation, argument and what the argument stands for.

    Args:
        programme: verified.
        index: of the program.
    """
    program = programme.programs[index]
    names: dict[tuple[str, int], str] = {(term.kind, max(term.row, term.register)): term.text for term in program.terms}
    cost = cost_of(program, programme.ops, programme.args, programme.windows)
    lines = [f"{program.text}  # {program.kind}, program {index}, at most {cost} steps"]
    for cell in range(program.length):
        op, arg = programme.ops[program.start + cell], programme.args[program.start + cell]
        argument, note = _argument(programme, op, arg, names)
        lines.append(f"{cell:4}  {OPERATIONS[op].name:<12}{argument:<14}{note}".rstrip())
    return "\n".join(lines)


def _argument(programme: Programme, op: int, arg: int, names: dict[tuple[str, int], str]) -> tuple[str, str]:
    match OPERATIONS[op].argument:
        case "none":
            return "", ""
        case "boolean":
            return "", "true" if arg else "false"
        case "const":
            return f"const {arg}", f"{programme.consts[arg]:.17g}"
        case "tag":
            return f"row {arg}", names.get((OPERATIONS[op].name, arg), "")
        case "window":
            return f"window {arg}", _window(programme.windows[arg])
        case "register":
            return f"register {arg}", names.get(("memory", arg), "")
        case "vote":
            return f"{arg // 32} of {arg % 32}", ""


def _window(window: WindowSpec) -> str:
    return f"row {window.row}, {window.duration_ns / 1e9:g} s, at most {window.ring_size} samples"
