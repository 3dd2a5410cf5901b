"""Where the masks and types of a payload of fixed-size values stand, so that the next payload is only compared with it.

A payload of the same length with the same bytes at these places holds the same records, by induction from the first on.
The comparing runs in C: a slice per run of records of one size, or the bytes one by one. Pure.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from operator import itemgetter

PLACES_PER_RUN_MIN = 8  # below it slices cost more than picking the bytes one by one


class Layout:
    """The layout of the last payloads; two alike in a row are needed before it is known."""

    __slots__ = ("_expected", "_last", "_pick", "_runs", "_size")

    def __init__(self) -> None:
        self._size = -1
        self._pick: Callable[[bytes], object] | None = None  # the bytes one by one, where runs are too many
        self._expected: object = None
        self._runs: list[tuple[slice, bytes]] = []
        self._last: list[int] | None = None  # the places in the last payload, until its layout is known

    def is_of(self, payload: bytes) -> bool:
        """Say whether a payload certainly has the layout that is known."""
        if len(payload) != self._size:
            return False
        if self._pick is not None:
            return self._pick(payload) == self._expected
        return all(payload[run] == expected for run, expected in self._runs)

    def note(self, payload: bytes, places: list[int]) -> None:
        """Learn from a payload once its places are those of the one before: some servers change the layout at will.

        Args:
            payload: of fixed-size values.
            places: of every byte in it that says what stands there, in order.
        """
        if places != self._last:
            self._last = places
            return
        self.learn(payload, places)

    def learn(self, payload: bytes, places: list[int]) -> None:
        """Learn from a payload at once: it was expensive to walk. As `note` for the rest."""
        self._last = None
        if not places:
            return
        self._size = len(payload)
        runs = [*_runs(places[0::2]), *_runs(places[1::2])]  # masks, and types
        is_regular = len(runs) * PLACES_PER_RUN_MIN <= max(len(places), 2 * PLACES_PER_RUN_MIN)
        self._runs = [(run, payload[run]) for run in runs] if is_regular else []
        self._pick = None if is_regular else itemgetter(*places)
        self._expected = None if self._pick is None else self._pick(payload)

    def forget(self) -> None:
        """Know none: the last payload had values of no fixed size."""
        self._size, self._last = -1, None


def fixed_places(payload: bytes, count: int, sizes: bytes) -> list[int] | None:
    """Return the places of every mask and type; None unless a payload is `count` scalars of fixed size.

    Args:
        payload: DataValues back to back.
        count: how many.
        sizes: of a record, by its first two bytes, big-endian; 0 where that is not fixed.
    """
    places: list[int] = []
    padded = payload + b"\0"  # the last record may be its mask alone
    at, end = 0, len(payload)
    for _ in range(count):
        if at >= end:
            return None
        mask = padded[at]
        size = sizes[mask << 8 | padded[at + 1]]
        if not size:
            return None
        places.append(at)
        if mask & 1:
            places.append(at + 1)
        at += size
    return places if at == end else None


def _runs(places: Sequence[int]) -> list[slice]:
    """Cut ascending places into slices of equal steps."""
    runs: list[slice] = []
    first = 0
    while first < len(places):
        step = places[first + 1] - places[first] if first + 1 < len(places) else 1
        last = first
        while last + 1 < len(places) and places[last + 1] - places[last] == step:
            last += 1
        runs.append(slice(places[first], places[last] + 1, step))
        first = last + 1
    return runs
