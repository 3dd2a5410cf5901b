"""OPC UA DataValues to columns."""

from __future__ import annotations

from kernels.columns import F8, I8, U1
from kernels.opcua_value import read_data_value
from kernels.sample import put_fresh, put_times
from kernels.status import BAD_DECODING, NAN
from kernels.table import ERROR_BOUNDS


def decode_opcua(
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
    """Decode one response, DataValues back to back in the order of the plan, and put its rows on the fresh list.

    Scalars Boolean to Double, DateTime (its ticks) and StatusCode (its code) become numbers, raw; `bits` keeps integers
    exactly. The status is the DataValue's own. `source_time` is its SourceTimestamp in wall ns (picoseconds dropped), 0
    when absent; `event_time` the same, or `response_mono` when absent. A value that is absent or null is NaN.

    An array of one, which is what an index range gives, is its element: who asked for no element cuts such arrays out first.
    A string, longer array or other value that can be skipped gives its row Bad_TypeMismatch and NaN. From the first byte that
    cannot be understood on (end of the payload, NodeId, ExtensionObject, Variant, DiagnosticInfo, reserved bits), this
    and all later rows get Bad_DecodingError and NaN. Bytes after the last row are ignored.

    Returns:
        The new `fresh_count`; ERROR_BOUNDS when a range or row is outside its buffer, the rows before it being taken.

    Source: OPC UA Part 6, 5.2.2; Part 4, 7.11.
    """
    if size < 0 or size > inbox_size or at < 0 or at > inbox_size - size:
        return ERROR_BOUNDS
    if count < 0 or count > plan_size or first < 0 or first > plan_size - count:
        return ERROR_BOUNDS
    if fresh_count < 0:
        return ERROR_BOUNDS
    place = at
    end = at + size
    for i in range(first, first + count):
        row = plan_row[i]
        if row < 0 or row >= tag_size:
            return ERROR_BOUNDS
        value[row] = NAN
        bits[row] = 0
        status[row] = 0
        source_time[row] = 0
        if place >= 0:
            place = read_data_value(inbox, place, end, row, value, bits, status, source_time, value_bits)
        if place < 0:
            value[row] = NAN
            bits[row] = 0
            status[row] = BAD_DECODING
            source_time[row] = 0
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
