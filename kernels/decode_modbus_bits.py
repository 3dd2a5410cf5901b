"""Modbus coils and discrete inputs (function codes 1 and 2) to columns."""

from __future__ import annotations

from kernels.columns import F8, I8, U1
from kernels.sample import put_fresh, put_times
from kernels.status import BAD_DECODING, NAN
from kernels.table import ERROR_BOUNDS
from kernels.wire import put_integer


def decode_modbus_bits(
    inbox: U1,
    plan_row: I8,
    plan_offset: I8,
    plan_bit: I8,
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
    """Decode one response, packed bits with the least significant first, and put its rows on the fresh list.

    `inbox[at : at + size]` is the PDU's data without its byte count; a tag is bit `plan_bit` (0 to 7) of the byte at
    `plan_offset`. Value and `bits` are 0 or 1. Times as in `decode_modbus_registers`.

    A row that does not fit the payload, or whose bit is none, gets Bad_DecodingError and NaN.

    Returns:
        The new `fresh_count`; ERROR_BOUNDS when a range or row is outside its buffer, the rows before it being taken.

    Source: Modbus Application Protocol V1.1b3, 6.1, 6.2.
    """
    if size < 0 or size > inbox_size or at < 0 or at > inbox_size - size:
        return ERROR_BOUNDS
    if count < 0 or count > plan_size or first < 0 or first > plan_size - count:
        return ERROR_BOUNDS
    if fresh_count < 0:
        return ERROR_BOUNDS
    for i in range(first, first + count):
        row = plan_row[i]
        if row < 0 or row >= tag_size:
            return ERROR_BOUNDS
        offset = plan_offset[i]
        bit = plan_bit[i]
        if offset < 0 or offset >= size or bit < 0 or bit > 7:
            value[row] = NAN
            bits[row] = 0
            status[row] = BAD_DECODING
        else:
            put_integer((inbox[at + offset] >> bit) & 1, row, value, bits)
            status[row] = 0
        put_times(
            row,
            response_time,
            response_mono,
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
