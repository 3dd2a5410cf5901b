"""Turns a verified programme into the words that the interpreter kernel runs."""

from __future__ import annotations

import struct
from typing import NamedTuple

from gatewayd.core.expr.opcodes import PUSH_CONST
from gatewayd.core.expr.programme import Programme


class Lowered(NamedTuple):
    """Words of all programs, back to back; program `i` is `words[start[i] : start[i] + length[i]]`.

    A word is 256 * argument + operation, as int64; after one that pushes a constant stand the constant's bits.
    """

    words: tuple[int, ...]
    start: tuple[int, ...]
    length: tuple[int, ...]


def lower(programme: Programme) -> Lowered:
    """Return the words of a programme that the verifier has passed."""
    words: list[int] = []
    start: list[int] = []
    length: list[int] = []
    for program in programme.programs:
        start.append(len(words))
        for cell in range(program.start, program.start + program.length):
            words += _words(programme, cell)
        length.append(len(words) - start[-1])
    return Lowered(tuple(words), tuple(start), tuple(length))


def _words(programme: Programme, cell: int) -> list[int]:
    op, arg = programme.ops[cell], programme.args[cell]
    if op == PUSH_CONST:
        return [op, _bits(programme.consts[arg])]
    return [op + 256 * arg]


def _bits(value: float) -> int:
    (bits,) = struct.unpack("<q", struct.pack("<d", value))
    return int(bits)
