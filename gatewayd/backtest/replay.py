"""Runs a site over what the flight recorder kept: the inputs of the daemon's own cycles, cycle by cycle.

With the site that the daemon ran with, every cycle is repeated as it was, outcomes of writes and requests of people
included. With other rules over the same tags, deadlines of the new rules get cycles of their own, and writes are assumed to
succeed: the recorded outcomes answer other writes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

import msgspec

from gatewayd.backtest.engine import WRITE_NS, assumed
from gatewayd.backtest.tally import Tally
from gatewayd.core.decide.draft import Draft
from gatewayd.core.decide.lifecycle import await_outcomes, restore
from gatewayd.core.kernels import BoundKernel, Kernels
from gatewayd.core.site import Site
from gatewayd.core.state import State
from gatewayd.core.step import bind, step
from gatewayd.errors import ConfigError
from gatewayd.model.decision import RUN_SHIFT, Command, Inputs, WriteOutcome


class Replay:
    """One pass over recorded cycles.

    Args:
        site: compiled with its read plans.
        kernels: compiled code.
        tally: takes what the cycles did.

    Attributes:
        runs: of the daemon that were met.
        missing: cycles that are not kept between two that are.
        is_whole: the first run was met from its first cycle.
    """

    def __init__(self, site: Site, kernels: Kernels, tally: Tally) -> None:
        self.site = site
        self.tally = tally
        self.samples = self.runs = self.missing = 0
        self.first_ns = self.now_ns = 0
        self.is_whole = True
        self._code = kernels
        self._rows = [len(plan.rows) for plan in site.plans]
        self._state: State | None = None
        self._kernels: dict[str, BoundKernel] = {}
        self._last = Inputs(0, 0, 0)
        self._boots = 0
        self._next_mono_ns = 0
        self._saves: dict[str, bytes] = {}
        self._in_flight: dict[int, Command] = {}
        self._under_way: list[tuple[int, Command]] = []  # of writes that are assumed to succeed
        self._is_same = True

    def feed(self, cycles: Iterable[Inputs], *, is_same: bool, until_ns: int = 0) -> bool:
        """Repeat cycles; say whether `until_ns` (0 = none) is still ahead.

        Args:
            cycles: in order.
            is_same: they were run with this very site.
            until_ns: wall ns.
        """
        for inputs in cycles:
            if 0 < until_ns < inputs.wall_ns:
                return False
            self._is_same = is_same
            state = self._enter(inputs)
            if not is_same:
                self._advance(state, inputs.mono_ns)
                inputs = msgspec.structs.replace(inputs, outcomes=self._outcomes(inputs.mono_ns, inputs.wall_ns))
            self._run(state, inputs)
        return True

    def finish(self) -> None:
        """Close the tally."""
        self.tally.end(self.now_ns)

    def notes(self) -> tuple[str, ...]:
        """Return what a reader of the figures must know."""
        notes = []
        if not self.is_whole:
            notes.append("the first run is not kept from its start: windows, detectors and rules began empty")
        if self.missing:
            notes.append(f"{self.missing} cycles between those that were kept are missing")
        return tuple(notes)

    def _enter(self, inputs: Inputs) -> State:
        """Return the state to run a cycle with: that of the cycle before, or what a start makes of the last run."""
        number, before = inputs.cycle >> RUN_SHIFT, self._last.cycle >> RUN_SHIFT
        place = inputs.cycle - (number << RUN_SHIFT)
        if self._state is not None and number == before:
            self.missing += max(0, inputs.cycle - self._last.cycle - 1)
            return self._state
        if self._state is None:
            self.is_whole = place == 1
            self.first_ns = inputs.wall_ns
        else:
            self.missing += place - 1
        self.runs += 1
        self._boots += inputs.mono_ns < self._last.mono_ns
        self._state = self._started(inputs)
        return self._state

    def _started(self, inputs: Inputs) -> State:
        state = State(self.site, self._code, now_mono_ns=inputs.mono_ns)
        state.boot_id = self._boots.to_bytes(16, "big")
        if self._state is not None:
            state.next_decision_id = self._state.next_decision_id
        draft = Draft(inputs.cycle - 1, inputs.wall_ns, inputs.mono_ns)
        restore(state, self.site, draft, self._saves)
        if self._is_same:
            doubtful = sorted(self._in_flight.values(), key=lambda command: command.decision_id)
            names = [(self.site.points[command.point].name, command.decision_id) for command in doubtful]
            await_outcomes(state, self.site, names)
        self._keep(draft.saves)
        self._next_mono_ns = 0
        self._under_way.clear()
        self._kernels = bind(self._code, state)
        return state

    def _advance(self, state: State, until_mono_ns: int) -> None:
        """Give every deadline before a time its cycle."""
        while 0 < (due_ns := self._due_ns()) < until_mono_ns:
            last = self._last
            mono_ns = max(due_ns, last.mono_ns)
            wall_ns = last.wall_ns + mono_ns - last.mono_ns
            self._run(state, Inputs(last.cycle, wall_ns, mono_ns, outcomes=self._outcomes(mono_ns, wall_ns)))
            if self._due_ns() == due_ns:
                return

    def _due_ns(self) -> int:
        times = [self._next_mono_ns, *(due_ns for due_ns, _ in self._under_way[:1])]
        return min((time for time in times if time > 0), default=0)

    def _outcomes(self, mono_ns: int, wall_ns: int) -> tuple[WriteOutcome, ...]:
        due = [command for due_ns, command in self._under_way if due_ns <= mono_ns]
        del self._under_way[: len(due)]
        return tuple(assumed(command, wall_ns) for command in due)

    def _run(self, state: State, inputs: Inputs) -> None:
        effects = step(state, self.site, self._kernels, inputs)
        for outcome in inputs.outcomes:
            self._in_flight.pop(outcome.point, None)
        for command in effects.commands:
            self._in_flight[command.point] = command
        if not self._is_same:
            self._under_way += ((inputs.mono_ns + WRITE_NS, command) for command in effects.commands)
        self._keep(effects.saves)
        self._next_mono_ns = effects.next_mono_ns
        self._last, self.now_ns = inputs, inputs.wall_ns
        self.samples += sum(sum(self._rows[block.plan : block.plan + block.plans]) for block in inputs.blocks)
        self.tally.take(inputs.wall_ns, effects, state)

    def _keep(self, saves: dict[str, bytes]) -> None:
        self._saves = {key: value for key, value in (self._saves | saves).items() if value}


def require_same_plans(recorded: Site, site: Site, *, place: str) -> None:
    """Refuse a site that reads other tags, or in another order, than the one of the recording.

    Raises:
        ConfigError: rules may differ, devices and tag lists may not.
    """
    if recorded.plans != site.plans or [tag.name for tag in recorded.tags] != [tag.name for tag in site.tags]:
        raise ConfigError(
            f"{place} was recorded with other devices or tags than this site has",
            remedy="Change rules, points and contracts only; or try the site on a CSV recording.",
        )


Sites = Callable[[bytes], Site]


class Compatible:
    """Says of recorded sites, by digest, whether they are this one, and refuses those that cannot be.

    Args:
        site: to run.
        recorded: returns the site of a digest.
        place: of the recording, for messages.
    """

    def __init__(self, site: Site, recorded: Sites, *, place: str) -> None:
        self._site = site
        self._recorded = recorded
        self._place = place
        self._sound: set[bytes] = {site.digests.site}

    def is_same(self, digest: bytes) -> bool:
        """Say whether a digest is this site's.

        Raises:
            ConfigError: it is of a site with other tags.
        """
        if digest not in self._sound:
            require_same_plans(self._recorded(digest), self._site, place=self._place)
            self._sound.add(digest)
        return digest == self._site.digests.site
