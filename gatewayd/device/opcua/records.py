"""Single DataValues out of a payload of many. For the rare cases in which the driver must look at one. Pure."""

from __future__ import annotations

import struct
from collections.abc import Mapping

from gatewayd.device.opcua.data_values import walk

_STATUS_ONLY = struct.Struct("<BI")


def split(payload: bytes, count: int) -> list[bytes]:
    """Return the DataValues of a payload one by one.

    Raises:
        DeviceProtocolError: these are not `count` DataValues.
    """
    positions, _, _ = walk(payload, count)  # of every mask, and of the type where there is a value
    starts: list[int] = []
    place = 0
    while place < len(positions):
        starts.append(positions[place])
        place += 2 if payload[positions[place]] & 1 else 1
    ends = [*starts[1:], len(payload)]
    return [payload[start:end] for start, end in zip(starts, ends, strict=False)]


def with_statuses(payload: bytes, count: int, statuses: Mapping[int, int]) -> bytes:
    """Return a payload in which the DataValues at some positions are replaced by a status without a value."""
    records = split(payload, count)
    for position, status in statuses.items():
        records[position] = _STATUS_ONLY.pack(2, status)
    return b"".join(records)
