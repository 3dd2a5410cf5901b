"""Whole numbers of consecutive cycles, times above all, in as few bits as they differ by.

A series is a straight line and what is left beside it: a scan that is due each second makes of its clock a line, and
its jitter is what is left. Numbers are counted in their greatest common divisor, for a clock may tell whole microseconds.
What is left takes as many bits as the largest needs, or stands byte under byte where most are far smaller than that.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from itertools import accumulate, pairwise
from math import gcd

import zstandard
from msgspec import Struct

BITS_MAX = 66
WIDTH_MAX = 8  # bytes; what is wider is written in bits
SLOPE_UNIT_BITS = 16
SLOPE_MAX = 1 << 62


class Series(Struct, frozen=True, array_like=True):
    """How numbers stand in their bytes.

    Number i is start + step * (low + (i * slope >> 16) + w[i]), where w is what is written; if `is_steps` the sum of
    low + w from 1 to i stands in place of low + w[i].

    Args:
        count: numbers.
        bits: of each w, the highest first, back to back; 0 = all are 0.
        width: bytes of each w, low bytes of all first, then the next; 0 = `bits` counts.
    """

    count: int
    start: int = 0
    step: int = 1
    low: int = 0
    slope: int = 0
    is_steps: bool = False
    bits: int = 0
    width: int = 0

    @property
    def size(self) -> int:
        """Return how many bytes the numbers take."""
        return self.count * self.width if self.width else (self.count * self.bits + 7) // 8

    @property
    def is_sound(self) -> bool:
        """Say whether `size` bytes can be unpacked."""
        return self.count >= 0 and 0 <= self.bits <= BITS_MAX and 0 <= self.width <= WIDTH_MAX


def pack(numbers: Sequence[int]) -> tuple[Series, bytes]:
    """Return numbers as a series and its bytes, which are worth compressing if it has a `width`.

    Args:
        numbers: none differs from another by 2^64 or more.
    """
    if not numbers:
        return Series(0), b""
    start = numbers[0]
    step = gcd(*[number - start for number in numbers]) or 1
    counted = [(number - start) // step for number in numbers]
    slope, left, is_steps = _left_over(counted)
    low = min(left)
    written = [number - low for number in left]
    bits = max(written).bit_length()
    series = Series(len(numbers), start, step, low, slope, is_steps, bits)
    in_bits, width = _in_bits(written, bits), (bits + 7) // 8
    if 1 < width <= WIDTH_MAX:
        in_bytes = _in_bytes(written, width)
        if len(zstandard.compress(in_bytes, 1)) < len(in_bits):
            return Series(len(numbers), start, step, low, slope, is_steps, bits, width), in_bytes
    return series, in_bits


def unpack(series: Series, content: bytes) -> list[int]:
    """Return the numbers of a sound series; `content` has `series.size` bytes."""
    assert series.is_sound
    assert len(content) == series.size
    if not series.count:
        return []
    written = _from_bytes(content, series) if series.width else _from_bits(content, series)
    left = [series.low + number for number in written]
    if series.is_steps:
        left = list(accumulate([0, *left[1:]]))
    if series.slope:
        left = [number + (place * series.slope >> SLOPE_UNIT_BITS) for place, number in enumerate(left)]
    return [series.start + series.step * number for number in left]


def _left_over(counted: Sequence[int]) -> tuple[int, Sequence[int], bool]:
    """Return slope, what is left beside the line, and False; or 0, the steps from number to number, and True."""
    slope = (counted[-1] << SLOPE_UNIT_BITS) // max(1, len(counted) - 1)
    if not -SLOPE_MAX < slope < SLOPE_MAX:
        slope = 0
    beside = [number - (place * slope >> SLOPE_UNIT_BITS) for place, number in enumerate(counted)] if slope else counted
    steps = [after - before for before, after in pairwise(counted)]
    if steps and max(steps) - min(steps) < max(beside) - min(beside):
        return 0, [steps[0], *steps], True
    return slope, beside, False


def _in_bits(written: Sequence[int], bits: int) -> bytes:
    if not bits:
        return b""
    size, form = (len(written) * bits + 7) // 8, f"0{bits}b"
    digits = "".join([format(number, form) for number in written])
    return int(digits.ljust(8 * size, "0"), 2).to_bytes(size, "big")


def _from_bits(content: bytes, series: Series) -> list[int]:
    bits = series.bits
    if not bits:
        return [0] * series.count
    digits = format(int.from_bytes(content, "big"), f"0{8 * len(content)}b")
    return [int(digits[at : at + bits], 2) for at in range(0, series.count * bits, bits)]


def _in_bytes(written: Sequence[int], width: int) -> bytes:
    whole = struct.pack(f"<{len(written)}Q", *written)
    return b"".join([whole[byte::8] for byte in range(width)])


def _from_bytes(content: bytes, series: Series) -> list[int]:
    whole = bytearray(8 * series.count)
    for byte in range(series.width):
        whole[byte::8] = content[byte * series.count : (byte + 1) * series.count]
    return list(struct.unpack(f"<{series.count}Q", whole))
