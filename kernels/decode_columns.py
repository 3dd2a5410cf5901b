"""Samples that a driver's library decoded, to columns."""

from __future__ import annotations

from kernels.columns import F8, I8, U1
from kernels.sample import put_fresh, put_times
from kernels.status import BAD_DECODING, NAN, STATUS_MAX
from kernels.table import ERROR_BOUNDS
from kernels.wire import DCBA, checked_time, put_float64, read_integer

_WIDTH = 24  # float64 value, int64 status, int64 source time; little-endian


def decode_columns(
    inbox: U1,
    plan_row: I8,
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
    at: int,
    size: int,
    first: int,
    count: int,
    fresh_count: int,
    response_time: int,
    response_mono: int,
    now: int,
    pass_number: int,
    inbox_size: int,
    plan_size: int,
    tag_size: int,
    fresh_size: int,
) -> int:
    """Take one 24-byte record per row of the plan, in its order, and put the rows on the fresh list.

    A record is value (float64, raw units), status (int64 holding an OPC UA code) and source time (int64, wall ns, 0 =
    absent), little-endian. `bits` is 0. `event_time` is the source time, or `response_mono` when absent.

    A row whose record is missing, or whose status is no 32-bit code, gets Bad_DecodingError and NaN.

    Returns:
        The new `fresh_count`; ERROR_BOUNDS when a range or row is outside its buffer, the rows before it being taken.

    Source: `gatewayd.model.block.Codec.COLUMNS`.
    """
    if size < 0 or size > inbox_size or at < 0 or at > inbox_size - size:
        return ERROR_BOUNDS
    if count < 0 or count > plan_size or first < 0 or first > plan_size - count:
        return ERROR_BOUNDS
    if fresh_count < 0:
        return ERROR_BOUNDS
    for i in range(count):
        row = plan_row[first + i]
        if row < 0 or row >= tag_size:
            return ERROR_BOUNDS
        code = -1
        source = 0
        place = at + i * _WIDTH
        if i * _WIDTH <= size - _WIDTH:
            code = read_integer(inbox, place + 8, 8, DCBA)
        bits[row] = 0
        if code < 0 or code > STATUS_MAX:
            value[row] = NAN
            status[row] = BAD_DECODING
        else:
            put_float64(read_integer(inbox, place, 8, DCBA), row, value, value_bits)
            status[row] = code
            source = checked_time(read_integer(inbox, place + 16, 8, DCBA))
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
