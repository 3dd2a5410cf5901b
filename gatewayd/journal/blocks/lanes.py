"""Payloads of equal length, one per cycle, as columns: what changed since the cycle before, byte under byte.

A payload is treated as lanes of 1, 2 or 4 big-endian bytes. All lanes are worked on at once inside long integers, 32 KiB
at a time: no gateway has numpy, a loop over samples would cost more than all the rest, and one step must not hold up
the loop for long.
"""

from __future__ import annotations

from array import array
from collections.abc import Callable, Sequence
from enum import IntEnum
from functools import cache
from typing import NamedTuple

CHUNK_BYTES = 32_768


class Form(IntEnum):
    """How payloads of equal length are laid out; numbers are for ever."""

    PLAIN = 0  # one after the other
    CHANGED = 1  # each XOR the one before
    CHANGED_COLUMNS = 2  # the same, byte under byte
    WORDS = 3  # differences of 16-bit lanes, small ones first whatever their sign, byte under byte
    LONGS = 4  # of 32-bit lanes
    LONG_HALVES = 5  # the same, halves under halves: of decimal floats the low half takes few values, not few bits


WIDTH = {Form.CHANGED: 1, Form.CHANGED_COLUMNS: 1, Form.WORDS: 2, Form.LONGS: 4, Form.LONG_HALVES: 4}


class _Masks(NamedTuple):
    """Of CHUNK_BYTES full of lanes: the lowest bit of each, the highest, and all but the highest."""

    low: int
    high: int
    rest: int


_Kernel = Callable[[int, int, int, _Masks], int]


def fits(form: Form, size: int) -> bool:
    """Say whether payloads of `size` bytes can take a form."""
    return form == Form.PLAIN or (size > 0 and size % WIDTH[form] == 0)


def laid_out(payloads: Sequence[bytes], form: Form) -> bytes:
    """Return payloads of equal length in a form that `fits` them; as many bytes as they have."""
    joined = b"".join(payloads)
    size = len(payloads[0])
    if form == Form.PLAIN or len(payloads) == 1:
        return joined
    after, before = joined[size:], joined[:-size]
    if form in (Form.CHANGED, Form.CHANGED_COLUMNS):
        changes = _by_chunk(_xor, after, before, 1)
    else:
        changes = _by_chunk(_differences, after, before, WIDTH[form])
    if form == Form.LONG_HALVES:
        changes = _half_columns(changes, size // 2)
    elif form != Form.CHANGED:
        changes = _columns(changes, size, WIDTH[form])
    return joined[:size] + changes


def payloads_of(content: bytes, size: int, form: Form) -> list[bytes]:
    """Return the payloads of `size` bytes that were laid out; `content` holds a whole number of them.

    It takes as much again as `content`, whatever that holds.
    """
    assert size > 0
    assert len(content) % size == 0
    if form != Form.PLAIN and len(content) > size:
        changes = content[size:]
        if form == Form.LONG_HALVES:
            changes = _half_rows(changes, size // 2)
        elif form != Form.CHANGED:
            changes = _rows(changes, size, WIDTH[form])
        return _summed(content[:size], changes, form)
    return [content[at : at + size] for at in range(0, len(content), size)]


# --- byte under byte ----------------------------------------------------------------------------------------------------


def _columns(rows: bytes, size: int, width: int) -> bytes:
    """Turn rows of `size` bytes: first the highest byte of every lane, a lane's cycles together, then the next byte."""
    return b"".join([rows[at::size] for byte in range(width) for at in range(byte, size, width)])


def _rows(columns: bytes, size: int, width: int) -> bytes:
    """Undo `_columns`."""
    rows = bytearray(len(columns))
    count, taken = len(columns) // size, 0
    for byte in range(width):
        for at in range(byte, size, width):
            rows[at::size] = columns[taken : taken + count]
            taken += count
    return bytes(rows)


def _half_columns(rows: bytes, halves: int) -> bytes:
    """As `_columns`, of two bytes at a time: the high half of every 32-bit lane, then the low ones."""
    columns, units = array("H"), array("H", rows)
    for half in (0, 1):
        for at in range(half, halves, 2):
            columns += units[at::halves]
    return columns.tobytes()


def _half_rows(columns: bytes, halves: int) -> bytes:
    """Undo `_half_columns`."""
    units = array("H", columns)
    rows = array("H", bytes(len(columns)))
    count, taken = len(units) // halves, 0
    for half in (0, 1):
        for at in range(half, halves, 2):
            rows[at::halves] = units[taken : taken + count]
            taken += count
    return rows.tobytes()


# --- all lanes of a chunk at once ---------------------------------------------------------------------------------------


@cache
def _masks(width: int) -> _Masks:
    lanes = CHUNK_BYTES // width
    low = int.from_bytes((1).to_bytes(width, "big") * lanes, "big")
    high = low << (8 * width - 1)
    return _Masks(low, high, (1 << 8 * CHUNK_BYTES) - 1 ^ high)


def _masks_for(size: int, width: int) -> _Masks:
    """Return the masks of the first `size` bytes of a chunk."""
    whole = _masks(width)
    spare = 8 * (CHUNK_BYTES - size)
    return whole if not spare else _Masks(*(mask >> spare for mask in whole))


def _by_chunk(kernel: _Kernel, after: bytes, before: bytes, width: int) -> bytes:
    done = []
    for at in range(0, len(after), CHUNK_BYTES):
        part = after[at : at + CHUNK_BYTES]
        masks = _masks_for(len(part), width)
        left, right = int.from_bytes(part, "big"), int.from_bytes(before[at : at + CHUNK_BYTES], "big")
        done.append(kernel(left, right, width, masks).to_bytes(len(part), "big"))
    return b"".join(done)


def _xor(after: int, before: int, _width: int, _masks: _Masks) -> int:
    return after ^ before


def _differences(after: int, before: int, width: int, masks: _Masks) -> int:
    """Return after - before of each lane, folded: 0, -1, 1, -2, ... become 0, 1, 2, 3, ...

    Borrows stay in their lane because its highest bit is set before and put right after (Warren, Hacker's Delight, 2-18).
    """
    _, high, rest = masks
    difference = ((after | high) - (before & rest)) ^ ((after ^ before) & high ^ high)
    sign = (difference & high) >> (8 * width - 1)
    return (difference & rest) << 1 ^ ((sign << 8 * width) - sign)


def _sums(folded: int, before: int, width: int, masks: _Masks) -> int:
    """Undo `_differences`."""
    low, high, rest = masks
    sign = folded & low
    difference = folded >> 1 & rest ^ ((sign << 8 * width) - sign)
    return (difference & rest) + (before & rest) ^ (difference ^ before) & high


def _summed(first: bytes, changes: bytes, form: Form) -> list[bytes]:
    kernel = _xor if form in (Form.CHANGED, Form.CHANGED_COLUMNS) else _sums
    payloads = [first]
    for at in range(0, len(changes), len(first)):
        payloads.append(_by_chunk(kernel, changes[at : at + len(first)], payloads[-1], WIDTH[form]))
    return payloads
