"""What is in the table, what waits for the next commit, and what to acknowledge: a pure state machine.

Per (gateway, stream, epoch) it keeps the next sequence number wanted. A batch from there on is taken, one from before is
dropped as far as it is known, and one that leaves a gap is refused whole: the ack names the gap and the sender goes
back. So the table grows in order and each transaction can name its position.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from enum import Enum

from msgspec import Struct

from gatewayd.sync.wire import Ack, Batch

STREAMS_MAX = 4096  # positions kept in memory; a forgotten one is read from the table again

Key = tuple[str, str, int]  # gateway, stream, epoch


class Verdict(Enum):
    """What became of a batch."""

    TAKEN = "taken"
    DUPLICATE = "duplicate"
    GAP = "gap"


class Run(Struct):
    """Consecutive records of one stream that wait for the commit."""

    key: Key
    first: int
    records: list[bytes]

    @property
    def end(self) -> int:
        """The sequence number after the last record."""
        return self.first + len(self.records)


class _Position(Struct):
    landed: int  # in the table
    missing: tuple[int, int] | None = None  # the gap to name in the next ack


class Ledger:
    """Positions of every stream, and the rows of the next transaction.

    Args:
        landed_upto: reads a stream's position from the table.
    """

    def __init__(self, landed_upto: Callable[[Key], int], *, streams_max: int = STREAMS_MAX) -> None:
        self.duplicates = 0
        self._landed_upto = landed_upto
        self._streams_max = streams_max
        self._positions: OrderedDict[Key, _Position] = OrderedDict()
        self._waiting: dict[Key, Run] = {}
        self._owed: dict[Key, None] = {}  # streams to acknowledge, in order
        self._size = 0

    @property
    def rows(self) -> int:
        """Records that wait for the commit."""
        return sum(len(run.records) for run in self._waiting.values())

    @property
    def size(self) -> int:
        """Bytes of those records."""
        return self._size

    @property
    def owes_acks(self) -> bool:
        """Whether `settle` has something to say."""
        return bool(self._owed)

    @property
    def waiting(self) -> list[Run]:
        """The runs of the next transaction."""
        return list(self._waiting.values())

    def offer(self, batch: Batch) -> Verdict:
        """Take what is next of a batch; in each case an ack is owed."""
        key = (batch.gateway, batch.stream, batch.epoch)
        position = self._position(key)
        self._owed[key] = None
        run = self._waiting.get(key)
        wanted = run.end if run else position.landed
        if batch.first > wanted:
            position.missing = (wanted, batch.first)
            return Verdict.GAP
        fresh = batch.records[wanted - batch.first :]
        self.duplicates += len(batch.records) - len(fresh)
        if not fresh:
            return Verdict.DUPLICATE
        position.missing = None
        self._size += sum(map(len, fresh))
        if run is None:
            self._waiting[key] = Run(key, wanted, list(fresh))
        else:
            run.records.extend(fresh)
        return Verdict.TAKEN

    def committed(self) -> None:
        """The waiting runs are in the table."""
        for key, run in self._waiting.items():
            self._position(key).landed = run.end
        self._waiting.clear()
        self._size = 0

    def refresh(self) -> None:
        """Believe the table again, whole: call it whenever the table moved by anything but our own `committed`.

        All positions, not only those that wait: a stale one left behind would let the next commit land rows that
        another collector has landed already, and no conflict would tell.
        """
        self._positions.clear()
        for key, run in list(self._waiting.items()):
            known = min(self._position(key).landed - run.first, len(run.records))
            if known < 0:  # the table went back behind us: it was restored; start from what it says
                del self._waiting[key]
                continue
            self.duplicates += known
            del run.records[:known]
            run.first += known
            if not run.records:
                del self._waiting[key]
        self._size = sum(len(record) for run in self._waiting.values() for record in run.records)

    def abandon(self) -> None:
        """Forget what waited and what is owed: the commit failed. The senders come back with it."""
        self._waiting.clear()
        self._size = 0
        self._owed.clear()
        self._positions.clear()

    def settle(self) -> list[Ack]:
        """Return the acks owed; call it after the commit."""
        acks = [self._ack(key) for key in self._owed]
        self._owed.clear()
        while len(self._positions) > self._streams_max:
            self._positions.popitem(last=False)
        return acks

    def _ack(self, key: Key) -> Ack:
        position = self._position(key)
        missing, position.missing = position.missing, None
        still_open = missing is not None and missing[1] > position.landed
        return Ack(*key, position.landed, ((position.landed, missing[1]),) if missing and still_open else ())

    def _position(self, key: Key) -> _Position:
        position = self._positions.get(key)
        if position is None:
            position = self._positions[key] = _Position(self._landed_upto(key))
        self._positions.move_to_end(key)
        return position
