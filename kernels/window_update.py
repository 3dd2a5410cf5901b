"""Keeps the recent past of the tags that windows look back on."""

from __future__ import annotations

from kernels.columns import F8, I8


def window_update(
    fresh_row: I8,
    tag_value: F8,
    tag_status: I8,
    tag_ingest_mono: I8,
    tag_window_first: I8,
    window_duration: I8,
    window_next: I8,
    window_ring_first: I8,
    window_ring_size: I8,
    window_head: I8,
    window_count: I8,
    window_full_since: I8,
    ring_value: F8,
    ring_time: I8,
    fresh_count: int,
) -> int:
    """Push the sample of every fresh row into each window of its tag.

    A good sample enters with its boot-clock ingest time; samples older than the window leave. When the ring is full the
    oldest leaves early, so a window is exact only while its samples fit `ring_size`. A bad sample enters nothing and
    breaks the window's coverage: `full_since` becomes 0 and restarts with the next good one. So does a gap longer than
    the window. A row that is fresh without a new sample overwrites its newest one, so running twice changes nothing.

    Args:
        fresh_row: rows that changed in this pass.
        tag_value: contract units; NaN counts as bad.
        tag_status: OPC UA status codes; only severity Good enters.
        tag_ingest_mono: boot-clock ns, > 0.
        tag_window_first: first window of a row, -1 = none.
        window_duration: ns.
        window_next: next window of the same row, -1 = last.
        window_ring_first: first cell of the window's ring.
        window_ring_size: cells of the ring.
        window_head: place of the newest sample within the ring.
        window_count: samples held.
        window_full_since: boot-clock ns; 0 = not covered.
        ring_value: contract units.
        ring_time: boot-clock ns.
        fresh_count: rows on the fresh list.

    Returns:
        How many samples entered, over all windows.

    Reference: tests/kernels/test_window_update.py.
    """
    entered = 0
    for slot in range(fresh_count):
        row = fresh_row[slot]
        value = tag_value[row]
        time = tag_ingest_mono[row]
        is_good = tag_status[row] >> 30 == 0 and value == value
        window = tag_window_first[row]
        while window >= 0:
            if not is_good:
                window_full_since[window] = 0
                window = window_next[window]
                continue
            first = window_ring_first[window]
            size = window_ring_size[window]
            head = window_head[window]
            count = window_count[window]
            newest = ring_time[first + head] if count > 0 else time - 1
            if time < newest:  # the boot clock never goes back; a ring out of order would never be right again
                window = window_next[window]
                continue
            if time > newest:
                limit = time - window_duration[window]
                oldest = head - count + 1
                if oldest < 0:
                    oldest += size
                while count > 0 and ring_time[first + oldest] < limit:
                    count -= 1
                    oldest += 1
                    if oldest == size:
                        oldest = 0
                if count == 0:
                    window_full_since[window] = 0
                if count < size:
                    count += 1
                head += 1
                if head == size:
                    head = 0
                window_head[window] = head
                window_count[window] = count
                entered += 1
            ring_value[first + head] = value
            ring_time[first + head] = time
            if window_full_since[window] == 0:
                window_full_since[window] = time
            window = window_next[window]
    return entered
