"""What detectors have learned, as bytes that outlive a restart: without them each start is a warm-up, with alarms muted.

A detector is known by its tag's label and its settings: one whose settings changed starts anew, the others keep theirs.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from typing import Any, Final, NamedTuple

import msgspec
from msgspec import Struct

from gatewayd.core.detectors import CATALOGUE, TAIL_BUCKETS, Detector, Instance, instances, own_keys
from gatewayd.core.site import Site
from gatewayd.core.state import State

SCHEMA: Final = 1
KEY_BYTES: Final = 16
_WIDTH: Final = 8  # bytes of a cell


class Learned(Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """One kind of detector.

    Args:
        schema: of this Struct.
        keys: 16 bytes for each detector: who it is.
        child_rows: of each, rows in the child table.
        columns: the learned columns, cells of 8 bytes, one detector after the other.
        child: the same of the child table.
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
    bin_max: int


def learned(state: State, site: Site) -> dict[str, bytes]:
    """Return what every kind of detector of the site has learned, kind -> bytes."""
    return {detector.name: packed for detector in CATALOGUE if (packed := _pack(state, site, detector))}


def restore_learned(state: State, site: Site, saved: Mapping[str, bytes]) -> Restored:
    """Take up what an earlier run learned. What is damaged counts for nothing, and its detectors start anew.

    Args:
        state: of the new run, before its first cycle.
        site: its configuration.
        saved: as `learned` returned it; an empty value is known to be damaged.
    """
    taken, damaged = 0, []
    for detector in CATALOGUE:
        if detector.name not in saved:
            continue
        past = _sound(detector, saved[detector.name])
        if past is None:
            damaged.append(detector.name)
        else:
            taken += _take(state, site, detector, past)
    return Restored(taken, tuple(damaged))


def _pack(state: State, site: Site, detector: Detector) -> bytes:
    places = list(_places(state, site, detector))
    if not places:
        return b""
    used = sum(place.child_rows for place in places)
    child = [name for name in state.columns if detector.child and name.startswith(f"{detector.child}.")]
    tails = {}
    for number, place in enumerate(places):
        cells = _tail(state, place)
        if cells is not None:
            tails[number] = bytes(cells)
    return msgspec.msgpack.encode(
        Learned(
            schema=SCHEMA,
            keys=b"".join(place.key for place in places),
            child_rows=tuple(place.child_rows for place in places),
            columns={name: bytes(state.column(f"{detector.name}.{name}")[: len(places)]) for name in detector.learned},
            child={name: bytes(state.column(name)[:used]) for name in child},
            tails=tails,
        )
    )


def _places(state: State, site: Site, detector: Detector) -> Iterator[_Place]:
    """Yield the detectors of a kind in the order of its table."""
    child_first = 0
    for tag in site.tags:
        for place, instance in enumerate(instances(tag.contract)):
            if instance.detector is detector:
                row = state.column(f"tag.{detector.name}_row")[tag.row]
                at = state.column("tag.detector_first")[tag.row] + place
                yield _Place(_key(tag.label, instance), row, child_first, instance.child_rows, at, instance.child_rows)
                child_first += instance.child_rows


def _key(label: str, instance: Instance) -> bytes:
    said = msgspec.json.encode((label, instance.detector.name, own_keys(instance.settings)))
    return hashlib.sha256(said).digest()[:KEY_BYTES]


def _tail(state: State, place: _Place) -> memoryview[Any] | None:
    if not state.column("detector.tail_max")[place.detector] > 0:
        return None
    first = state.column("detector.tail_first")[place.detector]
    return state.column("tail.count")[first : first + TAIL_BUCKETS]


def _sound(detector: Detector, packed: bytes) -> Learned | None:
    """Return what was saved if its parts fit together, else None."""
    try:
        past = msgspec.msgpack.decode(packed, type=Learned)
    except msgspec.MsgspecError:
        return None
    count, total = len(past.child_rows), sum(past.child_rows)
    fits = (
        past.schema == SCHEMA
        and len(past.keys) == count * KEY_BYTES
        and all(0 <= rows <= total for rows in past.child_rows)
        and set(past.columns) == set(detector.learned)
        and all(len(cells) == count * _WIDTH for cells in past.columns.values())
        and all(len(cells) == total * _WIDTH for cells in past.child.values())
        and all(len(cells) == TAIL_BUCKETS * _WIDTH for cells in past.tails.values())
    )
    return past if fits else None


def _take(state: State, site: Site, detector: Detector, past: Learned) -> int:
    """Copy the detectors that are still the same; return how many."""
    where = {past.keys[at : at + KEY_BYTES]: at // KEY_BYTES for at in range(0, len(past.keys), KEY_BYTES)}
    firsts = [0]
    for rows in past.child_rows:
        firsts.append(firsts[-1] + rows)
    taken = 0
    for place in _places(state, site, detector):
        old = where.get(place.key)
        if old is None or past.child_rows[old] != place.child_rows:
            continue
        copies = [(f"{detector.name}.{name}", place.row, cells, old, 1) for name, cells in past.columns.items()]
        copies += [
            (name, place.child_first, cells, firsts[old], place.child_rows) for name, cells in past.child.items()
        ]
        found = [(name, to, _cells(state, name, cells, at, count)) for name, to, cells, at, count in copies]
        if not all(_is_sound(cells) for _, _, cells in found) or not _is_in_profile(found, place):
            continue
        for name, to, cells in found:
            state.column(name)[to : to + len(cells)] = cells
        _take_tail(state, place, past.tails.get(old))
        taken += 1
    return taken


def _cells(state: State, name: str, cells: bytes, first: int, count: int) -> memoryview[Any]:
    kind = state.column(name).format
    return memoryview(cells)[first * _WIDTH : (first + count) * _WIDTH].cast("d" if kind == "d" else "q")


def _is_sound(cells: memoryview[Any]) -> bool:
    """Numbers are finite, counts are not negative."""
    return all(cell - cell == 0 for cell in cells) if cells.format == "d" else all(cell >= 0 for cell in cells)


def _is_in_profile(found: list[tuple[str, int, memoryview[Any]]], place: _Place) -> bool:
    """A bin of the clock is one that the profile has."""
    return all(cells[0] <= place.bin_max for name, _, cells in found if name.endswith(".bin"))


def _take_tail(state: State, place: _Place, counts: bytes | None) -> None:
    cells = _tail(state, place)
    if cells is None or counts is None:
        return
    past = memoryview(counts).cast("q")
    if all(0 <= count < 1 << 32 for count in past):
        cells[:] = past
        state.column("detector.tail_total")[place.detector] = sum(past)
