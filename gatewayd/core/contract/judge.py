"""Is the sample what its contract promises? Scaling, range, age, rate, stuck, stale: each kernel lowers the quality."""

from __future__ import annotations

from collections.abc import Mapping

from gatewayd.core.kernels import BoundKernel
from gatewayd.core.state import State


def judge(
    state: State,
    kernels: Mapping[str, BoundKernel],
    fresh: int,
    *,
    tag_count: int,
    now_wall_ns: int,
    now_mono_ns: int,
) -> int:
    """Judge the fresh rows, then find the rows that have gone stale; return the new length of the fresh list."""
    if fresh:
        kernels["scale"](fresh)
        kernels["judge"](state.checks, fresh, now_wall_ns)
    if now_mono_ns >= state.next_stale_mono_ns:
        fresh = kernels["stale_check"](tag_count, fresh, now_mono_ns, state.pass_number)
        state.next_stale_mono_ns = state.column("out.value")[0]
    return fresh
