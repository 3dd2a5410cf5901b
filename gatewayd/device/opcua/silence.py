"""Is a subscription that only sends keep-alives alive? Some tags are read, and compared with how they were. Pure.

A read that shows another value proves nothing at once: the change may be on its way, within the deadband, or between two
samplings. Only what stays different for longer than any of that may take, without a word, is death.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

from gatewayd.device.opcua.data_values import only_value
from gatewayd.device.opcua.monitoring import raw_deadband
from gatewayd.model.device import OpcuaTag

CANARIES = 8
QUIET_KEEP_ALIVES = 3


class Watched(Protocol):
    """A tag as the server watches it."""

    tag: OpcuaTag
    with_deadband: bool


class Silence:
    """When to look behind it, and what was seen.

    Args:
        keep_alive_ns: how often the subscription should say something.
    """

    def __init__(self, keep_alive_ns: int) -> None:
        self._keep_alive_ns = keep_alive_ns
        self._keep_alives = 0  # since the last change
        self._looked_mono_ns = 0
        self._before: dict[int, bytes] = {}
        self._suspected: dict[int, int] = {}  # handle -> since when it differs

    def keep_alive(self) -> None:
        """Count a keep-alive."""
        self._keep_alives += 1

    def data(self, mono_ns: int) -> None:
        """Start anew: the subscription just told a change."""
        self._keep_alives = 0
        self._looked_mono_ns = mono_ns
        self._before = {}
        self._suspected = {}

    def is_due(self, now_ns: int) -> bool:
        """Say whether it is time to read some tags."""
        if self._keep_alives < QUIET_KEEP_ALIVES or now_ns - self._looked_mono_ns < self._keep_alive_ns:
            return False
        self._looked_mono_ns = now_ns
        return True

    def is_death(self, found: Mapping[int, bytes], items: Sequence[Watched], now_ns: int, grace_ns: int) -> bool:
        """Take what a read found, one DataValue per handle; say whether the subscription must be dead.

        Args:
            found: handle -> the DataValue that was read.
            items: by handle, for their deadbands.
            now_ns: boot-clock time of the read.
            grace_ns: how long a change may take from the node to us.
        """
        if not self._keep_alives:  # a change came while the read was under way
            return False
        for handle, record in found.items():
            before = self._before.setdefault(handle, record)
            if not _differs(before, record, items[handle]):
                self._suspected.pop(handle, None)
            elif now_ns - self._suspected.setdefault(handle, now_ns) > grace_ns:
                return True
        return False


def _differs(before: bytes, now: bytes, item: Watched) -> bool:
    """Say whether the server should have told this change: other status, or other value beyond the deadband."""
    (status_before, value_before), (status, value) = only_value(before), only_value(now)
    if status_before != status:
        return True
    if value is None or value_before is None or not item.with_deadband or not item.tag.deadband:
        return value != value_before and not (value != value and value_before != value_before)
    if item.tag.deadband_type == "percent":  # of a range that only the server knows
        return False
    return abs(value - value_before) > raw_deadband(item.tag)
