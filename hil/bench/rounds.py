"""Interleaved rounds: each client once per round, so that a busy minute of the machine hits all of them alike."""

from __future__ import annotations

import statistics
import sys
from collections.abc import Callable, Iterator, Mapping

from hil.bench.processes import Run

Measure = Callable[[], Run]


class Rounds:
    """The runs of some clients, by name."""

    def __init__(self, runs: Mapping[str, list[Run]]) -> None:
        self._runs = runs

    def median(self, name: str, figure: str) -> float:
        """Median over the rounds of a property of `Run`."""
        return statistics.median(getattr(run, figure) for run in self._runs[name])

    def spread(self, name: str, figure: str) -> float:
        """Largest over smallest: how quiet the machine was."""
        found = [getattr(run, figure) for run in self._runs[name]]
        return max(found) / max(min(found), 1e-12)

    def ratio(self, name: str, other: str, figure: str) -> float:
        """Median of the ratios within a round."""
        pairs = zip(self._runs[name], self._runs[other], strict=True)
        return statistics.median(getattr(run, figure) / getattr(beside, figure) for run, beside in pairs)

    def server_cores(self, name: str) -> float:
        return statistics.median(run.server_cpu_s / run.wall_s for run in self._runs[name])


def run_rounds(clients: Mapping[str, Measure], rounds: int) -> Rounds:
    """Measure every client once per round, each round beginning with another one."""
    runs: dict[str, list[Run]] = {name: [] for name in clients}
    for number in range(rounds):
        say(f"round {number + 1} of {rounds}: {', '.join(name or 'ours' for name in clients)}")
        for name in _turned(list(clients), number):
            runs[name].append(clients[name]())
    return Rounds(runs)


def _turned(names: list[str], by: int) -> Iterator[str]:
    at = by % len(names)
    yield from names[at:]
    yield from names[:at]


def say(what: str) -> None:
    print(what, file=sys.stderr, flush=True)
