"""What may not be pruned: what something open refers to, a command, an override or an alarm, and what people retain."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from functools import partial

from gatewayd.clock import Clock
from gatewayd.errors import UNDECODABLE, StoreError
from gatewayd.journal.blocks.pins import retained
from gatewayd.journal.leaf import decode_leaf
from gatewayd.journal.log import Journal
from gatewayd.journal.tiles import index
from gatewayd.journal.tiles.bundle import Entries
from gatewayd.model.record import AlarmEvent, Body, Kind, OverrideEvent, Start
from gatewayd.proof.tiles import TILE_WIDTH
from gatewayd.store.tables import Table, from_u64
from gatewayd.store.transaction import Reading

TILES_AT_ONCE = 8  # the loop stands still for so many: about two milliseconds
KINDS = (Kind.ALARM, Kind.OVERRIDE, Kind.START)

Open = dict[tuple[str, str], int]  # ("alarm", name) or ("override", id) -> place of the record that opened it


def fold(found: Open, seq: int, body: Body) -> None:
    """Take one record into what is open; records in their order.

    A start ends all alarms: their states are not kept over it, and what still rings is journalled anew.
    """
    if isinstance(body, AlarmEvent):
        if body.state == "normal":
            found.pop(("alarm", body.alarm), None)
        else:
            found.setdefault(("alarm", body.alarm), seq)
    elif isinstance(body, OverrideEvent) and body.event == "set":
        found.setdefault(("override", str(body.override_id)), seq)
    elif isinstance(body, OverrideEvent) and body.event in ("released", "expired"):
        found.pop(("override", str(body.override_id)), None)
    elif isinstance(body, Start):
        for key in [key for key in found if key[0] == "alarm"]:
            del found[key]


async def oldest_held(journal: Journal, clock: Clock) -> int:
    """Return the oldest record that must stay; the size of the journal if there is none.

    A record of these kinds that cannot be read holds itself: nobody can say what it opened.
    """
    found: Open = {}
    size, tile = journal.size, journal.first // TILE_WIDTH
    while tile * TILE_WIDTH < size:
        below = min(size, (tile + TILES_AT_ONCE) * TILE_WIDTH)
        for seq, body in journal.store.read(partial(_bodies, tile=tile, below=below)):
            if body is None:
                return min([seq, *found.values()])
            fold(found, seq, body)
        tile += TILES_AT_ONCE
        await clock.sleep_until(clock.monotonic_ns())
    try:
        kept = [one.decision_id for one in retained(journal)]
    except (StoreError, *UNDECODABLE):
        return journal.first  # nobody can say what people retain
    return min([size, *found.values(), *_places_of(journal, [*_commands(journal), *kept])])


def _bodies(reading: Reading, tile: int, below: int) -> list[tuple[int, Body | None]]:
    """Return (place, body) of the records of these kinds in some tiles, in order; None = it cannot be read."""
    entries = Entries(reading)
    first_young = entries.first_young()
    found: list[tuple[int, Body | None]] = []
    for at in range(tile, -(-below // TILE_WIDTH)):
        start = at * TILE_WIDTH
        places = sorted(_places(reading, at)) if start < first_young else range(min(TILE_WIDTH, below - start))
        for place in places:
            body = _body(entries, start + place)
            if body is None or isinstance(body, AlarmEvent | OverrideEvent | Start):
                found.append((start + place, body))
    return found


def _places(reading: Reading, tile: int) -> Iterator[int]:
    for kind in KINDS:
        key = index.term_key(index.kind_term(kind), tile)
        yield from index.places_in(reading.get(Table.INDEX, key), tile)


def _body(entries: Entries, seq: int) -> Body | None:
    with suppress(ValueError):
        leaf = entries.leaf(seq)
        return None if leaf is None else decode_leaf(leaf).body
    return None


def _commands(journal: Journal) -> list[int]:
    """Return the decisions whose write is in doubt."""
    rows = journal.store.read(lambda reading: reading.scan(Table.INTENT, limit=4096))
    return [from_u64(key) for key, _ in rows]


def _places_of(journal: Journal, decisions: list[int]) -> Iterator[int]:
    """Yield where decisions stand; one that cannot be found holds everything."""
    for decision_id in decisions:
        try:
            record = journal.decision(decision_id)
        except StoreError:
            record = None
        yield journal.first if record is None else record.seq
