"""Polls one device: a due scan class becomes requests, responses become blocks, a failure becomes lost blocks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from gatewayd.clock import Clock
from gatewayd.device.link import Deliver, Link, Note
from gatewayd.errors import DeviceError, DeviceTimeout, UnitsLost
from gatewayd.model.block import Block, Codec, ReadPlan
from gatewayd.model.record import DeviceEvent
from gatewayd.sense.breaker import Breaker
from gatewayd.sense.schedule import ScanSchedule
from gatewayd.sense.units import Units

_LOST = Codec.LOST  # Python 3.11 takes 0.2 us to look a member up


class Poller:
    """One task per device. It never raises a DeviceError: the device's own tags turn bad, nothing else does.

    Args:
        link: the device's only connection, shared with `act`.
        schedule: when which plans are due.
        breaker: when the device is left alone; each of several units behind it gets one with the same limits.
        deliver: takes blocks into the next cycle.
        note: takes the changes of the device's state into the journal.
        clock: wall and boot time.
    """

    def __init__(
        self, link: Link, schedule: ScanSchedule, breaker: Breaker, *, deliver: Deliver, note: Note, clock: Clock
    ) -> None:
        self.link = link
        link.note = note
        self.units = Units(link.plans, breaker.demote_after, breaker.demote_for_ns)
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
        self._last_block_ns = 0  # of the scan under way
        self._took_ns: dict[int, int] = {}  # unit -> how long its failure took, in the scan under way

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
                await self._scan_units(plans)
            else:  # a slow scan class comes due for the first time since the device was left alone
                self._deliver_lost_once(plans, self._error_status)

    async def _scan_units(self, plans: Sequence[ReadPlan]) -> None:
        """Scan the units that answer, then ask for one that did not."""
        asked, alone = self.units.split(plans, self._clock.monotonic_ns())
        self._deliver_lost_once(alone, DeviceTimeout.status)
        if asked:
            await self._scan(asked)
        probe = self.units.due_probe(self._clock.monotonic_ns())
        if probe is not None and self.breaker.state == "connected":
            await self._probe(probe)

    async def _scan(self, plans: Sequence[ReadPlan]) -> None:
        waiting = {plan.index: plan for plan in plans}
        started_ns = self._last_block_ns = self._clock.monotonic_ns()
        self._took_ns.clear()
        failures: Mapping[int, DeviceError] = {}
        try:
            await self.link.connect()
            await self.link.scan(plans, lambda blocks: self._pass_on(blocks, waiting))
        except UnitsLost as error:
            failures = error.failures
        except DeviceError as error:
            await self.link.close()
            self._lose(list(waiting.values()), error)
            return
        if self._nobody_answers(plans, failures):
            return
        self.scans += 1
        self.last_good_mono_ns = self._clock.monotonic_ns()
        self.scan_ns = self.last_good_mono_ns - started_ns
        self.breaker.succeed()
        self._report(0, "")
        self._report_units(failures)

    def _nobody_answers(self, plans: Sequence[ReadPlan], failures: Mapping[int, DeviceError]) -> bool:
        """Count the units that failed; if none is left, it is the device that failed, and its breaker that decides."""
        self.units.note(plans, failures, self._took_ns, self._clock.monotonic_ns())
        if not failures or (self.units.are_many and not self.units.all_fail):
            return False
        self.units.forgive()
        self._lose([], next(iter(failures.values())))
        return True

    async def _probe(self, plan: ReadPlan) -> None:
        """Ask for a unit that was left alone. Its silence is not the device's."""
        began_ns = self._clock.monotonic_ns()
        failures: Mapping[int, DeviceError] = {}
        try:
            await self.link.connect()
            await self.link.scan([plan], lambda blocks: self._pass_on(blocks, {}))
        except UnitsLost as error:
            failures = error.failures
        except DeviceError as error:
            await self.link.close()
            failures = {plan.unit: error}
        now_ns = self._clock.monotonic_ns()
        self.units.note_probe(plan, answered=not failures, took_ns=now_ns - began_ns, now_mono_ns=now_ns)
        self._report_units(failures)

    def _pass_on(self, blocks: Sequence[Block], waiting: dict[int, ReadPlan]) -> None:
        for block in blocks:
            if block.codec is _LOST:
                self._lost.add(block.plan)
                self._note_cost(waiting.pop(block.plan, None))
                continue
            plans = range(block.plan, block.plan + block.plans)
            for plan in plans:
                waiting.pop(plan, None)
            if self._lost:
                self._lost.difference_update(plans)
        if self.units.are_many:
            self._last_block_ns = self._clock.monotonic_ns()
        self._deliver(blocks)

    def _note_cost(self, plan: ReadPlan | None) -> None:
        """Remember how long it took to know that a unit does not answer."""
        if plan is not None:
            took_ns = self._clock.monotonic_ns() - self._last_block_ns
            self._took_ns[plan.unit] = max(took_ns, self._took_ns.get(plan.unit, 0))

    def _lose(self, plans: Sequence[ReadPlan], error: DeviceError) -> None:
        self._error_status = error.status
        self._deliver_lost(plans, error.status)
        self.last_error = error.message
        self.breaker.fail(self._clock.monotonic_ns())
        self._report(error.status, error.message)

    def _deliver_lost_once(self, plans: Sequence[ReadPlan], status: int) -> None:
        self._deliver_lost([plan for plan in plans if plan.index not in self._lost], status)

    def _deliver_lost(self, plans: Sequence[ReadPlan], status: int) -> None:
        wall_ns, mono_ns = self._clock.wall_ns(), self._clock.monotonic_ns()
        self._lost.update(plan.index for plan in plans)
        lost = [Block(plan.index, _LOST, wall_ns, wall_ns, mono_ns, status=status) for plan in plans]
        if lost:
            self._deliver(lost)

    def _report(self, status: int, detail: str) -> None:
        """Journal a change of state, not its repetition."""
        if self.breaker.state != self._reported:
            self._reported = self.breaker.state
            self._note(DeviceEvent(device=self.link.name, state=self._reported, status=status, detail=detail[:256]))

    def _report_units(self, failures: Mapping[int, DeviceError]) -> None:
        for unit, state, error in self.units.changes(failures) if self.units.are_many else ():
            status, detail = (error.status, error.message) if error else (0, "")
            self._note(
                DeviceEvent(device=f"{self.link.name}/unit {unit}", state=state, status=status, detail=detail[:256])
            )
