"""The texts that rows of the twin hold: a bounded side table, since the value column holds numbers only.

A row's value is the id of its text. Equal texts have equal ids for as long as the table remembers them, so an id that
stays means a text that stayed. Ids come from a counter and never return, and what is forgotten depends on nothing but
the order of the samples: the same samples give the same ids.
"""

from __future__ import annotations

from collections import Counter
from typing import Final

from msgspec import Struct

TEXTS_MAX: Final = 65_536
TEXT_BYTES_MAX: Final = 8 << 20  # as UTF-8
NO_ROOM: Final = 0


class HeldTexts(Struct, frozen=True, array_like=True):
    """What a table of texts holds, apart from it.

    Args:
        next_id: of the next new text.
        texts: id -> text.
        held: row -> id.
        idle: ids that no row holds, the longest idle first.
    """

    next_id: int
    texts: dict[int, str]
    held: dict[int, int]
    idle: list[int]


class Texts:
    """Owned by the state, changed by a cycle only.

    A text that no row holds any more is kept for its next return until its room is needed; the one that has been idle
    longest goes first. A text that a row holds never goes.
    """

    def __init__(self, *, texts_max: int = TEXTS_MAX, bytes_max: int = TEXT_BYTES_MAX) -> None:
        self._texts_max = texts_max
        self._bytes_max = bytes_max
        self._bytes = 0
        self._next_id = 1
        self._ids: dict[str, int] = {}
        self._texts: dict[int, str] = {}
        self._held: dict[int, int] = {}  # row -> id
        self._holders: Counter[int] = Counter()  # id -> rows that hold it
        self._idle: dict[int, None] = {}  # ids that no row holds, the longest idle first

    def __len__(self) -> int:
        return len(self._texts)

    @property
    def size_bytes(self) -> int:
        """Return how many bytes the texts take as UTF-8."""
        return self._bytes

    def get(self, text_id: float) -> str | None:
        """Return a text by the id in the value column, None for NaN and for an id that is forgotten."""
        return self._texts.get(int(text_id)) if text_id == text_id else None

    def hold(self, row: int, text: str) -> int:
        """Let a row hold this text instead of the one it held; return its id, or NO_ROOM, and then it holds none."""
        before = self._held.get(row)
        if before is not None and self._texts[before] == text:
            return before
        self._release(row)
        text_id = self._ids.get(text) or self._add(text)
        if text_id != NO_ROOM:
            self._held[row] = text_id
            self._holders[text_id] += 1
            self._idle.pop(text_id, None)
        return text_id

    def held(self) -> HeldTexts:
        """Return a copy of everything, in an order that restores it."""
        return HeldTexts(self._next_id, dict(self._texts), dict(self._held), list(self._idle))

    def take_up(self, held: HeldTexts) -> None:
        """Hold what another table held, instead of what this one did."""
        self._next_id = held.next_id
        self._texts = dict(held.texts)
        self._ids = {text: text_id for text_id, text in self._texts.items()}
        self._bytes = sum(len(text.encode(errors="replace")) for text in self._ids)
        self._held = dict(held.held)
        self._holders = Counter(self._held.values())
        self._idle = dict.fromkeys(held.idle)

    def _release(self, row: int) -> None:
        text_id = self._held.pop(row, None)
        if text_id is None:
            return
        self._holders[text_id] -= 1
        if not self._holders[text_id]:
            del self._holders[text_id]
            self._idle[text_id] = None

    def _add(self, text: str) -> int:
        size = len(text.encode(errors="replace"))
        while self._idle and (len(self._texts) >= self._texts_max or self._bytes + size > self._bytes_max):
            self._forget(next(iter(self._idle)))
        if len(self._texts) >= self._texts_max or self._bytes + size > self._bytes_max:
            return NO_ROOM
        text_id = self._next_id
        self._next_id += 1
        self._ids[text] = text_id
        self._texts[text_id] = text
        self._bytes += size
        return text_id

    def _forget(self, text_id: int) -> None:
        text = self._texts.pop(text_id)
        del self._ids[text], self._idle[text_id]
        self._bytes -= len(text.encode(errors="replace"))
