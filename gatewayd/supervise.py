"""Keeps a flaky part running; a bug still ends the process, and systemd restarts it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from gatewayd.clock import Clock
from gatewayd.errors import TransientError

BACKOFF_FIRST_NS = 1_000_000_000
BACKOFF_MAX_NS = 60_000_000_000


async def keep_running(
    name: str,
    run: Callable[[], Awaitable[None]],
    *,
    clock: Clock,
    on_restart: Callable[[str, TransientError], None] = lambda name, error: None,
) -> None:
    """Run again after a TransientError, waiting longer each time up to a minute.

    Args:
        name: for messages.
        run: the body; returning ends the supervision.
        clock: for the waits.
        on_restart: told of each failure.
    """
    backoff_ns = BACKOFF_FIRST_NS
    while True:
        started_ns = clock.monotonic_ns()
        try:
            await run()
        except TransientError as error:
            on_restart(name, error)
            if clock.monotonic_ns() - started_ns > BACKOFF_MAX_NS:
                backoff_ns = BACKOFF_FIRST_NS
            await clock.sleep_until(clock.monotonic_ns() + backoff_ns)
            backoff_ns = min(backoff_ns * 2, BACKOFF_MAX_NS)
        else:
            return
