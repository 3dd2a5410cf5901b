"""Hold-off and hold: an alarm is not told again at once, and does not end at once."""

from __future__ import annotations

from kernels.columns import F8, I8
from kernels.table import ERROR_BOUNDS


def hold(
    fresh: I8,
    ingest_mono: I8,
    detector_first: I8,
    detector_count: I8,
    hold_off: I8,
    hold_for: I8,
    score: F8,
    alarm: I8,
    passed_time: I8,
    passed_score: F8,
    fresh_count: int,
    fresh_size: int,
    tag_size: int,
    detector_size: int,
) -> int:
    """Mute alarms that follow another too soon, then let those that passed last for a while.

    `fresh` (fresh_size,) holds rows; `ingest_mono` (boot-clock ns), `detector_first`, `detector_count` are (tag_size,), the
    rest (detector_size,). `hold_off` and `hold_for` are ns, 0 = off. An alarm within `hold_off` of the last that passed
    itself passes only with a higher score, else it is 0. Where there is no alarm, the last that passed goes on, with its
    score, until `hold_for` is over. What a detector does not know, -1, stays so. `passed_time` is 0 before the first.

    Returns:
        Alarms that were muted or went on; ERROR_BOUNDS when a row is outside its table.
    """
    if fresh_count < 0 or fresh_count > fresh_size:
        return ERROR_BOUNDS
    changed = 0
    for i in range(fresh_count):
        row = fresh[i]
        if row < 0 or row >= tag_size:
            return ERROR_BOUNDS
        many = detector_count[row]
        if many == 0:
            continue
        first = detector_first[row]
        if first < 0 or many < 0 or many > detector_size or first > detector_size - many:
            return ERROR_BOUNDS
        now = ingest_mono[row]
        for d in range(first, first + many):
            if (hold_off[d] <= 0 and hold_for[d] <= 0) or alarm[d] < 0:
                continue
            since = -1
            if passed_time[d] > 0 and now >= passed_time[d]:
                since = now - passed_time[d]
            if alarm[d] > 0:
                if since >= 0 and since < hold_off[d] and not score[d] > passed_score[d]:
                    alarm[d] = 0
                    changed += 1
                else:
                    passed_time[d] = now
                    passed_score[d] = score[d]
                    since = 0
                    continue
            if since >= 0 and since < hold_for[d]:
                alarm[d] = 1
                score[d] = passed_score[d]
                changed += 1
    return changed
