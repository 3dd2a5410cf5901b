"""When a program that reads the wall clock must look again. Inlined into the interpreter."""

from __future__ import annotations

SECOND = 1_000_000_000
DAY = 86_400 * SECOND
LOOK_AGAIN = 60 * SECOND  # a wall clock that was set is noticed within this


def sooner(deadline: int, other: int) -> int:
    """Return the earlier of two deadlines, `other` being one; 0 = none."""
    return other if deadline == 0 or other < deadline else deadline


def ns_until(edge: int, day_time: int) -> int:
    """Return how long it is to a time of the day that is not now; all in ns, the times since midnight."""
    return edge - day_time if day_time < edge else edge - day_time + DAY


def time_of_day_wait(day_time: int, watched: int) -> int:
    """Return after how many ns a time of the day, compared at `watched` ns, may compare otherwise.

    `watched` is -1 where it is not compared with a number: then it is looked at every second. At `watched` itself it is
    looked at once more, because it may be compared with `>`.
    """
    wait = LOOK_AGAIN
    if watched < 0:
        wait = SECOND - day_time % SECOND
    elif day_time == watched:
        wait = 1
    else:
        following = watched - day_time if day_time < watched else DAY - day_time
        if following < wait:
            wait = following
    return wait


def within_wait(day_time: int, begin: int, finish: int) -> int:
    """Return after how many ns a time between two of the day may begin or end."""
    wait = LOOK_AGAIN
    following = ns_until(begin, day_time)
    if following < wait:
        wait = following
    following = ns_until(finish, day_time)
    if following < wait:
        wait = following
    return wait
