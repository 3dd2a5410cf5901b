"""Sorting in place, for medians and quantiles. Inlined into the kernels that calibrate."""

from __future__ import annotations

from kernels.columns import F8


def sort(order: F8, n: int) -> None:
    """Sort the first `n` cells, none of them NaN, by heapsort: no recursion, no memory, n log n at the worst."""
    start = n // 2
    end = n
    while end > 1:
        if start > 0:
            start -= 1
            moved = order[start]
        else:
            end -= 1
            moved = order[end]
            order[end] = order[0]
        at = start
        child = 2 * at + 1
        while child < end:
            if child + 1 < end and order[child + 1] > order[child]:
                child += 1
            if order[child] <= moved:
                break
            order[at] = order[child]
            at = child
            child = 2 * at + 1
        order[at] = moved
