"""What of the log was removed here: a row that says so, and what remains true of the records that are gone."""

from __future__ import annotations

import msgspec
from msgspec import Struct

from gatewayd.errors import UNDECODABLE, StoreError
from gatewayd.journal import tail
from gatewayd.proof.tiles import TILE_HEIGHT, Tree
from gatewayd.store.tables import Table
from gatewayd.store.transaction import Reading

KEY = b"pruned"  # in META


class PrunedState(Struct, frozen=True, array_like=True):
    """How far the log has been pruned.

    Args:
        end: first record that is kept, a multiple of 256; 0 = all are.
        last_decision_id: greatest id among the decisions that are gone, 0 = none.
        wall_ns: when it was pruned last.
        mirror: name of the mirror that has the records.
    """

    end: int = 0
    last_decision_id: int = 0
    wall_ns: int = 0
    mirror: str = ""

    def words(self) -> str:
        """Return how far, when, and who has it, for people."""
        return f"records 0 to {self.end - 1} were pruned on {date_of(self.wall_ns)}; the mirror {self.mirror} has them"


class RecordPruned(StoreError):
    """A record was removed here, by the rule."""


def date_of(wall_ns: int) -> str:
    """Return a day, UTC, as YYYY-MM-DD."""
    days = wall_ns // 86_400_000_000_000 + 719_468  # since 0000-03-01, so that leap days end years
    era, day_of_era = divmod(days, 146_097)
    year = (day_of_era - day_of_era // 1460 + day_of_era // 36_524 - day_of_era // 146_096) // 365
    day_of_year = day_of_era - (365 * year + year // 4 - year // 100)
    month_from_march = (5 * day_of_year + 2) // 153
    day = day_of_year - (153 * month_from_march + 2) // 5 + 1
    month = month_from_march + 3 if month_from_march < 10 else month_from_march - 9
    return f"{year + 400 * era + (month <= 2):04d}-{month:02d}-{day:02d}"


def pruned_state(reading: Reading) -> PrunedState:
    """Return how far the store's log has been pruned.

    Raises:
        JournalDamaged: the row cannot be decoded.
    """
    row = reading.get(Table.META, KEY)
    if row is None:
        return PrunedState()
    try:
        return _decoder.decode(row)
    except UNDECODABLE as error:
        raise tail.damaged(0, f"what says how far the log was pruned cannot be read: {error}") from error


def state_row(state: PrunedState) -> bytes:
    """Return the bytes of the row."""
    return _encoder.encode(state)


def refuse_pruned(what: str, state: PrunedState) -> RecordPruned:
    """Return the error for something that is not here any more.

    Args:
        what: e.g. "record 7".
        state: how far the log has been pruned.
    """
    return RecordPruned(f"{what} is not here any more: {state.words()}", remedy="Ask the mirror for it.")


def first_tree(reading: Reading) -> Tree:
    """Return the tree of the records that were pruned, from the tiles that stay; an empty one if none was.

    Raises:
        JournalDamaged: the stored hashes do not agree with each other.
    """
    end = pruned_state(reading).end
    if not end:
        return Tree()
    whole = tail.stored_tree(reading)
    edge = tail.edge_at(reading, whole, end)
    partial: list[bytes] = []
    while nodes := end >> TILE_HEIGHT * len(partial):
        partial.append(tail.first_hashes(reading, whole, len(partial), nodes))
    return Tree(end, tuple(edge), tuple(partial))


_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(PrunedState)
