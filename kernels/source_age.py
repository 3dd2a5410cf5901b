"""Is a value too old by its own device's clock? Inlined into `judge`."""

from __future__ import annotations

from kernels.status import UNCERTAIN_LAST_USABLE


def age_status(source_time: int, age_max: int, now: int) -> int:
    """Return the status code of a Good value: 0, or Uncertain_LastUsableValue if it is older than allowed.

    Times are wall ns; `age_max` ns, 0 = off. An absent source time (0) is as old as 1970: an unknown age is not a young
    one. A source time in the future passes.
    """
    code = 0
    if age_max > 0 and source_time < now - age_max:  # not now - source_time: a device may send any source time
        code = UNCERTAIN_LAST_USABLE
    return code
