"""A breaker per unit id: of many units behind one connection, a dead one costs the others almost nothing."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Final, NamedTuple

from gatewayd.errors import DeviceError
from gatewayd.model.block import Codec, ReadPlan
from gatewayd.sense.breaker import Breaker

PROBE_SHARE_MAX: Final = 0.02  # of the connection's time that asking for one demoted unit may take


class UnitChange(NamedTuple):
    """A unit's state has changed."""

    unit: int
    state: str  # "connected", "lost", "demoted"
    error: DeviceError | None


class Units:
    """The units behind one connection. With a single one there is nothing to tell apart: the device's breaker does it.

    A demoted unit is skipped. After `demote_for_s` it is probed by one request, the cheapest of its plans, behind the
    scan of the others and at most one unit per scan; all its plans are read again once that is answered. A probe that
    times out is not repeated before 50 times what it took, so that it never takes more than `PROBE_SHARE_MAX` of a bus.

    Args:
        plans: of the device.
        demote_after: failures in a row before a unit is left alone.
        demote_for_ns: for how long.
    """

    def __init__(self, plans: Iterable[ReadPlan], demote_after: int, demote_for_ns: int) -> None:
        by_unit: dict[int, list[ReadPlan]] = {}
        for plan in plans:
            by_unit.setdefault(plan.unit, []).append(plan)
        self.are_many = len(by_unit) > 1
        self._cheapest = {unit: min(of_unit, key=_cost) for unit, of_unit in by_unit.items()}
        self._demote_for_ns = demote_for_ns
        self._breakers = {unit: Breaker(demote_after, demote_for_ns) for unit in by_unit}
        self._reported = dict.fromkeys(by_unit, "connected")

    @property
    def demoted(self) -> tuple[int, ...]:
        """Return the units left alone, in order."""
        return tuple(unit for unit in sorted(self._breakers) if self._breakers[unit].state == "demoted")

    @property
    def all_fail(self) -> bool:
        """Say whether no unit answered its last request: then it is not a unit that fails."""
        return all(breaker.state != "connected" for breaker in self._breakers.values())

    def split(self, plans: Sequence[ReadPlan]) -> tuple[list[ReadPlan], list[ReadPlan]]:
        """Return the plans to run and those of demoted units."""
        demoted = set(self.demoted)
        if not demoted:
            return list(plans), []
        return [p for p in plans if p.unit not in demoted], [p for p in plans if p.unit in demoted]

    def due_probe(self, now_mono_ns: int) -> ReadPlan | None:
        """Return the one request that asks the demoted unit which has been due longest, None if none is due."""
        due = [unit for unit in self.demoted if self._breakers[unit].allows(now_mono_ns)]
        return self._cheapest[min(due, key=lambda unit: self._breakers[unit].open_until_ns)] if due else None

    def note(self, asked: Iterable[ReadPlan], failures: Mapping[int, DeviceError], now_mono_ns: int) -> None:
        """Count the units of these plans as answering or failing."""
        for unit in {plan.unit for plan in asked}:
            if unit not in failures:
                self._breakers[unit].succeed()
        for unit, _ in sorted(failures.items()):
            if unit in self._breakers:  # a unit that is only written to has no scans to lose
                self._breakers[unit].fail(now_mono_ns)

    def note_probe(self, probe: ReadPlan, *, answered: bool, began_mono_ns: int, now_mono_ns: int) -> None:
        """Count the answer to a probe, or keep the unit alone for another while."""
        breaker = self._breakers[probe.unit]
        if answered:
            breaker.succeed()
        else:
            breaker.fail(now_mono_ns)
            rest_ns = round((now_mono_ns - began_mono_ns) / PROBE_SHARE_MAX)
            breaker.open_until_ns = now_mono_ns + max(self._demote_for_ns, rest_ns)

    def forgive(self) -> None:
        """Try every unit again: what failed was the line, or the device before them."""
        for breaker in self._breakers.values():
            breaker.forgive()

    def changes(self, failures: Mapping[int, DeviceError]) -> list[UnitChange]:
        """Return what has changed since the last call."""
        changed = []
        for unit, breaker in self._breakers.items():
            if breaker.state != self._reported[unit]:
                self._reported[unit] = breaker.state
                changed.append(UnitChange(unit, breaker.state, failures.get(unit)))
        return changed


def _cost(plan: ReadPlan) -> int:
    """Return bits in the answer."""
    count = plan.request[-1] if plan.request else 0
    assert isinstance(count, int), "only Modbus has units"
    return count if plan.codec is Codec.MODBUS_BITS else 16 * count
