"""Notification messages in the order of their numbers, and which of them are missing. Pure.

A server that works with several threads may answer two PublishRequests in the wrong order; only what does not come soon
is missing. A later value must not be overtaken by an earlier one, so messages behind a hole wait.
"""

from __future__ import annotations

from gatewayd.device.opcua.monitoring import Notification

HELD_MAX = 64  # messages that wait behind a hole
NUMBER_MAX = 0xFFFF_FFFF  # then 1 again (Part 4, 7.24)
_HALF = 1 << 31


def after(number: int) -> int:
    """Return the number that follows."""
    return number + 1 if number < NUMBER_MAX else 1


def is_before(first: int, second: int) -> bool:
    """Say whether a number comes before another, across the turn of the count."""
    return 0 < (second - first) % NUMBER_MAX < _HALF


class Sequence:
    """What has arrived of one subscription."""

    def __init__(self) -> None:
        self._next = 0  # number of the next message; 0 = none has come yet
        self._held: dict[int, Notification] = {}
        self._announced = 0  # by a keep-alive: the number of the next message that the server will send

    @property
    def is_whole(self) -> bool:
        """Say whether everything up to the newest message has been taken."""
        return not self._held and (not self._announced or not is_before(self._next, self._announced))

    @property
    def missing(self) -> tuple[int, int]:
        """Return the first missing number and how many follow each other from there; (0, 0) when nothing is missing."""
        if self.is_whole:
            return 0, 0
        ends = [*self._held] or [self._announced]
        return self._next, min((end - self._next) % NUMBER_MAX for end in ends)

    def take(self, message: Notification) -> list[Notification]:
        """Take a message as it arrives; return those whose turn has come. One that was taken before is dropped."""
        if message.is_keep_alive:
            self._next = self._next or message.sequence
            self._announced = message.sequence
            return []
        self._next = self._next or message.sequence
        if is_before(message.sequence, self._next):
            return []
        self._held[message.sequence] = message
        if len(self._held) > HELD_MAX:
            return self.give_up()
        return self._ready()

    def give_up(self) -> list[Notification]:
        """Go on without what is missing; return the messages that waited for it."""
        first, count = self.missing
        self._next = (first + count - 1) % NUMBER_MAX + 1 if count else self._next
        return self._ready()

    def _ready(self) -> list[Notification]:
        ready: list[Notification] = []
        while (message := self._held.pop(self._next, None)) is not None:
            ready.append(message)
            self._next = after(self._next)
        return ready
