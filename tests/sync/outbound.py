"""What an uplink needs beside a broker: a journal in memory, a cursor in a dict, records that look like leaves."""

from __future__ import annotations

import msgspec

from gatewayd.errors import StoreError
from gatewayd.model.record import SCHEMA, ClockQuality, Leaf, ModeChanged

GATEWAY = "acme.example/gw/station-1"


def leaf(seq: int, reason: str = "link") -> bytes:
    body = ModeChanged("AUTO", f"{reason} {seq}")
    return bytes((SCHEMA, 0)) + msgspec.msgpack.encode(
        Leaf(seq, 1_750_000_000_000_000_000 + seq, seq, b"b" * 16, ClockQuality.NTP, body)
    )


class MemoryJournal:
    def __init__(self, count: int = 0) -> None:
        self.records = [leaf(seq) for seq in range(count)]
        self.longest_read = 0

    @property
    def size(self) -> int:
        return len(self.records)

    def entries(self, first: int, limit: int) -> list[bytes]:
        self.longest_read = max(self.longest_read, limit)
        return self.records[first : first + limit]

    def grow(self, count: int) -> None:
        self.records.extend(leaf(seq) for seq in range(self.size, self.size + count))


class MemoryCursors:
    def __init__(self) -> None:
        self.saved: dict[str, bytes] = {}
        self.full = False

    def get(self, stream: str) -> bytes | None:
        return self.saved.get(stream)

    async def put(self, stream: str, value: bytes) -> None:
        if self.full:
            raise StoreError("the store is full", remedy="free some room")
        self.saved[stream] = value
