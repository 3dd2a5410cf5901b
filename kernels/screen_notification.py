"""Is a notification whole, and what does it say of itself? Run by the driver before it hands the bytes on."""

from __future__ import annotations

from kernels.columns import I8, U1
from kernels.opcua_skip import NEST_STATUS, read_uint32, skip_data_value
from kernels.table import ERROR_BOUNDS, ERROR_FORMAT, NEST_CELLS

_HANDLE = 4
# InfoType = DataValue with the overflow bit (Part 4, table 173): the item's queue was full and a value is lost.
_OVERFLOW_MASK = 0x0480
_GONE = 2  # cell of `out`
_OVERFLOWS = 1


def screen_notification(
    inbox: U1,
    nest: I8,
    out: I8,
    size: int,
    handles: int,
    wanted: int,
    inbox_size: int,
    nest_size: int,
    out_size: int,
) -> int:
    """Walk at most `wanted` monitored-item notifications, ClientHandle and DataValue each, at the start of the inbox.

    Returns how many were whole; the first that is not, because it is cut off or malformed, ends the walk, and the caller
    knows which by whether more bytes exist. `out[0]` is the place after the last whole one, `out[1]` how many of them say
    that a value was lost before (overflow bit), `out[2]` how many say that their node is gone (Bad_NodeIdUnknown or
    Bad_NodeIdInvalid).

    Returns:
        The count; ERROR_FORMAT when a handle is not below `handles`; ERROR_BOUNDS when a size is outside its buffer.

    Source: OPC UA Part 4, 7.25.2.
    """
    if size < 0 or size > inbox_size or handles < 0 or nest_size < NEST_CELLS or out_size < 3:
        return ERROR_BOUNDS
    place = 0
    found = 0
    overflows = 0
    gone = 0
    while found < wanted and place <= size - _HANDLE:
        handle = read_uint32(inbox, place)
        if handle >= handles:
            return ERROR_FORMAT
        after = skip_data_value(inbox, place + _HANDLE, size, nest)
        if after < 0:
            break
        place = after
        found += 1
        status = nest[NEST_STATUS]
        if status & _OVERFLOW_MASK == _OVERFLOW_MASK:
            overflows += 1
        if status >> 16 in (0x8033, 0x8034):
            gone += 1
    out[0] = place
    out[_OVERFLOWS] = overflows
    out[_GONE] = gone
    return found
