"""Reads every record once after a start, slowly, so that damage is journalled before somebody needs the record."""

from __future__ import annotations

from msgspec import Struct

from gatewayd.clock import Clock
from gatewayd.errors import StoreDamaged, StoreError
from gatewayd.journal.log import Journal
from gatewayd.model.decision import NewRecord
from gatewayd.model.record import Gap, Kind

STREAM = "journal"
RECORDS_AT_ONCE = 32  # the loop stands still for so many: about a millisecond
PAUSE_NS = 100_000_000
RANGE_RECORDS_MAX = 4096
KNOWN_MAX = 1024


class DamagedRange(Struct, frozen=True):
    """Records that cannot be read any more.

    Args:
        first: sequence number.
        last: sequence number, itself damaged.
        why: what is wrong with the first one.
    """

    first: int
    last: int
    why: str

    def gap(self) -> Gap:
        """Return the record that tells of it."""
        return Gap(STREAM, self.first, self.last, self.last - self.first + 1, f"damaged on the disk: {self.why}")


async def scrub(journal: Journal, clock: Clock, *, pause_ns: int = PAUSE_NS) -> int:
    """Read all records that are there now; journal each damaged range that no record tells of yet.

    Args:
        journal: may go on being written to.
        clock: for the pauses.
        pause_ns: between two small readings.

    Returns:
        How many damaged records there are.
    """
    known = _known(journal)
    size, seq, damaged = journal.size, journal.first, 0
    open_range: DamagedRange | None = None
    while seq < size:
        count = min(RECORDS_AT_ONCE, size - seq)
        is_sound = journal.are_sound(seq, count)
        for at in range(seq, seq + count):
            why = "" if is_sound else _why_damaged(journal, at)
            if why and open_range is not None and at - open_range.first < RANGE_RECORDS_MAX:
                open_range = DamagedRange(open_range.first, at, open_range.why)
                continue
            if open_range is not None:
                damaged += await _tell(journal, open_range, known)
            open_range = DamagedRange(at, at, why) if why else None
        seq += RECORDS_AT_ONCE
        await clock.sleep_until(clock.monotonic_ns() + pause_ns)
    if open_range is not None:
        damaged += await _tell(journal, open_range, known)
    return damaged


def _why_damaged(journal: Journal, seq: int) -> str:
    """Return what is wrong with a record, empty = nothing, or nobody can tell because the store is away."""
    try:
        journal.record(seq)
    except StoreDamaged as error:
        return error.message
    except StoreError:
        return ""
    return ""


async def _tell(journal: Journal, found: DamagedRange, known: set[tuple[int, int]]) -> int:
    if (found.first, found.last) not in known:
        try:
            await journal.commit((NewRecord(body=found.gap()),))
        except StoreError:
            return found.last - found.first + 1  # no room now: the next start finds it again
    return found.last - found.first + 1


def _known(journal: Journal) -> set[tuple[int, int]]:
    """Return the ranges of which the newest gaps tell."""
    try:
        records = journal.newest(Kind.GAP, KNOWN_MAX)
    except StoreError:
        return set()  # one of them is damaged itself
    gaps = [record.leaf.body for record in records]
    return {(gap.first, gap.last) for gap in gaps if isinstance(gap, Gap) and gap.stream == STREAM}
