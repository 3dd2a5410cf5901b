"""Has a tag been silent for too long?"""

from __future__ import annotations

from kernels.columns import I8
from kernels.sample import put_fresh
from kernels.status import UNCERTAIN_NO_COMMUNICATION_LAST_USABLE
from kernels.table import ERROR_BOUNDS


def stale_check(
    ingest_mono: I8,
    confirmed_mono: I8,
    stale_after: I8,
    status: I8,
    stale: I8,
    fresh_mark: I8,
    fresh: I8,
    out: I8,
    tag_count: int,
    fresh_count: int,
    now_mono: int,
    pass_number: int,
    tag_size: int,
    fresh_size: int,
    out_size: int,
) -> int:
    """Mark every row silent for `stale_after`, put it on the fresh list, and say when to look again.

    `fresh` is (fresh_size,), `out` (out_size,), the other columns (tag_size,), of which the first `tag_count` are looked
    at. `stale_after` is ns, 0 = off; `ingest_mono` boot-clock ns, preset to the start time by the core for rows never
    received, and `confirmed_mono` when a subscription last vouched for the value: the later of the two counts. A
    confirmation does not end staleness, for the status that was lowered is not known any more; the driver reads anew
    after a silence. A row that turns stale and is not Bad becomes Uncertain_NoCommunicationLastUsableValue; its value
    stays.

    `out[0]` is a boot-clock time before which no row can turn stale, 0 = never. It stays true whatever samples arrive in
    between, because a sample or a confirmation only postpones: a row that is stale already counts as heard of now.

    Returns:
        The new `fresh_count`; ERROR_BOUNDS when a count is outside its buffer.
    """
    if tag_count < 0 or tag_count > tag_size or fresh_count < 0 or out_size < 1:
        return ERROR_BOUNDS
    deadline = 0
    for row in range(tag_count):
        after = stale_after[row]
        if after <= 0:
            continue
        heard = ingest_mono[row]
        if confirmed_mono[row] > heard:
            heard = confirmed_mono[row]
        due = heard + after
        if stale[row] == 0 and due <= now_mono:
            stale[row] = 1
            if status[row] >> 30 < 2:
                status[row] = UNCERTAIN_NO_COMMUNICATION_LAST_USABLE
            fresh_count = put_fresh(row, fresh_count, pass_number, fresh_mark, fresh, fresh_size)
            if fresh_count < 0:
                return ERROR_BOUNDS
        if stale[row] != 0:
            due = now_mono + after
        if deadline == 0 or due < deadline:
            deadline = due
    out[0] = deadline
    return fresh_count
