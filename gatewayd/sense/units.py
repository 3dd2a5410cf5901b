"""A breaker per unit id: of many units behind one connection, a dead one costs the others almost nothing."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Final, NamedTuple

from gatewayd.errors import DeviceError
from gatewayd.model.block import Codec, ReadPlan
from gatewayd.sense.breaker import Breaker

DEMOTED_SHARE_MAX: Final = 0.02  # of the connection's time that one demoted unit may take
FAILING_SHARE_MAX: Final = 0.2  # that one may take which fails and is not demoted yet
WITH_DRAIN: Final = 2  # what a silence takes, in the time until it is noticed: as long again the line is drained


class UnitChange(NamedTuple):
    """A unit's state has changed."""

    unit: int
    state: str  # "connected", "lost", "demoted"
    error: DeviceError | None


class Units:
    """The units behind one connection. With a single one there is nothing to tell apart: the device's breaker does it.

    A demoted unit is skipped. After `demote_for_s` it is probed by one request, the cheapest of its plans, behind the
    scan of the others and at most one unit per scan; all its plans are read again once that is answered. A unit whose
    silence takes long is left alone for longer than its settings say, so that it never takes more than
    `DEMOTED_SHARE_MAX` of a bus, or `FAILING_SHARE_MAX` until it is demoted: enough slack, in a schedule that forgives
    a scan that is late by less than its period, for the others to lose none.

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
        self._cheapest = {unit: min(of_unit, key=_cost) for unit, of_unit in by_unit.items()} if self.are_many else {}
        self._breakers = {unit: Breaker(demote_after, demote_for_ns) for unit in by_unit}
        self._rests_until_ns: dict[int, int] = {}  # of units that fail and are not demoted yet
        self._reported = dict.fromkeys(by_unit, "connected")

    @property
    def demoted(self) -> tuple[int, ...]:
        """Return the units left alone, in order."""
        return tuple(unit for unit in sorted(self._breakers) if self._breakers[unit].state == "demoted")

    @property
    def all_fail(self) -> bool:
        """Say whether no unit answered its last request: then it is not a unit that fails."""
        return all(breaker.state != "connected" for breaker in self._breakers.values())

    def split(self, plans: Sequence[ReadPlan], now_mono_ns: int) -> tuple[list[ReadPlan], list[ReadPlan]]:
        """Return the plans to run, and those of units that are left alone."""
        alone = set(self.demoted) | {unit for unit, until_ns in self._rests_until_ns.items() if until_ns > now_mono_ns}
        if not alone:
            return list(plans), []
        return [p for p in plans if p.unit not in alone], [p for p in plans if p.unit in alone]

    def due_probe(self, now_mono_ns: int) -> ReadPlan | None:
        """Return the one request that asks the demoted unit which has been due longest, None if none is due."""
        due = [unit for unit in self.demoted if self._breakers[unit].allows(now_mono_ns)]
        return self._cheapest[min(due, key=lambda unit: self._breakers[unit].open_until_ns)] if due else None

    def note(
        self,
        asked: Iterable[ReadPlan],
        failures: Mapping[int, DeviceError],
        took_ns: Mapping[int, int],
        now_mono_ns: int,
    ) -> None:
        """Count the units of these plans as answering or failing.

        Args:
            asked: the plans of a scan.
            failures: unit -> why it failed.
            took_ns: unit -> how long it took to know that.
            now_mono_ns: boot clock.
        """
        for unit in {plan.unit for plan in asked}:
            if unit not in failures:
                self._breakers[unit].succeed()
                self._rests_until_ns.pop(unit, None)
        for unit in failures.keys() & self._breakers.keys():  # one that is only written to has no scans to lose
            breaker = self._breakers[unit]
            breaker.fail(now_mono_ns)
            took = WITH_DRAIN * took_ns.get(unit, 0)
            self._rests_until_ns[unit] = now_mono_ns + round(took / FAILING_SHARE_MAX)
            self._lengthen(breaker, took, now_mono_ns)

    def note_probe(self, probe: ReadPlan, *, answered: bool, took_ns: int, now_mono_ns: int) -> None:
        """Count the answer to a probe, or keep the unit alone for another while."""
        breaker = self._breakers[probe.unit]
        if answered:
            breaker.succeed()
            self._rests_until_ns.pop(probe.unit, None)
        else:
            breaker.fail(now_mono_ns)
            self._lengthen(breaker, WITH_DRAIN * took_ns, now_mono_ns)

    def _lengthen(self, breaker: Breaker, took_ns: int, now_mono_ns: int) -> None:
        """Let a demoted unit rest in proportion to what it costs."""
        if breaker.open_until_ns:
            breaker.open_until_ns = max(breaker.open_until_ns, now_mono_ns + round(took_ns / DEMOTED_SHARE_MAX))

    def forgive(self) -> None:
        """Try every unit again: what failed was the line, or the device before them."""
        self._rests_until_ns.clear()
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
    """Return bits in the answer; 0 for the plans of other protocols, which have a single unit and nothing to choose."""
    count = plan.request[-1] if plan.request else 0
    if not isinstance(count, int):
        return 0
    return count if plan.codec is Codec.MODBUS_BITS else 16 * count
