"""Writes in doubt after a restart: their decision is durable, their outcome is not. Read back first; never re-send."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Sequence

import msgspec

from gatewayd.act.writer import Act
from gatewayd.core.site import Site
from gatewayd.model.decision import Command, OutcomeResult, WriteOutcome


async def resolve_in_doubt(act: Act, site: Site, in_doubt: Sequence[tuple[str, Command]]) -> None:
    """Find out what became of each write and journal it. Ends for certain: a device that stays away leaves `unknown`.

    Args:
        act: the writers, whose links may still have to connect.
        site: today's configuration; a command's rows are those of yesterday's, so points are found by name.
        in_doubt: (point name, command) pairs from the journal.
    """
    async with asyncio.TaskGroup() as tasks:  # together: a device that stays away costs its time once, not per write
        for name, command in in_doubt:
            tasks.create_task(_resolve(act, site, name, command), name=f"doubt.{command.decision_id}")


async def _resolve(act: Act, site: Site, name: str, command: Command) -> None:
    index = site.point_of.get(name)
    if index is None:
        await _give_up(act, command, f"{name} is no longer a writable point")
        return
    plan = site.points[index]
    current = msgspec.structs.replace(command, point=index, row=plan.row, readback_row=plan.readback_row)
    writer = act.writer_of(plan.row)
    outcome = await writer.read_back(current, sent_ns=0, doubt="in doubt after a restart")
    await writer.settle(current, outcome, recovered=True)


async def _give_up(act: Act, command: Command, detail: str) -> None:
    if not act.writers:
        return
    outcome = WriteOutcome(
        decision_id=command.decision_id,
        point=-1,
        result=OutcomeResult.UNKNOWN,
        value=command.value,
        read_back=math.nan,
        sent_ns=0,
        answered_ns=0,
        detail=detail,
    )
    await next(iter(act.writers.values())).settle(command, outcome, recovered=True)
