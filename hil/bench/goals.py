"""What a bench is to reach, and what it reached: ratios of figures of one run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from msgspec import Struct


class Goal(Struct, frozen=True):
    """A bound on a ratio of two figures, or on one figure if `per` is empty."""

    what: str
    figure: str
    per: str
    bound: float
    is_floor: bool  # else a ceiling


def floor(what: str, figure: str, per: str, bound: float) -> Goal:
    """The ratio is to be at least this."""
    return Goal(what, figure, per, bound, is_floor=True)


def ceiling(what: str, figure: str, per: str, bound: float) -> Goal:
    """The ratio is to be at most this."""
    return Goal(what, figure, per, bound, is_floor=False)


def judged(goals: Sequence[Goal], figures: Mapping[str, float]) -> list[dict[str, Any]]:
    """Return one row per goal; `reached` is None when a figure was not measured."""
    rows: list[dict[str, Any]] = []
    for goal in goals:
        above, below = figures.get(goal.figure), figures.get(goal.per, 0.0) if goal.per else 1.0
        reached = above / below if above is not None and below else None
        is_met = None if reached is None else (reached >= goal.bound if goal.is_floor else reached <= goal.bound)
        rows.append(
            {
                "goal": goal.what,
                "figures": [name for name in (goal.figure, goal.per) if name],
                "bound": goal.bound,
                "at_least": goal.is_floor,
                "reached": reached,
                "met": is_met,
            }
        )
    return rows


def print_goals(rows: Sequence[Mapping[str, Any]]) -> None:
    """Print a line per goal: what, bound, reached, and whether it is met."""
    width = max((len(row["goal"]) for row in rows), default=0)
    print("\n  goals")
    for row in rows:
        sign = ">=" if row["at_least"] else "<="
        reached = "not measured" if row["reached"] is None else f"{row['reached']:.4g}"
        verdict = {None: "", True: "met", False: "MISSED"}[row["met"]]
        print(f"  {row['goal']:<{width}}  {sign} {row['bound']:<8.4g}  {reached:>12}  {verdict}")
