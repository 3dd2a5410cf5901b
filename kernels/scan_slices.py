"""The evidence of a full tile's records: where each slice stands, and which tags it holds samples of."""

from __future__ import annotations

from kernels.columns import I8, U1
from kernels.record_walk import TERM_BYTES, WALK_CELLS, walk
from kernels.table import ERROR_BOUNDS, ERROR_FORMAT


def scan_slices(
    inbox: U1,
    shape: I8,
    walk_cell: I8,
    record_evidence: I8,
    record_slice_start: I8,
    record_slice_end: I8,
    record_slice_sound: I8,
    term_letter: I8,
    term_start: I8,
    term_length: I8,
    term_count: I8,
    term_last: I8,
    place: U1,
    slot: I8,
    length: int,
    word: int,
    inbox_size: int,
    walk_size: int,
    record_size: int,
    term_size: int,
    place_size: int,
    slot_size: int,
) -> int:
    """Walk the `length` bytes of a MessagePack map from place in the tile to slice, places rising.

    A slice is sound if it has the shape that begins at `word`; table term then holds the tags in it. Of another one only the bounds are told. The
    caller has filled tables place and slot anew, as for `scan_leaves`, which has set all bounds to 0.

    Returns:
        How many terms there are; ERROR_FORMAT when it is no such map, or has a slice that no record cites, by
        `record_evidence` (0 = none); ERROR_BOUNDS when a size is outside its buffer.
    """
    if length < 1 or length > inbox_size or walk_size < WALK_CELLS or place_size < TERM_BYTES * term_size:
        return ERROR_BOUNDS
    if slot_size < 2 * term_size or slot_size & (slot_size - 1) != 0:
        return ERROR_BOUNDS
    items = 0
    at = 1
    if inbox[0] >= 0x80 and inbox[0] <= 0x8F:
        items = inbox[0] & 15
    elif inbox[0] == 0xDE and length >= 3:
        items = inbox[1] * 256 + inbox[2]
        at = 3
    else:
        return ERROR_FORMAT
    terms = 0
    before = -1
    for _ in range(items):
        if at > length - 4:
            return ERROR_FORMAT
        record = inbox[at] + 0
        at += 1
        if record == 0xCC:
            record = inbox[at] + 0
            at += 1
        elif record >= 0x80:
            return ERROR_FORMAT
        width = 1 << (inbox[at] & 3)
        if record <= before or record >= record_size or inbox[at] < 0xC4 or inbox[at] > 0xC6:
            return ERROR_FORMAT
        if record_evidence[record] == 0:
            return ERROR_FORMAT
        before = record
        at += 1
        if at > length - width:
            return ERROR_FORMAT
        bytes_ = 0
        for k in range(width):
            bytes_ = bytes_ << 8 | inbox[at + k]
        start = at + width
        at = start + bytes_
        if at > length:
            return ERROR_FORMAT
        record_slice_sound[record] = 0
        record_slice_start[record] = start
        record_slice_end[record] = at
        found = walk(
            inbox,
            start,
            at,
            shape,
            word,
            walk_cell,
            record,
            term_letter,
            term_start,
            term_length,
            term_count,
            term_last,
            place,
            slot,
            slot_size,
            terms,
            term_size,
        )
        if found >= 0:
            terms = found
            record_slice_sound[record] = 1
    if at != length:
        return ERROR_FORMAT
    return terms
