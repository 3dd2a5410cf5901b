"""What the detectors of a tag say together."""

from __future__ import annotations

from kernels.columns import F8, I8
from kernels.status import NAN
from kernels.table import ERROR_BOUNDS

_EWMA = 1
_CUSUM = 2


def verdict(
    fresh: I8,
    status: I8,
    ewma_row: I8,
    cusum_row: I8,
    ewma_alarm: I8,
    ewma_score: F8,
    cusum_alarm: I8,
    cusum_score: F8,
    anomaly: I8,
    anomaly_score: F8,
    fresh_count: int,
    fresh_size: int,
    tag_size: int,
    ewma_size: int,
    cusum_size: int,
) -> int:
    """Merge the alarms of every fresh row's detectors into `anomaly` and the greatest of their scores.

    `fresh` (fresh_size,) holds rows; the detectors' columns are (ewma_size,) and (cusum_size,), the others (tag_size,).
    `anomaly` is 1 for an EWMA alarm plus 2 for a CUSUM alarm; without an alarm -1 when any detector does not know, else
    0. A row that is not Good is -1 with score NaN. Detectors that do not know lend no score. Rows without a detector
    stay as they are.

    Returns:
        Rows with an anomaly; ERROR_BOUNDS when a row is outside its table.
    """
    if fresh_count < 0 or fresh_count > fresh_size:
        return ERROR_BOUNDS
    found = 0
    for i in range(fresh_count):
        row = fresh[i]
        if row < 0 or row >= tag_size:
            return ERROR_BOUNDS
        e = ewma_row[row]
        c = cusum_row[row]
        if e < 0 and c < 0:
            continue
        if e >= ewma_size or c >= cusum_size:
            return ERROR_BOUNDS
        kinds = 0
        unknown = 0
        best = NAN
        if e >= 0:
            if ewma_alarm[e] < 0:
                unknown = 1
            else:
                best = ewma_score[e]
                if ewma_alarm[e] != 0:
                    kinds = _EWMA
        if c >= 0:
            if cusum_alarm[c] < 0:
                unknown = 1
            else:
                if not best >= cusum_score[c]:
                    best = cusum_score[c]
                if cusum_alarm[c] != 0:
                    kinds = kinds | _CUSUM
        if status[row] >> 30 != 0:
            kinds = -1
            best = NAN
        elif kinds == 0 and unknown != 0:
            kinds = -1
        anomaly[row] = kinds
        anomaly_score[row] = best
        if kinds > 0:
            found += 1
    return found
