"""How many requests a device may have open at once, learned from how it answers. Pure."""

from __future__ import annotations


class OutstandingWindow:
    """The limit on outstanding requests of one device; outlives its connections.

    Many servers read one request per TCP segment and drop the rest, so a limit above 1 is a claim of the configuration
    until the device has answered a full window in order. Before that a loss with more than one request open is blamed
    on the claim and the limit falls to 1 for good. After it, one loss is forgiven (cables are pulled), but the claim
    has to be shown again.

    Args:
        limit: `max_outstanding` of the device.
    """

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.is_unproven = limit > 1
        self._in_order = 0

    def note_answer(self, *, is_oldest: bool, outstanding: int) -> None:
        """Learn from an answer; needed only while `is_unproven`.

        Args:
            is_oldest: it belongs to the request that waited longest.
            outstanding: open requests, this one included.
        """
        if not is_oldest:
            self._in_order = 0
        elif outstanding > 1:
            self._in_order += 1
            self.is_unproven = self._in_order < self.limit

    def note_loss(self, outstanding: int) -> None:
        """Learn from a connection that was lost with so many requests open."""
        if outstanding <= 1:
            return
        if self.is_unproven:
            self.limit = 1
        self.is_unproven = self.limit > 1
        self._in_order = 0
