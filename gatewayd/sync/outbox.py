"""The sliding window over the journal: a pure state machine, no I/O and no clock.

The journal is the queue; the outbox holds only positions. Three of them: `acked` <= `next` <= the journal's size. A
PUBACK frees room on the wire and nothing else; the cursor moves on the collector's ack alone. Whatever goes wrong
(reconnect, gap, silence) is cured the same way: go back to the cursor and send again; the collector drops what it has.
"""

from __future__ import annotations

from collections import deque

from msgspec import Struct

from gatewayd.sync.wire import Ack

ACK_TIMEOUT_NS = 10_000_000_000
ACK_TIMEOUT_MAX_NS = 300_000_000_000


class Limits(Struct, frozen=True):
    """How much may be under way."""

    window: int = 8  # messages without a PUBACK
    unacked_max: int = 64  # messages without the collector's ack
    unacked_bytes_max: int = 1 << 20  # their bytes
    batch_records: int = 256


class Span(Struct, frozen=True):
    """Records wanted from the journal, to send as one batch."""

    first: int
    limit: int


class Sent(Struct):
    """One message under way."""

    first: int
    end: int
    size: int


class Outbox:
    """Positions and window of one stream in one epoch."""

    def __init__(self, gateway: str, stream: str, epoch: int, *, acked: int = 0, limits: Limits | None = None) -> None:
        self.identity = (gateway, stream, epoch)
        self.acked = acked
        self.next = acked
        self.reached = acked  # the furthest position ever handed to the broker
        self.resent = 0
        self.acks_refused = 0
        self.acks_foreign = 0
        self.limits = limits or Limits()
        self._under_way: deque[Sent] = deque()
        self._tokens: set[int] = set()  # outlives a rewind: the broker still counts these against the connection
        self._bytes = 0
        self._window = 0  # 0 = not connected
        self._probing = False
        self._timeout_ns = ACK_TIMEOUT_NS
        self._progress_ns = 0
        self._rewound_to = -1

    @property
    def in_flight(self) -> int:
        """Messages the broker has not confirmed."""
        return len(self._tokens)

    @property
    def stuck(self) -> bool:
        """Whether the broker has confirmed nothing for a whole window; only a new connection helps."""
        return bool(self._window) and self.in_flight >= self._window

    @property
    def unacked(self) -> int:
        """Messages the collector has not acknowledged."""
        return len(self._under_way)

    @property
    def unacked_bytes(self) -> int:
        """Bytes of those messages, as sent."""
        return self._bytes

    @property
    def deadline_ns(self) -> int | None:
        """When silence becomes a timeout; None while nothing is under way."""
        return self._progress_ns + self._timeout_ns if self._under_way else None

    def connected(self, window: int, now_ns: int) -> None:
        """Start from the cursor on a new connection that allows `window` unconfirmed messages."""
        self.disconnected()
        self._window = max(1, min(window, self.limits.window))
        self._probing = False
        self._rewind(now_ns)

    def disconnected(self) -> None:
        """Forget what was under way; nothing is sent until `connected`."""
        self._window = 0
        self._tokens.clear()
        self._under_way.clear()
        self._bytes = 0

    def wanted(self, size: int) -> Span | None:
        """Return what to send next of a journal of `size` records, or None when idle or the window is full."""
        if not self._window or self.next >= size:
            return None
        window, unacked = (1, 1) if self._probing else (self._window, self.limits.unacked_max)
        full = self.unacked >= unacked or self._bytes >= self.limits.unacked_bytes_max
        if full or self.in_flight >= window:
            return None
        return Span(self.next, min(self.limits.batch_records, size - self.next))

    def sent(self, end: int, size: int, token: int, now_ns: int) -> None:
        """Note that records [next, end) went out in one message of `size` bytes under packet identifier `token`."""
        if not self._under_way:
            self._progress_ns = now_ns
        self.resent += max(0, min(end, self.reached) - self.next)
        self._under_way.append(Sent(self.next, end, size))
        self._tokens.add(token)
        self._bytes += size
        self.next = end
        self.reached = max(self.reached, end)

    def puback(self, token: int) -> None:
        """The broker has a message: room on the wire, no more."""
        self._tokens.discard(token)

    def ack(self, ack: Ack, size: int, now_ns: int) -> bool:
        """Take a collector's ack; return whether the cursor moved.

        An ack beyond what was sent counts only up to there: after a restart with an older cursor the collector may
        truly have more, but the cursor moves only over records this process offered. Beyond the journal itself it is
        refused: either it is forged, or the disk was restored without a new epoch.
        """
        if (ack.gateway, ack.stream, ack.epoch) != self.identity:
            self.acks_foreign += 1
            return False
        if ack.upto > size:
            self.acks_refused += 1
            return False
        if ack.upto > self.reached:
            self.acks_refused += 1
        moved = self._advance(min(ack.upto, self.reached), now_ns)
        # Every message behind a gap brings the same complaint; only the first one rewinds.
        if ack.missing and ack.upto == self.acked and self._rewound_to != self.acked:
            self._rewind(now_ns)
            self._rewound_to = self.acked
        return moved

    def hello(self, now_ns: int) -> None:
        """A collector has just subscribed: send again from the cursor."""
        self._probing = False
        self._timeout_ns = ACK_TIMEOUT_NS
        self._rewind(now_ns)

    def tick(self, now_ns: int) -> bool:
        """Rewind when the collector has been silent too long; return whether it has.

        From then on one message at a time goes out, more and more rarely: weeks without a collector must not cost weeks
        of a metered link.
        """
        deadline_ns = self.deadline_ns
        if deadline_ns is None or now_ns < deadline_ns:
            return False
        self._timeout_ns = min(2 * self._timeout_ns, ACK_TIMEOUT_MAX_NS)
        self._probing = True
        self._rewind(now_ns)
        return True

    def _advance(self, upto: int, now_ns: int) -> bool:
        if upto <= self.acked:
            return False
        self.acked = upto
        self.next = max(self.next, upto)
        while self._under_way and self._under_way[0].end <= upto:
            self._bytes -= self._under_way.popleft().size
        self._progress_ns = now_ns
        self._timeout_ns = ACK_TIMEOUT_NS
        self._probing = False
        self._rewound_to = -1
        return True

    def _rewind(self, now_ns: int) -> None:
        self.next = self.acked
        self._under_way.clear()
        self._bytes = 0
        self._progress_ns = now_ns
        self._rewound_to = -1
