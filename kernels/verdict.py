"""What the detectors of a tag say together."""

from __future__ import annotations

from kernels.columns import F8, I8
from kernels.status import NAN
from kernels.table import ERROR_BOUNDS

_KIND_MAX = 62  # the sign of a mask is for "unknown"


def verdict(
    fresh: I8,
    status: I8,
    detector_first: I8,
    detector_count: I8,
    kind: I8,
    score: F8,
    alarm: I8,
    anomaly: I8,
    anomaly_score: F8,
    fresh_count: int,
    fresh_size: int,
    tag_size: int,
    detector_size: int,
) -> int:
    """Merge the alarms of every fresh row's detectors into `anomaly` and the greatest of their scores.

    `fresh` (fresh_size,) holds rows; `kind`, `score` and `alarm` are (detector_size,), the others (tag_size,). A row's
    detectors are [detector_first, + detector_count). `anomaly` is the sum of 2^kind over the detectors that alarm;
    without an alarm -1 when any does not know, else 0. A row that is not Good is -1 with score NaN. Detectors that do not
    know lend no score. Rows without a detector stay as they are.

    Returns:
        Rows with an anomaly; ERROR_BOUNDS when a row is outside its table, or a kind outside the mask.
    """
    if fresh_count < 0 or fresh_count > fresh_size:
        return ERROR_BOUNDS
    found = 0
    for i in range(fresh_count):
        row = fresh[i]
        if row < 0 or row >= tag_size:
            return ERROR_BOUNDS
        count = detector_count[row]
        if count == 0:
            continue
        first = detector_first[row]
        if first < 0 or count < 0 or count > detector_size or first > detector_size - count:
            return ERROR_BOUNDS
        kinds = 0
        unknown = 0
        best = NAN
        for d in range(first, first + count):
            if alarm[d] < 0:
                unknown = 1
                continue
            if not best >= score[d]:
                best = score[d]
            if alarm[d] != 0:
                if kind[d] < 0 or kind[d] > _KIND_MAX:
                    return ERROR_BOUNDS
                kinds = kinds | (1 << kind[d])
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
