"""Past any OPC UA value, whatever it holds (Part 6, 5.2.2). Inlined into the kernels of notifications.

`kernels.opcua_value` reads what can be a number and skips strings; here is the way past everything: node ids, structures,
values within values. Each function takes a place in the inbox and returns the place after what it passed, or -1 when the
bytes end too early or mean nothing. Every turn of the loop takes a byte at least or one level off the nest, so the
payload bounds the work.

Each step is written out once, in one loop: functions called from many places would be inlined into each of them, one
within the other, and the compiler would need minutes.
"""

from __future__ import annotations

from kernels.columns import I8, U1
from kernels.opcua_value import width_of
from kernels.wire import time_of_ticks

NESTING_MAX = 8
# Cells of table nest: a frame of three per level (type, values left, what follows them), then what a DataValue said.
NEST_STATUS = 24
NEST_SOURCE_TIME = 25

_NODE_ID = 17
_EXPANDED_NODE_ID = 18
_QUALIFIED_NAME = 20
_LOCALIZED_TEXT = 21
_EXTENSION_OBJECT = 22
_DATA_VALUE = 23
_VARIANT = 24
_DIAGNOSTIC_INFO = 25

_HAS_VALUE = 0x01
_HAS_STATUS = 0x02
_HAS_SOURCE_TIME = 0x04
_HAS_SERVER_TIME = 0x08
_HAS_SOURCE_PICOSECONDS = 0x10
_HAS_SERVER_PICOSECONDS = 0x20
_RESERVED = 0xC0

_TYPE = 0x3F
_DIMENSIONS = 0x40
_ARRAY = 0x80


def read_uint32(inbox: U1, place: int) -> int:
    """Return four bytes as an unsigned integer. The caller has checked that they are there."""
    return inbox[place] + inbox[place + 1] * 0x100 + inbox[place + 2] * 0x10000 + inbox[place + 3] * 0x1000000


def rest_of(mask: int) -> int:
    """Return how many bytes follow the value of a DataValue."""
    size = 0
    if mask & _HAS_STATUS != 0:
        size += 4
    if mask & _HAS_SOURCE_TIME != 0:
        size += 8
    if mask & _HAS_SOURCE_PICOSECONDS != 0:
        size += 2
    if mask & _HAS_SERVER_TIME != 0:
        size += 8
    if mask & _HAS_SERVER_PICOSECONDS != 0:
        size += 2
    return size


def skip_variant(inbox: U1, place: int, end: int, nest: I8) -> int:
    """Skip a Variant (5.2.2.16) with the values inside it, at most NESTING_MAX deep.

    `nest` holds a frame per level: the type of its values, how many are left, and what follows the last of them, which is
    the rest of the DataValue that the Variant belongs to (bytes) plus 256 if dimensions come before it.
    """
    depth = 0
    rest = 0
    is_variant = 1  # what comes next is a Variant's encoding byte
    while True:
        if place >= end and is_variant != 0:
            return -1
        if is_variant != 0:
            is_variant = 0
            if depth >= NESTING_MAX:
                return -1
            encoding = inbox[place]
            place = place + 1
            kind = encoding & _TYPE
            left = 1
            if encoding & _ARRAY != 0:
                if kind == 0 or place > end - 4:
                    return -1
                left = read_uint32(inbox, place)
                place = place + 4
                if left == 0xFFFFFFFF:  # -1: a null array
                    left = 0
                if left > end - place:  # each takes a byte at least
                    return -1
            elif encoding & _DIMENSIONS != 0:
                return -1
            elif kind == 0:
                left = 0
            nest[depth * 3] = kind
            nest[depth * 3 + 1] = left
            nest[depth * 3 + 2] = rest + (encoding & _DIMENSIONS) * 4
            depth += 1
        frame = (depth - 1) * 3
        if nest[frame + 1] == 0:
            if nest[frame + 2] >= 256:
                if place > end - 4:
                    return -1
                left = read_uint32(inbox, place)
                place = place + 4
                if left != 0xFFFFFFFF:
                    if left * 4 > end - place:
                        return -1
                    place = place + left * 4
            place = place + (nest[frame + 2] & 0xFF)
            depth -= 1
            if place > end:
                return -1
            if depth == 0:
                return place
            continue
        kind = nest[frame]
        width = width_of(kind)
        if width > 0:
            if nest[frame + 1] * width > end - place:
                return -1
            place = place + nest[frame + 1] * width
            nest[frame + 1] = 0
            continue
        nest[frame + 1] -= 1
        if kind == _VARIANT:
            rest = 0
            is_variant = 1
            continue
        strings = 1  # what one value is made of: some bytes, strings, more bytes
        tail = 0
        if kind == _QUALIFIED_NAME:
            place = place + 2
        elif kind in (_LOCALIZED_TEXT, _DATA_VALUE, _NODE_ID, _EXPANDED_NODE_ID, _EXTENSION_OBJECT, _DIAGNOSTIC_INFO):
            if place >= end:
                return -1
            mask = inbox[place]
            if kind == _DATA_VALUE:
                if mask & _RESERVED != 0:
                    return -1
                place = place + 1
                rest = rest_of(mask)
                if mask & _HAS_VALUE != 0:
                    is_variant = 1
                    continue
                strings = 0
                tail = rest
            elif kind == _LOCALIZED_TEXT:
                if mask > 3:
                    return -1
                place = place + 1
                strings = (mask & 1) + (mask >> 1)
            elif kind == _DIAGNOSTIC_INFO:
                if mask & 0x80 != 0:
                    return -1
                place = place + 1 + 4 * ((mask & 1) + (mask >> 1 & 1) + (mask >> 2 & 1) + (mask >> 3 & 1))
                strings = mask >> 4 & 1
                tail = (mask >> 5 & 1) * 4
                nest[frame + 1] += mask >> 6 & 1  # one inside it follows
            else:
                strings = 0
                if mask & 0x3F == 0:
                    place = place + 2
                elif mask & 0x3F == 1:
                    place = place + 4
                elif mask & 0x3F == 2:
                    place = place + 7
                elif mask & 0x3F == 4:
                    place = place + 19
                elif mask & 0x3F in (3, 5):
                    place = place + 3
                    strings = 1
                else:
                    return -1
                strings += mask >> 7  # namespace URI
                tail = (mask >> 6 & 1) * 4  # server index
        is_structure = 0
        if kind == _EXTENSION_OBJECT:
            is_structure = 1
        while strings > 0 or tail > 0 or is_structure != 0:
            if strings > 0:
                if place > end - 4:
                    return -1
                left = read_uint32(inbox, place)
                place = place + 4
                if left != 0xFFFFFFFF:
                    if left > end - place:
                        return -1
                    place = place + left
                strings -= 1
            elif tail > 0:
                place = place + tail
                tail = 0
            else:  # the encoding byte of a structure, then its length and as many bytes
                if place >= end:
                    return -1
                if inbox[place] != 0:
                    strings = 1
                place = place + 1
                is_structure = 0
        if place > end:
            return -1


def skip_data_value(inbox: U1, place: int, end: int, nest: I8) -> int:
    """Skip a DataValue (5.2.2.17); leave its status and source time (wall ns, 0 = absent) in `nest`."""
    nest[NEST_STATUS] = 0
    nest[NEST_SOURCE_TIME] = 0
    if place >= end:
        return -1
    mask = inbox[place]
    place = place + 1
    if mask & _RESERVED != 0:
        return -1
    if mask & _HAS_VALUE != 0:
        if place >= end:
            return -1
        width = 0
        if inbox[place] <= _TYPE:
            width = width_of(inbox[place])
        if width > 0:  # the common case, told apart for its speed
            place = place + 1 + width
        else:
            place = skip_variant(inbox, place, end, nest)
            if place < 0:
                return -1
    if place > end - rest_of(mask):
        return -1
    after = place + rest_of(mask)
    if mask & _HAS_STATUS != 0:
        nest[NEST_STATUS] = read_uint32(inbox, place)
        place = place + 4
    if mask & _HAS_SOURCE_TIME != 0:
        low = read_uint32(inbox, place)
        high = read_uint32(inbox, place + 4)
        if high >= 0x80000000:
            high -= 0x100000000
        nest[NEST_SOURCE_TIME] = time_of_ticks(high * 0x100000000 + low)
    return after
