"""Modbus registers (function codes 3 and 4) to columns."""

from __future__ import annotations

from kernels.columns import F8, I8, U1
from kernels.sample import put_fresh, put_times
from kernels.special_register import decode_special
from kernels.status import BAD_DECODING, NAN
from kernels.table import ERROR_BOUNDS, RESPONSE_CELLS
from kernels.wire import (
    ABCD,
    DCBA,
    put_float32,
    put_float64,
    put_integer,
    put_unsigned,
    read_integer,
    read_register,
)

# As gatewayd.model.block.WireType.
_BOOL = 1
_INT16 = 2
_UINT16 = 3
_INT32 = 4
_UINT32 = 5
_UINT64 = 7
_FLOAT32 = 8
_FLOAT64 = 9


def decode_modbus_registers(
    response: I8,
    inbox: U1,
    plan_row: I8,
    plan_offset: I8,
    plan_type: I8,
    plan_order: I8,
    plan_bit: I8,
    plan_special: I8,
    plan_not_a_value: I8,
    plan_scale_offset: I8,
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
    responses: int,
    fresh_count: int,
    now: int,
    pass_number: int,
    response_size: int,
    inbox_size: int,
    plan_size: int,
    tag_size: int,
    fresh_size: int,
) -> int:
    """Decode the first `responses` of table response, in order, and put their rows on the fresh list.

    A response is six cells: first row in table plan, rows, bytes of payload, its base, and when it arrived (wall and
    boot-clock ns). The payloads stand back to back in the inbox, each the data of one or more PDUs without their byte
    counts, big-endian 16-bit registers; `plan_*[first : first + rows]` say where each tag stands in it: `plan_offset`
    less the base, in bytes. With `plan_bit` 0 to 15 the tag is that bit (0 =
    least significant) of one register; with -1 the whole value; an int8 or uint8 has 0 or 8, where its byte begins. Raw
    values: `scale` turns them into contract units. `bits` gets the integer as it is (uint64 as the int64 of the same
    bits), 0 for floats. Modbus carries no time of its own: `source_time` and
    `event_time` are when the response arrived, on the wall and on the boot clock.

    `plan_special` 1: the raw bits `plan_not_a_value` (as a signed number of the value's width) mean that the device has
    no value, as NaN does in a float: Bad_SensorFailure and NaN. 2: the int16 register at `plan_scale_offset` less the base, in the same
    byte order, holds the power of ten (-10 to 10) that the number is multiplied by; `bits` stays as it was. 3: both.

    A row that does not fit the payload, whose type, order or bit is none, whose BCD has a digit above 9 or whose power
    is out of range gets Bad_DecodingError and NaN. So does a STRING, which is no kernel's work.

    Returns:
        The new `fresh_count`; ERROR_BOUNDS when a range or row is outside its buffer, what comes before it being taken.

    Source: Modbus Application Protocol V1.1b3, 4.2, 6.3, 6.4; IEEE 754.
    """
    if responses < 0 or responses > response_size // RESPONSE_CELLS or fresh_count < 0:
        return ERROR_BOUNDS
    at = 0
    for answer in range(responses):
        cell = RESPONSE_CELLS * answer
        first = response[cell]
        count = response[cell + 1]
        size = response[cell + 2]
        base = response[cell + 3]
        time = response[cell + 4]
        mono = response[cell + 5]
        if size < 0 or size > inbox_size - at:
            return ERROR_BOUNDS
        if count < 0 or count > plan_size or first < 0 or first > plan_size - count:
            return ERROR_BOUNDS
        for i in range(first, first + count):
            row = plan_row[i]
            if row < 0 or row >= tag_size:
                return ERROR_BOUNDS
            offset = plan_offset[i] - base
            kind = plan_type[i]
            order = plan_order[i]
            bit = plan_bit[i]
            special = plan_special[i]
            is_ordered = order >= ABCD and order <= DCBA
            if (
                special == 0
                and bit == -1
                and kind in (_INT16, _UINT16)
                and is_ordered
                and offset >= 0
                and offset <= size - 2
            ):
                number = read_register(inbox, at + offset, order)  # nearly every tag of nearly every device
                if kind == _UINT16:
                    number = number & 0xFFFF
                put_integer(number, row, value, bits)
                status[row] = 0
            elif is_ordered and (special != 0 or kind > _FLOAT64):
                bits[row] = 0
                code = decode_special(
                    inbox,
                    at,
                    size,
                    offset,
                    kind,
                    order,
                    bit,
                    special,
                    plan_not_a_value[i],
                    plan_scale_offset[i] - base,
                    row,
                    value,
                    bits,
                    value_bits,
                )
                status[row] = code
                if code != 0:
                    value[row] = NAN
                    bits[row] = 0
            else:
                width = 0
                if bit >= -1 and bit <= 15 and is_ordered and kind >= _BOOL and kind <= _FLOAT64:
                    width = 8
                    if bit >= 0 or kind <= _UINT16:
                        width = 2
                    elif kind in (_INT32, _UINT32, _FLOAT32):
                        width = 4
                bits[row] = 0
                if width == 0 or offset < 0 or offset > size - width:
                    value[row] = NAN
                    status[row] = BAD_DECODING
                else:
                    number = read_integer(inbox, at + offset, width, order)
                    status[row] = 0
                    if bit >= 0:
                        put_integer((number >> bit) & 1, row, value, bits)
                    elif kind == _FLOAT32:
                        put_float32(number, row, value, value_bits)
                    elif kind == _FLOAT64:
                        put_float64(number, row, value, value_bits)
                    elif kind == _UINT64:
                        put_unsigned(number, row, value, bits)
                    else:
                        if kind == _UINT16:
                            number = number & 0xFFFF
                        elif kind == _UINT32:
                            number = number & 0xFFFFFFFF
                        elif kind == _BOOL and number != 0:
                            number = 1
                        put_integer(number, row, value, bits)
            put_times(
                row,
                time,
                mono,
                time,
                mono,
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
        at += size
    return fresh_count
