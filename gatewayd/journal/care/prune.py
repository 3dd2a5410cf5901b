"""Removes old records here that a mirror has, tile by tile, in small transactions; the tree above them stays.

The record and the row that say how far come first, in one transaction: from then on the log begins there, whatever still
lies before. What is removed afterwards can be cut off at any point, and goes on at the next start.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from functools import partial
from itertools import islice
from typing import NamedTuple

from msgspec import Struct

from gatewayd.clock import Clock
from gatewayd.errors import RequestRefused
from gatewayd.journal.care import pruned
from gatewayd.journal.care.held import oldest_held
from gatewayd.journal.care.pruned import PrunedState, date_of
from gatewayd.journal.care.witness import Witnessed
from gatewayd.journal.leaf import decode_leaf
from gatewayd.journal.log import Journal
from gatewayd.journal.tail import tile_key
from gatewayd.journal.tiles import finding, index
from gatewayd.journal.tiles.bundle import Entries, slice_key, slices_key
from gatewayd.model.decision import NewRecord
from gatewayd.model.record import Actor, Decision, Kind, Leaf, Pruned
from gatewayd.proof.tiles import TILE_HEIGHT, TILE_WIDTH
from gatewayd.store.env import Store
from gatewayd.store.tables import Table, from_u64, u64
from gatewayd.store.transaction import Reading, Writes

ROWS_AT_ONCE = 256  # deleted in one transaction
ROWS_AT_ONCE_FULL = 16  # in a store with little room: each page that a transaction touches is copied first
LITTLE_ROOM = 0.85
LEVELS_MAX = 8

Row = tuple[Table, bytes]


class Plan(Struct, frozen=True):
    """What may be pruned.

    Args:
        first: first record that is here.
        end: first record that stays; the same = nothing may go.
        older_than_ns: wall time; every bundle ends before it.
        mirrored: the checkpoint that a mirror has cosigned.
        why: what keeps the record `end`.
    """

    first: int
    end: int
    older_than_ns: int
    mirrored: Witnessed
    why: str


class _Bound(NamedTuple):
    end: int
    why: str


async def plan(
    journal: Journal, mirrored: Witnessed | None, *, older_than_ns: int, unsent_from: int, clock: Clock
) -> Plan:
    """Return what may be pruned.

    Args:
        journal: open.
        mirrored: the newest checkpoint that a mirror has cosigned.
        older_than_ns: wall time.
        unsent_from: first record that the collector does not have; the journal's size if there is no collector.
        clock: for pauses.

    Raises:
        RequestRefused: no mirror has the records.
    """
    if mirrored is None:
        raise RequestRefused(
            "nothing may be pruned: no mirror has cosigned a checkpoint of this journal",
            remedy="List a mirror under [journal] mirrors and let it have the records; or raise storage.quota_mb.",
        )
    size, store = journal.size, journal.store
    held = await oldest_held(journal, clock)
    bounds = [
        _Bound(mirrored.size, f"the mirror has {mirrored.size} records"),
        _Bound(held, f"something that is still open refers to record {held}"),
        _Bound(unsent_from, f"the collector has {unsent_from} records"),
        _Bound((size // TILE_WIDTH - 1) * TILE_WIDTH, "the newest full bundle stays"),
        _Bound(store.read(lambda reading: Entries(reading).first_young()), "newer records are in no bundle yet"),
    ]
    end, why = min(bounds, key=lambda bound: bound.end)
    end = max(journal.first, end // TILE_WIDTH * TILE_WIDTH)
    aged = store.read(lambda reading: _first_young_tile(reading, journal.first, end, older_than_ns))
    if aged < end:
        end, why = aged, f"records from {aged} on are not older than {date_of(older_than_ns)}"
    return Plan(journal.first, end, older_than_ns, mirrored, why)


def _first_young_tile(reading: Reading, first: int, end: int, older_than_ns: int) -> int:
    """Return the first record of the first bundle that is too young, by halving: times rise but for steps of the clock."""
    entries = Entries(reading)
    low, high = first // TILE_WIDTH, end // TILE_WIDTH
    while low < high:
        middle = (low + high) // 2
        if _wall_ns(entries, (middle + 1) * TILE_WIDTH - 1) < older_than_ns:
            low = middle + 1
        else:
            high = middle
    return low * TILE_WIDTH


def _wall_ns(entries: Entries, seq: int) -> int:
    """Return when a record was written; one that cannot be read counts as old: it shall not keep the others."""
    with suppress(ValueError):
        return decode_leaf(entries.leaf(seq) or b"").wall_ns
    return 0


async def prune(journal: Journal, planned: Plan, actor: Actor, *, wall_ns: int) -> PrunedState:
    """Let the log begin at the plan's end, durably. What lies before is removed by `sweep`.

    Args:
        journal: open.
        planned: has something to prune.
        actor: who asked.
        wall_ns: now.

    Raises:
        StoreError: not durable; nothing changed.
    """
    assert journal.first == planned.first < planned.end, "a plan of this journal that prunes something"
    mirror = planned.mirrored.cosignatures[0].cosigner
    try:
        last = journal.store.read(
            partial(_last_decision_id, span=finding.Span(planned.first // TILE_WIDTH, planned.end // TILE_WIDTH))
        )
    except ValueError:
        last = journal.last_decision_id()  # the newest decision before the end is damaged: no id may be given twice
    state = PrunedState(planned.end, max(last, journal.pruned.last_decision_id), wall_ns, mirror.name)
    record = Pruned(
        first=planned.first,
        end=planned.end,
        older_than_ns=planned.older_than_ns,
        last_decision_id=state.last_decision_id,
        mirror=mirror.text(),
        mirrored_size=planned.mirrored.size,
        actor=actor,
    )
    await journal.free(
        lambda writing: writing.put(Table.META, pruned.KEY, pruned.state_row(state)), [NewRecord(record)]
    )
    journal.begin_at(state)
    return state


def _last_decision_id(reading: Reading, span: finding.Span) -> int:
    """Return the greatest decision id in some tiles, by the index, 0 = there is none; ids rise with places."""
    anytime, decisions = finding.Times(reading, 0, 0), index.kind_term(Kind.DECISION)
    while span.below:
        tiles, below = finding.step(reading, [decisions], anytime, span, 1)
        span = finding.Span(span.floor, below)
        for tile, bits in tiles:
            body = decode_leaf(Entries(reading).leaf(next(finding.places_back(tile, bits))) or b"").body
            return body.decision_id if isinstance(body, Decision) else 0
    return 0


async def sweep(journal: Journal, clock: Clock) -> int:
    """Remove what lies before the log's beginning; return how many bundles went.

    Others write in between. Cut off at any point, it goes on with the next call.

    Raises:
        StoreError: the disk refuses.
    """
    swept, end = 0, journal.first
    read = journal.store.read
    while (tile := read(partial(_oldest_bundle, end=end))) is not None:
        await _delete(journal, read(partial(_rows_of_tile, tile=tile)), clock)
        swept += 1
    while rows := read(partial(_rows_above, end=end)):
        await _delete(journal, rows, clock)
    return swept


async def _delete(journal: Journal, rows: list[Row], clock: Clock) -> None:
    """Delete rows, in order: the bundle, by which the others are found, is the last one."""
    at = 0
    while at < len(rows):
        count = ROWS_AT_ONCE_FULL if journal.store.fill() > LITTLE_ROOM else ROWS_AT_ONCE
        await journal.free(partial(_delete_rows, rows=rows[at : at + count]))
        at += count
        await clock.sleep_until(clock.monotonic_ns())


def _delete_rows(writing: Writes, rows: list[Row]) -> None:
    for table, key in rows:
        writing.delete(table, key)


def _oldest_bundle(reading: Reading, end: int) -> int | None:
    rows = reading.scan(Table.BUNDLE, below=u64(end // TILE_WIDTH), limit=1)
    return from_u64(rows[0][0]) if rows else None


def _rows_of_tile(reading: Reading, tile: int) -> list[Row]:
    """Return every row that belongs to the records of a full tile, its bundle last."""
    first, end = tile * TILE_WIDTH, (tile + 1) * TILE_WIDTH
    entries = (
        index.Entry(leaf.seq - first, index.marks_of(leaf.body), leaf.wall_ns) for leaf in _leaves(reading, first)
    )
    rows: list[Row] = [(Table.INDEX, key) for key in sorted(index.index_of(tile, entries).rows)]
    spans = ((Table.PERSONAL, u64(first), u64(end)), (Table.EVIDENCE, slice_key(first), slice_key(end)))
    for table, begin, below in spans:
        rows += [(table, key) for key, _ in reading.scan(table, first=begin, below=below, limit=TILE_WIDTH)]
    rows += [(Table.EVIDENCE, slices_key(tile)), (Table.TILE, tile_key(0, tile)), (Table.BUNDLE, u64(tile))]
    return rows


def _leaves(reading: Reading, first: int) -> Iterator[Leaf]:
    """Yield the records of a tile; of what is damaged nothing, its index rows lead nowhere from now on."""
    with suppress(ValueError):
        for data in Entries(reading).leaves(first, TILE_WIDTH):
            with suppress(ValueError):
                yield decode_leaf(data)


def _rows_above(reading: Reading, end: int) -> list[Row]:
    """Return what several tiles share and what covers nothing but what was pruned.

    Tiles of higher levels, rows of the index, and checkpoints whose root nobody can tell any more.
    """
    found: list[Row] = []
    for level in range(1, LEVELS_MAX):
        below = tile_key(level, end >> TILE_HEIGHT * (level + 1))
        rows = reading.scan(Table.TILE, first=tile_key(level, 0), below=below, limit=ROWS_AT_ONCE)
        found += [(Table.TILE, key) for key, _ in rows]
    rows = reading.scan(Table.CHECKPOINT, below=u64(end), limit=ROWS_AT_ONCE)
    found += [(Table.CHECKPOINT, key) for key, _ in rows]
    return found + [(Table.INDEX, key) for key in islice(index.keys_before(reading, end // TILE_WIDTH), ROWS_AT_ONCE)]


def is_swept(store: Store) -> bool:
    """Say whether nothing lies before the log's beginning any more."""

    def look(reading: Reading) -> bool:
        end = pruned.pruned_state(reading).end
        return _oldest_bundle(reading, end) is None and not _rows_above(reading, end)

    return store.read(look)
