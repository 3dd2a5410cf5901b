"""Inputs from valid messages by damage: cut, spliced, repeated, bits flipped, lengths turned into lies.

No coverage of machine code is measured; instead an input that makes a decoder behave in a way not seen before (another
error, another shape of result) joins the corpus and is damaged further. Everything follows from the seed.
"""

from __future__ import annotations

import random
from collections.abc import Sequence

CORPUS_MAX = 2048
BEHAVIOURS_MAX = 65_536
_EDGES = (0, 1, 0x7F, 0x80, 0xFF, 0x7FFF, 0x8000, 0xFFFF, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFE, 0xFFFFFFFF)


class Mutator:
    """An endless source of inputs.

    Args:
        corpus: valid messages to start from.
        seed: of everything that follows.
        size_max: bytes of the longest input.
    """

    def __init__(self, corpus: Sequence[bytes], *, seed: int, size_max: int) -> None:
        assert corpus
        self._corpus = list(corpus)
        self._first = len(corpus)
        self._random = random.Random(seed)
        self._size_max = size_max
        self._behaviours: set[str] = set()

    @property
    def behaviours(self) -> int:
        """Return how many different behaviours were seen."""
        return len(self._behaviours)

    def next(self) -> bytes:
        """Return an input."""
        chance = self._random
        if chance.random() < 0.02:
            return chance.randbytes(chance.randrange(64))
        work = bytearray(chance.choice(self._corpus))
        for _ in range(chance.choice((0, 1, 1, 2, 3, 5, 9))):
            chance.choice(_DAMAGES)(work, self)
        return bytes(work[: self._size_max])

    def learn(self, content: bytes, behaviour: str) -> None:
        """Keep an input whose behaviour is new."""
        if behaviour in self._behaviours or len(self._behaviours) >= BEHAVIOURS_MAX:
            return
        self._behaviours.add(behaviour)
        if len(self._corpus) < CORPUS_MAX:
            self._corpus.append(content)
        else:
            self._corpus[self._random.randrange(self._first, CORPUS_MAX)] = content


def _flip(work: bytearray, mutator: Mutator) -> None:
    if work:
        work[mutator._random.randrange(len(work))] ^= 1 << mutator._random.randrange(8)


def _replace(work: bytearray, mutator: Mutator) -> None:
    if work:
        work[mutator._random.randrange(len(work))] = mutator._random.randrange(256)


def _lie(work: bytearray, mutator: Mutator) -> None:
    """Put a number at the edge of its type where a length or count may stand."""
    chance = mutator._random
    width = chance.choice((1, 2, 4))
    if len(work) >= width:
        at = chance.randrange(len(work) - width + 1)
        number = chance.choice(_EDGES) & (1 << 8 * width) - 1
        work[at : at + width] = number.to_bytes(width, chance.choice(("little", "big")))


def _cut(work: bytearray, mutator: Mutator) -> None:
    del work[mutator._random.randrange(len(work) + 1) :]


def _remove(work: bytearray, mutator: Mutator) -> None:
    at = mutator._random.randrange(len(work) + 1)
    del work[at : at + mutator._random.randrange(1, 9)]


def _insert(work: bytearray, mutator: Mutator) -> None:
    at = mutator._random.randrange(len(work) + 1)
    work[at:at] = mutator._random.randbytes(mutator._random.randrange(1, 9))


def _repeat(work: bytearray, mutator: Mutator) -> None:
    chance = mutator._random
    start = chance.randrange(len(work) + 1)
    part = bytes(work[start : start + chance.randrange(1, 64)])
    work[start:start] = part * chance.choice((1, 1, 2, 16))
    del work[mutator._size_max :]


def _splice(work: bytearray, mutator: Mutator) -> None:
    other = mutator._random.choice(mutator._corpus)
    at = mutator._random.randrange(len(work) + 1)
    work[at:] = other[mutator._random.randrange(len(other) + 1) :]


_DAMAGES = (_flip, _replace, _replace, _lie, _lie, _cut, _remove, _insert, _repeat, _splice)
