"""The records that cycles made, one after the other as they stand in the journal; what stands between is taken note of."""

from __future__ import annotations

from collections import deque
from typing import Final, NamedTuple

import msgspec
from msgspec import Struct

from gatewayd.journal import tail
from gatewayd.journal.leaf import decode_leaf
from gatewayd.model.record import (
    AlarmEvent,
    BlockSealed,
    ConfigLoaded,
    Decision,
    Gap,
    Leaf,
    ModeChanged,
    OverrideEvent,
    QualityEvent,
    RuleEvent,
    Start,
)
from gatewayd.proof.tiles import TILE_WIDTH
from gatewayd.replay.source import Source

OF_A_CYCLE: Final = (Decision, OverrideEvent, AlarmEvent, RuleEvent, ModeChanged, QualityEvent)


class _Encoded(Struct, frozen=True, array_like=True):
    """A leaf whose body stays as it is."""

    seq: int
    wall_ns: int
    boot_ns: int
    boot_id: bytes
    clock_quality: str
    body: msgspec.Raw


_encoded_decoder = msgspec.msgpack.Decoder(_Encoded)


class Entry(NamedTuple):
    """A record that a cycle made. Outcomes of writes are not among them: `act` journals them, and they are inputs."""

    seq: int
    leaf: Leaf
    data: bytes

    def body_bytes(self) -> bytes:
        """Return the body as it was journalled."""
        return bytes(_encoded_decoder.decode(memoryview(self.data)[2:]).body)


class Passed(Struct):
    """What was passed over.

    Args:
        decisions: of them, records of decisions.
        records: that cycles made.
        sealed: (first, last) cycle of blocks, kept or not.
        starts: seq of each start of the daemon.
        unclean: how many of them say that the run before did not end properly.
        sites: seq of each configuration that came into force.
        kinds: of the records that cycles made.
    """

    decisions: int = 0
    records: int = 0
    sealed: list[tuple[int, int]] = []
    starts: list[int] = []
    unclean: int = 0
    sites: list[int] = []
    kinds: list[type] = []


class Stream:
    """Reads records of a source in order.

    Attributes:
        lost: records of which a gap before the next one says that the journal could not be written.
        passed: what stood between since `forget` was called last.
    """

    def __init__(self, source: Source, first: int) -> None:
        self._source = source
        self._next = first
        self._entries: deque[Entry] = deque()
        self.lost = 0
        self.passed = Passed()

    def peek(self) -> Entry | None:
        """Return the next record that a cycle made, without taking it; None at the end."""
        while not self._entries and self._next < self._source.end:
            self._read()
        while self._entries:
            entry = self._entries[0]
            if _is_of_a_cycle(entry):
                return entry
            self._pass(self._entries.popleft())
            if not self._entries and self._next < self._source.end:
                self._read()
        return None

    def take(self) -> None:
        """Take what `peek` returned."""
        self._entries.popleft()
        self.lost = 0

    def pass_to(self, seq: int) -> Passed:
        """Go to a record that is ahead; return all that was passed since `forget` was called last."""
        while (entry := self.peek()) is not None and entry.seq < seq:
            self._pass(self._entries.popleft())
        self.lost = 0
        return self.passed

    def forget(self) -> None:
        """Begin to note anew."""
        self.passed = Passed()

    def _read(self) -> None:
        count = TILE_WIDTH - self._next % TILE_WIDTH
        leaves = self._source.leaves(self._next, min(count, self._source.end - self._next))
        for seq, data in enumerate(leaves, start=self._next):
            try:
                self._entries.append(Entry(seq, decode_leaf(data), data))
            except ValueError as error:
                raise tail.damaged(seq, f"it cannot be decoded: {error}") from error
        self._next += len(leaves)

    def _pass(self, entry: Entry) -> None:
        passed, body = self.passed, entry.leaf.body
        match body:
            case Gap(stream="journal"):
                self.lost += body.count
            case BlockSealed():
                passed.sealed.append((body.first_cycle, body.last_cycle))
            case Start():
                passed.starts.append(entry.seq)
                passed.unclean += not body.clean
            case ConfigLoaded():
                passed.sites.append(entry.seq)
            case _:
                if _is_of_a_cycle(entry):
                    passed.records += 1
                    passed.decisions += isinstance(body, Decision)
                    passed.kinds.append(type(body))


def _is_of_a_cycle(entry: Entry) -> bool:
    """Say so of a record; an override that a restart ended is not, though of such a kind."""
    body = entry.leaf.body
    is_of_a_start = isinstance(body, OverrideEvent) and body.actor.method == "restart"
    return isinstance(body, OF_A_CYCLE) and not is_of_a_start
