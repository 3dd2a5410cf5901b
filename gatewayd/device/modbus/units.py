"""Scans of many units behind one TCP connection: a unit that fails costs the others a timeout and a reconnect."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence

from gatewayd.clock import Clock
from gatewayd.device.link import Deliver
from gatewayd.device.modbus.connection import Connection
from gatewayd.device.modbus.outcome import Query, UnitScan
from gatewayd.errors import DeviceError, DeviceRefused, UnitsLost
from gatewayd.model.block import Block, Codec


class UnitsScan:
    """One scan, over as many connections as its failing units end.

    A unit is given up for this scan when the gateway says that it does not reach it (exceptions 10 and 11), or when its
    answer was waited for while the connection ended. The units left are asked on a new connection.

    Args:
        device: name, for messages.
        connect: opens the next connection.
        deliver: takes the blocks, a LOST one for each plan of a unit that was given up.
        clock: for the times of LOST blocks.
    """

    def __init__(
        self, device: str, connect: Callable[[], Awaitable[Connection]], deliver: Deliver, clock: Clock
    ) -> None:
        self._device = device
        self._connect = connect
        self._deliver = deliver
        self._clock = clock
        self._waiting: dict[int, Query] = {}  # by plan
        self._failures: dict[int, DeviceError] = {}
        self._error: DeviceError | None = None  # that ended the connection

    async def run(self, connection: Connection, queries: Sequence[Query]) -> None:
        """Scan.

        Raises:
            UnitsLost: these units failed; the link is open.
            DeviceError: the device failed, whatever the unit.
        """
        self._waiting = {query.plan: query for query in queries}
        connections_left = 1 + len({query.unit_id for query in queries})
        while self._waiting:
            await self._read_all(connection)
            if self._error is None:
                continue
            unit = connection.blamed_unit
            connections_left -= 1
            if unit is None or not connections_left:
                raise self._error
            self._give_up(unit, self._error)
            if self._waiting:
                connection = await self._connect()
        if self._failures:
            raise UnitsLost(self._device, self._failures)

    async def _read_all(self, connection: Connection) -> None:
        """Ask every unit left, at once as far as `max_outstanding` goes."""
        self._error = None
        by_unit: dict[int, list[Query]] = {}
        for query in self._waiting.values():
            by_unit.setdefault(query.unit_id, []).append(query)
        async with asyncio.TaskGroup() as group:
            for unit, part in by_unit.items():
                group.create_task(self._read(connection, part), name=f"{self._device}.unit{unit}")

    async def _read(self, connection: Connection, queries: Sequence[Query]) -> None:
        try:
            await connection.read(queries, self._take, UnitScan)
        except DeviceRefused as error:  # by the gateway, which does not reach the unit
            self._give_up(queries[0].unit_id, error)
        except DeviceError as error:
            self._error = error

    def _take(self, blocks: Sequence[Block]) -> None:
        for block in blocks:
            for plan in range(block.plan, block.plan + block.plans):
                del self._waiting[plan]
        self._deliver(blocks)

    def _give_up(self, unit: int, failure: DeviceError) -> None:
        self._failures[unit] = failure
        now_ns, mono_ns = self._clock.wall_ns(), self._clock.monotonic_ns()
        for query in [query for query in self._waiting.values() if query.unit_id == unit]:
            del self._waiting[query.plan]
            self._deliver([Block(query.plan, Codec.LOST, now_ns, now_ns, mono_ns, b"", failure.status)])
