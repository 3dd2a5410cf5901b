"""When a scan class is due: on a fixed grid from the start, so that lateness never adds up."""

from __future__ import annotations

from collections.abc import Iterable

from gatewayd.model.block import ReadPlan

PHASE_STEP_NS_MAX = 5_000_000  # a site of few devices starts at once; one of many fills its period


class ScanSchedule:
    """The read plans of one device, grouped by scan class.

    Args:
        periods_ns: scan class -> period.
        plans: the device's read plans.
        start_mono_ns: the origin of the grid.
        place: of this device among the gateway's, which shifts its grid: see `phase_ns`.
        places: how many devices there are.
    """

    def __init__(
        self,
        periods_ns: dict[str, int],
        plans: Iterable[ReadPlan],
        *,
        start_mono_ns: int,
        place: int = 0,
        places: int = 1,
    ) -> None:
        self._plans: dict[str, list[ReadPlan]] = {}
        for plan in plans:
            self._plans.setdefault(plan.scan_class, []).append(plan)
        self._periods_ns = {name: periods_ns[name] for name in self._plans}
        self._due_ns = {
            name: start_mono_ns + phase_ns(place, places, period_ns) for name, period_ns in self._periods_ns.items()
        }
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


def phase_ns(place: int, places: int, period_ns: int) -> int:
    """Return how far the grid of one device is shifted, so that a thousand devices are not all due at one instant.

    The same at every start: evenly over the period, but never further apart than `PHASE_STEP_NS_MAX`.

    Args:
        place: of the device, 0 to `places` - 1.
        places: how many devices share the gateway.
        period_ns: of the scan class.
    """
    assert 0 <= place < places
    return place * min(period_ns // places, PHASE_STEP_NS_MAX)
