"""Answers as a recorded device did: each request with its recorded responses in their order, over and over. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from gatewayd.device.recording import Exchange

ILLEGAL_ADDRESS: Final = 2
_EXCEPTION_BIT: Final = 0x80


class Player:
    """What a simulated device answers.

    A request that was never recorded gets exception 2, illegal data address. One that got no response when it was
    recorded gets none now.

    Args:
        exchanges: of a recording.

    Attributes:
        answered: requests answered from the recording.
        unknown: requests that are not in it.
    """

    def __init__(self, exchanges: Sequence[Exchange]) -> None:
        self.answered = 0
        self.unknown = 0
        self._responses: dict[tuple[int, bytes], list[bytes]] = {}
        self._next: dict[tuple[int, bytes], int] = {}
        for exchange in sorted(exchanges, key=lambda each: each.asked_ns):
            self._responses.setdefault((exchange.unit_id, exchange.request), []).append(exchange.response)

    @property
    def requests(self) -> int:
        """Return how many different requests it can answer."""
        return len(self._responses)

    @property
    def units(self) -> tuple[int, ...]:
        """Return the unit ids it answers for."""
        return tuple(sorted({unit_id for unit_id, _ in self._responses}))

    def answer(self, unit_id: int, request: bytes) -> bytes | None:
        """Return the next recorded response to a request, from the first one again after the last."""
        key = (unit_id, request)
        responses = self._responses.get(key)
        if responses is None:
            self.unknown += 1
            return bytes((request[0] | _EXCEPTION_BIT, ILLEGAL_ADDRESS))
        at = self._next.get(key, 0)
        self._next[key] = (at + 1) % len(responses)
        self.answered += 1
        return responses[at] or None
