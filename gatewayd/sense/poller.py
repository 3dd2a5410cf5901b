"""Polls one device: a due scan class becomes requests, responses become blocks, a failure becomes lost blocks."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from gatewayd.clock import Clock
from gatewayd.device.link import Link
from gatewayd.errors import DeviceError
from gatewayd.model.block import Block, Codec, ReadPlan
from gatewayd.model.record import DeviceEvent
from gatewayd.sense.breaker import Breaker
from gatewayd.sense.schedule import ScanSchedule

Deliver = Callable[[Block], None]
Note = Callable[[DeviceEvent], None]


class Poller:
    """One task per device. It never raises a DeviceError: the device's own tags turn bad, nothing else does.

    Args:
        link: the device's only connection, shared with `act`.
        schedule: when which plans are due.
        breaker: when the device is left alone.
        deliver: takes each block into the next cycle.
        note: takes the changes of the device's state into the journal.
        clock: wall and boot time.
    """

    def __init__(
        self, link: Link, schedule: ScanSchedule, breaker: Breaker, *, deliver: Deliver, note: Note, clock: Clock
    ) -> None:
        self.link = link
        self.protocol = ""
        self.schedule = schedule
        self.breaker = breaker
        self.scans = 0
        self.last_error = ""
        self.last_good_mono_ns = 0
        self.scan_ns = 0  # how long the last scan took
        self._deliver = deliver
        self._note = note
        self._clock = clock
        self._reported = ""
        self._error_status = 0
        self._lost: set[int] = set()  # plans whose tags have been told

    @property
    def state(self) -> str:
        """Return `waiting`, `connected`, `lost` or `demoted`."""
        return self._reported or "waiting"

    async def run(self) -> None:
        """Poll for ever; cancelled by the task group."""
        while self.schedule.next_due_ns:
            await self._clock.sleep_until(self.schedule.next_due_ns)
            plans = self.schedule.take_due(self._clock.monotonic_ns())
            if self.breaker.allows(self._clock.monotonic_ns()):
                await self._scan(plans)
            else:  # a slow scan class comes due for the first time since the device was left alone
                self._deliver_lost([plan for plan in plans if plan.index not in self._lost], self._error_status)

    async def _scan(self, plans: Sequence[ReadPlan]) -> None:
        waiting = {plan.index: plan for plan in plans}
        started_ns = self._clock.monotonic_ns()

        def deliver(block: Block) -> None:
            waiting.pop(block.plan, None)
            self._lost.discard(block.plan)
            self._deliver(block)

        try:
            await self.link.connect()
            await self.link.scan(plans, deliver)
        except DeviceError as error:
            await self.link.close()
            self._lose(list(waiting.values()), error)
            return
        self.scans += 1
        self.last_good_mono_ns = self._clock.monotonic_ns()
        self.scan_ns = self.last_good_mono_ns - started_ns
        self.breaker.succeed()
        self._report(0, "")

    def _lose(self, plans: Sequence[ReadPlan], error: DeviceError) -> None:
        self._error_status = error.status
        self._deliver_lost(plans, error.status)
        self.last_error = error.message
        self.breaker.fail(self._clock.monotonic_ns())
        self._report(error.status, error.message)

    def _deliver_lost(self, plans: Sequence[ReadPlan], status: int) -> None:
        wall_ns, mono_ns = self._clock.wall_ns(), self._clock.monotonic_ns()
        for plan in plans:
            self._lost.add(plan.index)
            self._deliver(
                Block(
                    plan=plan.index,
                    codec=Codec.LOST,
                    request_time_ns=wall_ns,
                    response_time_ns=wall_ns,
                    response_mono_ns=mono_ns,
                    status=status,
                )
            )

    def _report(self, status: int, detail: str) -> None:
        """Journal a change of state, not its repetition."""
        if self.breaker.state != self._reported:
            self._reported = self.breaker.state
            self._note(DeviceEvent(device=self.link.name, state=self._reported, status=status, detail=detail[:256]))
