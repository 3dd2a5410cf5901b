"""What detectors have learned, as bytes that outlive a restart: without them each start is a warm-up, with alarms muted.

A detector is known by its tag's label and its settings: one whose settings changed starts anew, the others keep theirs.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping
from functools import lru_cache
from itertools import accumulate
from typing import Any, Final, NamedTuple

import msgspec
from msgspec import Struct

from gatewayd.core.detectors import CATALOGUE, TAIL_BUCKETS, Child, Detector, Instance, instances, own_keys
from gatewayd.core.site import Site
from gatewayd.core.state import State
from gatewayd.errors import UNDECODABLE

SCHEMA: Final = 1
KEY_BYTES: Final = 16
_TAIL_WIDTH: Final = 8  # bytes of a cell


class Learned(Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """One kind of detector.

    Args:
        schema: of this Struct.
        keys: 16 bytes for each detector: who it is.
        child_rows: of each, rows in the child table whose number is a setting.
        columns: the learned columns, cells as wide as in the table, one detector after the other.
        child: the same of the child tables, by `child.column`.
        tails: place of a detector in `keys` -> the counts of its tail.
    """

    schema: int
    keys: bytes
    child_rows: tuple[int, ...]
    columns: dict[str, bytes]
    child: dict[str, bytes]
    tails: dict[int, bytes]


class Restored(NamedTuple):
    """How many detectors go on where they were, and what was unusable."""

    taken: int = 0
    damaged: tuple[str, ...] = ()  # kinds


class _Place(NamedTuple):
    """Where a detector stands in the tables."""

    key: bytes
    row: int
    child_first: int
    child_rows: int
    detector: int


class Places(NamedTuple):
    """All detectors of one kind, in the order of its table: fixed for the life of a state."""

    kind: Detector
    keys: bytes
    child_rows: tuple[int, ...]
    rows: tuple[_Place, ...]


def places_of(state: State, site: Site) -> tuple[Places, ...]:
    """Find the detectors of a state, once: 10,000 of them take a tenth of a second, which no cycle may wait for."""
    found: list[list[_Place]] = [[] for _ in CATALOGUE]
    child_first = [0] * len(CATALOGUE)
    firsts = state.column("tag.detector_first")
    for tag in site.tags:
        for place, (kind, count, said) in enumerate(_watches(instances(tag.contract))):
            rows = found[kind]
            key = hashlib.sha256(tag.label.encode() + said).digest()[:KEY_BYTES]
            rows.append(_Place(key, len(rows), child_first[kind], count, firsts[tag.row] + place))
            child_first[kind] += count
    return tuple(
        Places(
            CATALOGUE[kind],
            b"".join(place.key for place in rows),
            tuple(place.child_rows for place in rows),
            tuple(rows),
        )
        for kind, rows in enumerate(found)
        if rows
    )


@lru_cache(maxsize=1024)
def _watches(watched: tuple[Instance, ...]) -> tuple[tuple[int, int, bytes], ...]:
    """Return kind, rows of a child table, and what follows the label in a key, of each."""
    return tuple((each.kind, each.child_rows, b"\0" + _said(each)) for each in watched)


def _said(instance: Instance) -> bytes:
    return msgspec.json.encode((instance.detector.name, own_keys(instance.settings)))


def learned(state: State, kinds: Iterable[Places]) -> dict[str, bytes]:
    """Return what every kind of detector has learned, kind -> bytes."""
    return {places.kind.name: _pack(state, places) for places in kinds}


def restore_learned(state: State, kinds: Iterable[Places], saved: Mapping[str, bytes]) -> Restored:
    """Take up what an earlier run learned. What is damaged counts for nothing, and its detectors start anew.

    Args:
        state: of the new run, before its first cycle.
        kinds: its `places_of`.
        saved: as `learned` returned it; an empty value is known to be damaged.
    """
    here = {places.kind.name: places for places in kinds}
    taken, damaged = 0, []
    for kind in CATALOGUE:
        if kind.name not in saved:
            continue
        past = _sound(state, kind, saved[kind.name])
        if past is None:
            damaged.append(kind.name)
        elif kind.name in here:
            taken += _take(state, here[kind.name], past)
    return Restored(taken, tuple(damaged))


def _pack(state: State, places: Places) -> bytes:
    kind, count, used = places.kind, len(places.rows), sum(places.child_rows)
    tails = {}
    for number, place in enumerate(places.rows):
        cells = _tail(state, place)
        if cells is not None:
            tails[number] = bytes(cells)
    return msgspec.msgpack.encode(
        Learned(
            schema=SCHEMA,
            keys=places.keys,
            child_rows=places.child_rows,
            columns={name: bytes(state.column(f"{kind.name}.{name}")[:count]) for name in kind.learned},
            child={
                column: bytes(state.column(column)[: used if isinstance(child.rows, str) else count * child.rows])
                for child in kind.children
                for column in _columns_of(state, child)
            },
            tails=tails,
        )
    )


def _columns_of(state: State, child: Child) -> list[str]:
    return [name for name in state.columns if name.startswith(f"{child.name}.")]


def _tail(state: State, place: _Place) -> memoryview[Any] | None:
    if not state.column("detector.tail_max")[place.detector] > 0:
        return None
    first = state.column("detector.tail_first")[place.detector]
    return state.column("tail.count")[first : first + TAIL_BUCKETS]


def _sound(state: State, detector: Detector, packed: bytes) -> Learned | None:
    """Return what was saved if its parts fit together, else None."""
    try:
        past = msgspec.msgpack.decode(packed, type=Learned)
    except UNDECODABLE:
        return None
    count, total = len(past.child_rows), sum(past.child_rows)
    cells = {f"{detector.name}.{column}": count for column in detector.learned}
    for child in detector.children:
        rows = total if isinstance(child.rows, str) else count * child.rows
        cells |= dict.fromkeys(_columns_of(state, child), rows)
    found = {f"{detector.name}.{column}": part for column, part in past.columns.items()} | past.child
    fits = (
        past.schema == SCHEMA
        and len(past.keys) == count * KEY_BYTES
        and all(0 <= rows <= total for rows in past.child_rows)
        and set(found) == set(cells)
        and all(len(found[column]) == rows * state.column(column).itemsize for column, rows in cells.items())
        and all(len(part) == TAIL_BUCKETS * _TAIL_WIDTH for part in past.tails.values())
    )
    return past if fits else None


def _take(state: State, places: Places, past: Learned) -> int:
    """Copy the detectors that are still the same; return how many."""
    is_same = (past.keys, past.child_rows) == (places.keys, places.child_rows)
    if is_same and _take_rows(state, places, past, _Run(0, 0, len(places.rows), 0, 0, sum(places.child_rows))):
        for number, place in enumerate(places.rows):
            _take_tail(state, place, past.tails.get(number))
        return len(places.rows)
    where = {past.keys[at : at + KEY_BYTES]: at // KEY_BYTES for at in range(0, len(past.keys), KEY_BYTES)}
    firsts = [0, *accumulate(past.child_rows)]
    taken = 0
    for place in places.rows:
        old = where.get(place.key)
        if old is None or past.child_rows[old] != place.child_rows:
            continue
        if _take_rows(state, places, past, _Run(old, place.row, 1, firsts[old], place.child_first, place.child_rows)):
            _take_tail(state, place, past.tails.get(old))
            taken += 1
    return taken


class _Run(NamedTuple):
    """Detectors that are copied together, and their rows of the child: where they stood, where they go, how many."""

    old: int
    new: int
    rows: int
    child_old: int
    child_new: int
    child_rows: int


def _take_rows(state: State, places: Places, past: Learned, run: _Run) -> bool:
    """Copy learned cells if all of them can be; say whether."""
    found = list(_cells_of(state, places.kind, past, run))
    loose = {name if "." in name else f"{places.kind.name}.{name}" for name in places.kind.loose}
    if not all(_is_sound(cells, is_loose=column in loose) for column, _, cells in found):
        return False
    bins = [cells for column, _, cells in found if column.endswith(".bin")]
    rows = places.child_rows[run.new : run.new + run.rows]
    if any(at > most for cells in bins for at, most in zip(cells, rows, strict=True)):
        return False  # no bin of the clock's profile
    for column, to, cells in found:
        state.column(column)[to : to + len(cells)] = cells
    return True


def _cells_of(state: State, kind: Detector, past: Learned, run: _Run) -> Iterator[tuple[str, int, memoryview[Any]]]:
    """Yield what is to be copied: column, the row it goes to, the cells."""
    for name, cells in past.columns.items():
        column = f"{kind.name}.{name}"
        yield column, run.new, _cells(state.column(column), cells, run.old, run.rows)
    for child in kind.children:
        each = child.rows
        old, new, rows = (
            (run.child_old, run.child_new, run.child_rows)
            if isinstance(each, str)
            else (each * run.old, each * run.new, each * run.rows)
        )
        for column in _columns_of(state, child):
            yield column, new, _cells(state.column(column), past.child[column], old, rows)


def _cells(column: memoryview[Any], cells: bytes, first: int, count: int) -> memoryview[Any]:
    width = column.itemsize
    part: memoryview[Any] = memoryview(cells)[first * width : (first + count) * width]
    cast: memoryview[Any] = part.cast(column.format)  # type: ignore[call-overload]
    return cast


def _is_sound(cells: memoryview[Any], *, is_loose: bool) -> bool:
    """Numbers are finite, counts are not negative; in a loose column a number may be unknown, a count negative."""
    if cells.format in ("q", "i"):
        return is_loose or all(cell >= 0 for cell in cells)
    total = sum(cells)
    if total - total == 0:  # nearly always, and three times as fast as to look at each
        return True
    return all(cell - cell == 0 or (is_loose and cell != cell) for cell in cells)


def _take_tail(state: State, place: _Place, counts: bytes | None) -> None:
    cells = _tail(state, place)
    if cells is None or counts is None:
        return
    past = memoryview(counts).cast("q")
    if all(0 <= count < 1 << 32 for count in past):
        cells[:] = past
        state.column("detector.tail_total")[place.detector] = sum(past)
