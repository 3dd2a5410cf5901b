"""What a window says of the samples it holds, and when it will say something else. Inlined into the interpreter."""

from __future__ import annotations

import math

from kernels.columns import F8, I8
from kernels.opcodes import AVG, COUNT, INTEGRAL, RATE, WINDOW_MAX, WINDOW_MIN
from kernels.status import NAN as UNKNOWN


def window_value(
    op: int, count: int, oldest: int, head: int, first: int, size: int, ring_value: F8, ring_time: I8
) -> float:
    """Return what a window's function makes of `count` samples from cell `first + oldest` on, oldest first.

    `head` is the place of the newest in the ring, which has `size` cells. Sums run from the oldest to the newest: the
    order is part of their bits. A deviation takes two walks; what it is the root of is the mean of the squares.
    """
    value = UNKNOWN
    if op == COUNT:
        value = float(count)
    elif op == RATE:
        if count >= 2:  # no two have the same time
            elapsed = ring_time[first + head] - ring_time[first + oldest]
            value = (ring_value[first + head] - ring_value[first + oldest]) / (elapsed / 1e9)
    elif op == WINDOW_MIN or op == WINDOW_MAX:  # noqa: SIM109 # no tuple in a kernel
        for place in range(count):
            sample = ring_value[first + oldest]
            if place == 0 or (sample < value if op == WINDOW_MIN else sample > value):
                value = sample
            oldest += 1
            if oldest == size:
                oldest = 0
    elif op == INTEGRAL:
        if count >= 2:
            value = 0.0
            for _ in range(count - 1):
                following = oldest + 1
                if following == size:
                    following = 0
                elapsed = ring_time[first + following] - ring_time[first + oldest]
                height = ring_value[first + oldest] * 0.5 + ring_value[first + following] * 0.5
                value += height * (elapsed / 1e9)
                oldest = following
    elif count >= 1:
        begin = oldest
        total = 0.0
        for _ in range(count):
            total += ring_value[first + oldest]
            oldest += 1
            if oldest == size:
                oldest = 0
        mean = total / count
        if op == AVG:
            value = mean
        elif count >= 2:
            oldest = begin
            total = 0.0
            for _ in range(count):
                deviation = ring_value[first + oldest] - mean
                total += deviation * deviation
                oldest += 1
                if oldest == size:
                    oldest = 0
            value = math.sqrt(total / count)
    return value
