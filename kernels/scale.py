"""Raw values to contract units."""

from __future__ import annotations

from kernels.columns import F8, I8
from kernels.status import NAN
from kernels.table import ERROR_BOUNDS


def scale(
    fresh: I8,
    value: F8,
    status: I8,
    scale: F8,
    offset: F8,
    fresh_count: int,
    fresh_size: int,
    tag_size: int,
) -> int:
    """Replace the value of every fresh Good or Uncertain row by `value * scale + offset`, two roundings, no fused form.

    `fresh` (fresh_size,) holds rows; the other columns are (tag_size,). `scale` is contract units per raw unit, `offset`
    contract units; 1 and 0 leave a value as it is, its sign of zero too. Bad rows and NaN stay; a NaN that comes out is the
    canonical one.

    Returns:
        Rows scaled; ERROR_BOUNDS when a row is outside the tag table.
    """
    if fresh_count < 0 or fresh_count > fresh_size:
        return ERROR_BOUNDS
    scaled = 0
    for i in range(fresh_count):
        row = fresh[i]
        if row < 0 or row >= tag_size:
            return ERROR_BOUNDS
        raw = value[row]
        if status[row] >> 30 > 1 or raw != raw or (scale[row] == 1.0 and offset[row] == 0.0):
            continue
        result = raw * scale[row] + offset[row]
        if result != result:  # infinity * 0
            result = NAN
        value[row] = result
        scaled += 1
    return scaled
