"""Keeps the recent past of the tags that windows look back on, in the order in which it happened."""

from __future__ import annotations

from kernels.columns import F8, I8
from kernels.table import EVENT_TIME_MAX


def window_update(
    fresh_row: I8,
    tag_value: F8,
    tag_status: I8,
    tag_ingest_mono: I8,
    tag_event_time: I8,
    tag_sequence: I8,
    tag_window_first: I8,
    window_duration: I8,
    window_next: I8,
    window_ring_first: I8,
    window_ring_size: I8,
    window_head: I8,
    window_count: I8,
    window_full_since: I8,
    window_newest_mono: I8,
    window_sequence: I8,
    window_cut: I8,
    window_late: I8,
    window_lost: I8,
    ring_value: F8,
    ring_time: I8,
    fresh_count: int,
) -> int:
    """Put the sample of every fresh row into each window of its tag, in order of event time.

    Event time is the device's own, or that of its arrival where the device says none. What a ring holds after some
    samples does not depend on how they were cut into passes:

    - A sample newer than all enters; those older than the window, seen from it, leave.
    - A late one that is still within the window enters where it belongs; later than that, it is counted and left out.
      But if all that is kept has left the window by our clock, the device's was set back, and the window begins anew.
    - One with the time of another takes its place. It does not make the window younger.
    - When there is no room the oldest is left out and counted, and `cut` says up to when something is missing.

    A bad sample enters nothing and breaks the coverage: `full_since` becomes 0 and restarts with the next good one that
    is newer than all. So does a gap longer than the window. A row that is fresh without a new sample changes nothing else.

    Args:
        fresh_row: rows that changed in this pass.
        tag_value: contract units; NaN counts as bad.
        tag_status: OPC UA status codes; only severity Good enters.
        tag_ingest_mono: boot-clock ns, > 0.
        tag_event_time: ns; outside 1 to EVENT_TIME_MAX it counts as late.
        tag_sequence: samples taken so far.
        tag_window_first: first window of a row, -1 = none.
        window_duration: ns.
        window_next: next window of the same row, -1 = last.
        window_ring_first: first cell of the window's ring.
        window_ring_size: cells of the ring.
        window_head: place of the newest sample within the ring.
        window_count: samples held.
        window_full_since: event time; 0 = not covered.
        window_newest_mono: boot-clock ns at which the newest sample arrived.
        window_sequence: of the last sample taken from the tag.
        window_cut: event time of the newest sample left out for lack of room; 0 = none.
        window_late: samples left out as too late, ever.
        window_lost: samples left out for lack of room, ever.
        ring_value: contract units.
        ring_time: event time.
        fresh_count: rows on the fresh list.

    Returns:
        How many samples entered, over all windows.

    Reference: tests/core/expr/reference.py.
    """
    entered = 0
    for slot in range(fresh_count):
        row = fresh_row[slot]
        value = tag_value[row]
        time = tag_event_time[row]
        mono = tag_ingest_mono[row]
        is_good = tag_status[row] >> 30 == 0 and value == value
        window = tag_window_first[row]
        while window >= 0:
            at = window
            window = window_next[at]
            if not is_good:
                window_full_since[at] = 0
                continue
            if tag_sequence[row] == window_sequence[at]:
                continue
            window_sequence[at] = tag_sequence[row]
            if time < 1 or time > EVENT_TIME_MAX:
                window_late[at] += 1
                continue
            first = window_ring_first[at]
            size = window_ring_size[at]
            head = window_head[at]
            count = window_count[at]
            duration = window_duration[at]
            newest = 0
            if count > 0:
                newest = ring_time[first + head]
                if time < newest - duration:
                    if mono - window_newest_mono[at] <= duration:
                        window_late[at] += 1
                        continue
                    count = 0
                    newest = 0
            oldest = head - count + 1
            if oldest < 0:
                oldest += size
            if time > newest:
                while count > 0 and ring_time[first + oldest] < time - duration:
                    count -= 1
                    oldest += 1
                    if oldest == size:
                        oldest = 0
                window_newest_mono[at] = mono
            if count == 0:
                window_full_since[at] = 0
                window_cut[at] = 0

            # from the newest back to the first that is not newer than this one
            place = head
            newer = 0
            while newer < count and ring_time[first + place] > time:
                newer += 1
                place -= 1
                if place < 0:
                    place += size
            if newer < count and ring_time[first + place] == time:
                ring_value[first + place] = value
            elif newer == size:  # no room, and all that is kept is newer
                window_lost[at] += 1
                if time > window_cut[at]:
                    window_cut[at] = time
            else:
                if count == size:
                    window_lost[at] += 1
                    if ring_time[first + oldest] > window_cut[at]:
                        window_cut[at] = ring_time[first + oldest]
                    count -= 1
                place = head
                for _ in range(newer):  # the newer ones move up by a cell
                    above = place + 1
                    if above == size:
                        above = 0
                    ring_value[first + above] = ring_value[first + place]
                    ring_time[first + above] = ring_time[first + place]
                    place -= 1
                    if place < 0:
                        place += size
                place += 1
                if place == size:
                    place = 0
                ring_value[first + place] = value
                ring_time[first + place] = time
                head += 1
                if head == size:
                    head = 0
                count += 1
                entered += 1
            window_head[at] = head
            window_count[at] = count
            if window_full_since[at] == 0 and time > newest:
                window_full_since[at] = time
    return entered
