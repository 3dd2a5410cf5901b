"""When a scan class is due: on a fixed grid from the start, so that lateness never adds up."""

from __future__ import annotations

from collections.abc import Iterable

from gatewayd.model.block import ReadPlan


class ScanSchedule:
    """The read plans of one device, grouped by scan class.

    Args:
        periods_ns: scan class -> period.
        plans: the device's read plans.
        start_mono_ns: the origin of the grid.
    """

    def __init__(self, periods_ns: dict[str, int], plans: Iterable[ReadPlan], *, start_mono_ns: int) -> None:
        self._plans: dict[str, list[ReadPlan]] = {}
        for plan in plans:
            self._plans.setdefault(plan.scan_class, []).append(plan)
        self._periods_ns = {name: periods_ns[name] for name in self._plans}
        self._due_ns = dict.fromkeys(self._plans, start_mono_ns)
        self.overruns = 0  # scans that never happened because the one before took too long
        self.lateness_ns = 0  # of the scans taken last

    @property
    def next_due_ns(self) -> int:
        """Return when the next scan class is due; 0 if the device has none."""
        return min(self._due_ns.values(), default=0)

    def take_due(self, now_mono_ns: int) -> list[ReadPlan]:
        """Return the plans that are due and move their classes to the next point of the grid after now."""
        plans: list[ReadPlan] = []
        for name, due_ns in self._due_ns.items():
            if due_ns > now_mono_ns:
                continue
            plans += self._plans[name]
            missed = (now_mono_ns - due_ns) // self._periods_ns[name]
            self.overruns += missed
            self.lateness_ns = now_mono_ns - due_ns
            self._due_ns[name] = due_ns + (missed + 1) * self._periods_ns[name]
        return plans
