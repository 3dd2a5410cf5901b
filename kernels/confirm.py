"""A subscription lives, and says by its silence that nothing has changed."""

from __future__ import annotations

from kernels.columns import I8
from kernels.table import ERROR_BOUNDS


def confirm(
    plan_row: I8,
    confirmed_mono: I8,
    first: int,
    count: int,
    response_mono: int,
    plan_size: int,
    tag_size: int,
) -> int:
    """Note for every row of a plan that its value was vouched for at `response_mono` (boot-clock ns).

    No value, status or sample time changes: a confirmed value is as old as it was. It only keeps a row that is not stale
    yet from becoming so. A confirmation never goes back in time.

    Returns:
        `count`; ERROR_BOUNDS when a range or row is outside its buffer, the rows before it being confirmed.
    """
    if count < 0 or count > plan_size or first < 0 or first > plan_size - count:
        return ERROR_BOUNDS
    for i in range(first, first + count):
        row = plan_row[i]
        if row < 0 or row >= tag_size:
            return ERROR_BOUNDS
        if confirmed_mono[row] < response_mono:
            confirmed_mono[row] = response_mono
    return count
