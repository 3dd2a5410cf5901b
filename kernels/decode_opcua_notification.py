"""OPC UA data-change notifications to columns."""

from __future__ import annotations

from kernels.columns import F8, I8, U1
from kernels.opcua_skip import NEST_SOURCE_TIME, NEST_STATUS, read_uint32, skip_data_value
from kernels.opcua_value import read_data_value
from kernels.sample import put_fresh, put_times
from kernels.status import BAD_TYPE_MISMATCH, NAN
from kernels.table import ERROR_BOUNDS, ERROR_FORMAT, NEST_CELLS

_HANDLE = 4
_MORE = 1  # cell of `out`


def decode_opcua_notification(
    inbox: U1,
    plan_row: I8,
    plan_seen: I8,
    plan_seen_pass: I8,
    value: F8,
    bits: I8,
    status: I8,
    source_time: I8,
    ingest_time: I8,
    ingest_mono: I8,
    event_time: I8,
    processing_time: I8,
    sequence: I8,
    stale: I8,
    fresh_mark: I8,
    value_bits: I8,
    fresh: I8,
    nest: I8,
    out: I8,
    at: int,
    size: int,
    first: int,
    count: int,
    fresh_count: int,
    response_time: int,
    response_mono: int,
    now: int,
    pass_number: int,
    turn: int,
    inbox_size: int,
    plan_size: int,
    tag_size: int,
    fresh_size: int,
    nest_size: int,
    out_size: int,
) -> int:
    """Decode one turn of a notification: of every item the value number `turn`, counted from 0 in the order of arrival.

    The payload is monitored-item notifications back to back: a ClientHandle, which is the place of the item's row in the
    plan, then a DataValue, decoded as `decode_opcua` does. An item with a queue may occur several times; `out[1]` is 1
    when some item has a value for a later turn, else 0. A value that can be no number (string, array, structure) gives
    its row Bad_TypeMismatch and NaN, or keeps its Bad status.

    The whole payload is walked before anything is stored: one that is malformed, or names an item the plan does not have,
    changes nothing.

    Returns:
        The new `fresh_count`; ERROR_FORMAT for such a payload; ERROR_BOUNDS when a range or row is outside its buffer.

    Source: OPC UA Part 4, 7.25.2; Part 6, 5.2.2.
    """
    if size < 0 or size > inbox_size or at < 0 or at > inbox_size - size:
        return ERROR_BOUNDS
    if count < 0 or count > plan_size or first < 0 or first > plan_size - count:
        return ERROR_BOUNDS
    if fresh_count < 0 or turn < 0 or nest_size < NEST_CELLS or out_size < 2:
        return ERROR_BOUNDS
    end = at + size
    out[_MORE] = 0
    place = at
    walk = 0  # first every value is found to be whole, then the turn's values are taken
    while walk < 2:
        if place >= end:
            walk += 1
            place = at
            if size == 0:
                walk = 2
            continue
        if place > end - _HANDLE:
            return ERROR_FORMAT
        item = read_uint32(inbox, place)
        if item >= count:
            return ERROR_FORMAT
        item += first
        start = place + _HANDLE
        place = skip_data_value(inbox, start, end, nest)
        if place < 0:
            return ERROR_FORMAT
        row = plan_row[item]
        if row < 0 or row >= tag_size:
            return ERROR_BOUNDS
        if walk == 0:
            continue
        if plan_seen_pass[item] != pass_number:
            plan_seen_pass[item] = pass_number
            plan_seen[item] = 0
        plan_seen[item] += 1
        if plan_seen[item] != turn + 1:
            if plan_seen[item] > turn + 1:
                out[_MORE] = 1
            continue
        value[row] = NAN
        bits[row] = 0
        status[row] = 0
        source_time[row] = 0
        if read_data_value(inbox, start, end, row, value, bits, status, source_time, value_bits) < 0:
            value[row] = NAN
            bits[row] = 0
            status[row] = nest[NEST_STATUS]
            if status[row] >> 31 == 0:
                status[row] = BAD_TYPE_MISMATCH
            source_time[row] = nest[NEST_SOURCE_TIME]
        source = source_time[row]
        event = source
        if source == 0:
            event = response_mono
        put_times(
            row,
            source,
            event,
            response_time,
            response_mono,
            now,
            source_time,
            ingest_time,
            ingest_mono,
            event_time,
            processing_time,
            sequence,
            stale,
        )
        fresh_count = put_fresh(row, fresh_count, pass_number, fresh_mark, fresh, fresh_size)
        if fresh_count < 0:
            return ERROR_BOUNDS
    return fresh_count
