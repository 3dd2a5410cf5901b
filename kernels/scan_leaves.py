"""The 256 records of a full tile, checked and sorted by what they are found by, in one pass."""

from __future__ import annotations

from kernels.columns import I8, U1
from kernels.record_walk import CAPTURES, EVIDENCE, ID, KIND, PERSONAL, SEQ, TERM_BYTES, WALK_CELLS, WALL, walk
from kernels.table import ERROR_BOUNDS, ERROR_FORMAT


def scan_leaves(
    inbox: U1,
    shape: I8,
    walk_cell: I8,
    record_start: I8,
    record_end: I8,
    record_sound: I8,
    record_kind: I8,
    record_id: I8,
    record_wall: I8,
    record_evidence: I8,
    record_personal: I8,
    record_slice_start: I8,
    record_slice_end: I8,
    term_letter: I8,
    term_start: I8,
    term_length: I8,
    term_count: I8,
    term_last: I8,
    place: U1,
    slot: I8,
    length: int,
    first_seq: int,
    word: int,
    prefix: int,
    inbox_size: int,
    walk_size: int,
    record_size: int,
    term_size: int,
    place_size: int,
    slot_size: int,
) -> int:
    """Walk the `length` bytes of a bundle of leaves, each after its own length as two big-endian bytes (C2SP tlog-tiles).

    A leaf is sound if it begins with the two bytes of `prefix`, the rest has the shape that begins at `word`, and it is
    the record of its place, counted from `first_seq`. Of one that is not, only the bounds are told. Table term holds
    what the records are found by: a letter; the bytes in the inbox, or a number (length -1); the places that have it. The
    caller has filled table place with zeros and table slot with -1: no more than a loop may be compiled to fill memory.

    Returns:
        How many terms there are; ERROR_FORMAT when the bundle does not hold as many leaves as table record has rows;
        ERROR_BOUNDS when a size is outside its buffer.
    """
    if length < 0 or length > inbox_size or walk_size < WALK_CELLS or place_size < TERM_BYTES * term_size:
        return ERROR_BOUNDS
    if slot_size < 2 * term_size or slot_size & (slot_size - 1) != 0:
        return ERROR_BOUNDS
    at = 0
    terms = 0
    for record in range(record_size):
        if at > length - 2:
            return ERROR_FORMAT
        start = at + 2
        at = start + inbox[at] * 256 + inbox[at + 1]
        if at > length:
            return ERROR_FORMAT
        record_start[record] = start
        record_end[record] = at
        record_sound[record] = 0
        record_slice_start[record] = 0
        record_slice_end[record] = 0
        if at < start + 3 or inbox[start] * 256 + inbox[start + 1] != prefix:
            continue
        found = walk(
            inbox,
            start + 2,
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
        if found < 0 or walk_cell[CAPTURES + SEQ] != first_seq + record:
            continue
        terms = found
        record_sound[record] = 1
        record_kind[record] = walk_cell[CAPTURES + KIND]
        record_id[record] = walk_cell[CAPTURES + ID]
        record_wall[record] = walk_cell[CAPTURES + WALL]
        record_evidence[record] = walk_cell[CAPTURES + EVIDENCE]
        record_personal[record] = walk_cell[CAPTURES + PERSONAL]
    if at != length:
        return ERROR_FORMAT
    return terms
