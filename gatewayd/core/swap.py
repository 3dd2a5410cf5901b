"""A new rule set for a running core: prepared beside it, then taken by reference between two cycles.

Tags, contracts, detectors and read plans stay as they are, so their columns are shared by both states, not copied. Expressions
of the same text keep their results, `for` clocks and windows; rules that did not change keep where they stand; points keep
what they were told. `prepare` does what takes long; `take_over` runs between two cycles.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple, cast

from msgspec.structs import replace

from gatewayd.core.decide.draft import Draft
from gatewayd.core.expr.opcodes import OPERATIONS
from gatewayd.core.expr.programme import Compiled, Programme
from gatewayd.core.kernels import BoundKernel, Kernels
from gatewayd.core.site import RulePlan, Site
from gatewayd.core.state import RuleState, State
from gatewayd.core.step import bind
from gatewayd.errors import ConfigError
from gatewayd.model.decision import Reason
from gatewayd.model.record import AlarmEvent, RuleEvent

_TABLES_OF_RULES = frozenset(  # all others are of the plant, and shared
    {"window", "ring", "program", "code", "register", "dependency", "due", "changed", "stack", "out"}
)
_COLUMNS_OF_RULES = frozenset({"tag.window_first", "tag.dependency_first", "tag.dependency_count"})
_LAYOUT = frozenset(  # where things stand in the new state; what else these tables hold is what was learned
    {"program.start", "program.length", "program.mark"}
    | {f"window.{name}" for name in ("tag", "duration", "next", "ring_first", "ring_size", "patience")}
)
_STATE_OF_RULES = frozenset(  # all other attributes of a state are taken as they are
    {"columns", "rules", "users", "lost", "dirty", "next_program_mono_ns", "next_decide_mono_ns"}
)


class Run(NamedTuple):
    """Rows of a table that moved together: `rows` from `old` on are `new` and following."""

    old: int
    new: int
    rows: int


@dataclass(slots=True)
class Swap:
    """A rule set ready to be taken.

    Args:
        running: the state it was prepared beside; only that one can be followed by it.
        old: the running one's site.
        site: the new one.
        state: its state, whose columns of tags are those of the running one.
        kernels: bound to it.
        rules: old rule -> new rule, of those that did not change.
        gone: old rules that were removed or changed.
        programs: runs of programs that are in both.
        registers: likewise of operations that remember.
        windows: likewise of windows.
        rings: likewise of ring cells.
        news: programs that are in both and that a new or changed rule looks at; they tell their result anew.
    """

    running: State
    old: Site
    site: Site
    state: State
    kernels: Mapping[str, BoundKernel]
    rules: dict[int, int]
    gone: tuple[int, ...]
    programs: tuple[Run, ...]
    registers: tuple[Run, ...]
    windows: tuple[Run, ...]
    rings: tuple[Run, ...]
    news: tuple[int, ...]


def prepare(running: State, old: Site, new: Site, kernels: Kernels) -> Swap:
    """Make the state of a new rule set beside the running one, which is not changed.

    Args:
        running: the state in use; cycles may go on meanwhile.
        old: what it was made for.
        new: compiled, of the same plant.
        kernels: compiled code.

    Raises:
        ConfigError: more than rules and guard lists differ.
    """
    _require_same_plant(old, new)
    state = State(new, kernels, now_mono_ns=1)
    for name in running.columns:
        if name.partition(".")[0] not in _TABLES_OF_RULES and name not in _COLUMNS_OF_RULES:
            state.columns[name] = running.columns[name]
    stays = _unchanged(old, new)
    for before, after in stays.items():
        state.rules[after] = running.rules[before]  # the very objects: cycles until then move both
    kept = set(stays.values())
    programs = _matched(_program_keys(old.programme), _program_keys(new.programme))
    windows = _matched(_window_keys(old.programme), _window_keys(new.programme))
    fresh = {program for plan in new.rules if plan.index not in kept for program in (plan.when, plan.clear, plan.to)}
    return Swap(
        running=running,
        old=old,
        site=new,
        state=state,
        kernels=bind(kernels, state),
        rules=stays,
        gone=tuple(plan.index for plan in old.rules if plan.index not in stays),
        programs=_runs((before, after, 1) for before, after in programs),
        registers=_runs(_registers(old.programme, new.programme, programs)),
        windows=_runs((before, after, 1) for before, after in windows),
        rings=_runs(_rings(old.programme, new.programme, windows)),
        news=tuple(after for _, after in programs if after in fresh),
    )


def record_ends(swap: Swap, draft: Draft) -> None:
    """Record that rules which are active and gone become inactive, as is due when the new rule set is taken."""
    for index in swap.gone:
        _end(swap.running.rules[index], swap.old.rules[index], draft)


def take_over(swap: Swap, *, now_mono_ns: int) -> None:
    """Give the new state what the running one knows by now; from here on the new one is in use.

    Between two cycles, once the records are durable. What a rule that is gone held is released by the next cycle.
    """
    running, state = swap.running, swap.state
    _copy(running, state, "program", swap.programs)
    _copy(running, state, "register", swap.registers)
    _copy(running, state, "window", swap.windows)
    _copy(running, state, "ring", swap.rings)
    result, deadline = state.column("program.result"), state.column("program.deadline")
    for program in swap.news:
        result[program], deadline[program] = float("nan"), 1
    for name, value in vars(running).items():
        if name not in _STATE_OF_RULES:
            setattr(state, name, value)
    state.next_program_mono_ns, state.next_decide_mono_ns = 1, now_mono_ns
    state.dirty = set(range(len(state.points)))
    state.lost = {swap.rules[rule] for rule in running.lost if rule in swap.rules}
    _renumber(state, swap)


def _require_same_plant(old: Site, new: Site) -> None:
    """Rules and guard lists may differ; nothing may by which columns, plans or points are numbered.

    A point that is read-only now cannot join, and one that we command cannot leave: both take a start.
    """
    same = {
        "devices or tag lists": old.plans == new.plans and [t.config for t in old.tags] == [t.config for t in new.tags],
        "assets, contracts or detectors": (old.tags, old.assets) == (new.tags, new.assets),
        "which points there are": [(p.name, p.row) for p in old.points] == [(p.name, p.row) for p in new.points],
    }
    for what, is_same in same.items():
        if not is_same:
            raise ConfigError(
                f"the new site changes {what}; only rules and guard lists can be taken while the gateway runs",
                remedy="Restart the daemon to take this site.",
            )


# --- what is the same in both -------------------------------------------------------------------------------------------


def _unchanged(old: Site, new: Site) -> dict[int, int]:
    """Return old rule -> new rule for those that say the same about the same."""
    known = {plan.id: plan for plan in old.rules}
    stays: dict[int, int] = {}
    for plan in new.rules:
        before = known.get(plan.id)
        if before is not None and _meaning(before, old) == _meaning(plan, new):
            stays[before.index] = plan.index
    return stays


def _meaning(plan: RulePlan, site: Site) -> tuple[object, ...]:
    programs = site.programme.programs
    texts = tuple(
        (programs[index].text, programs[index].rows) if index >= 0 else None
        for index in (plan.when, plan.clear, plan.to)
    )
    return (texts, replace(plan, index=0, when=0, clear=0, to=0, why=""))


def _program_keys(programme: Programme) -> list[object]:
    return [
        (each.text, each.kind, each.rows, tuple((term.text, term.row) for term in each.terms))
        for each in programme.programs
    ]


def _window_keys(programme: Programme) -> list[object]:
    return list(programme.windows)


def _matched(old: Sequence[object], new: Sequence[object]) -> list[tuple[int, int]]:
    """Return (old, new) of what is in both, in the order of the new."""
    known = {key: index for index, key in enumerate(old)}
    return [(known[key], index) for index, key in enumerate(new) if key in known]


def _registers(old: Programme, new: Programme, programs: Iterable[tuple[int, int]]) -> Iterable[tuple[int, int, int]]:
    for before, after in programs:
        kept = zip(_registers_of(old, old.programs[before]), _registers_of(new, new.programs[after]), strict=True)
        yield from ((register, moved, 1) for register, moved in kept)


def _registers_of(programme: Programme, program: Compiled) -> list[int]:
    cells = range(program.start, program.start + program.length)
    return [programme.args[cell] for cell in cells if OPERATIONS[programme.ops[cell]].argument == "register"]


def _rings(old: Programme, new: Programme, windows: Iterable[tuple[int, int]]) -> Iterable[tuple[int, int, int]]:
    old_first, new_first = _ring_firsts(old), _ring_firsts(new)
    for before, after in windows:
        yield old_first[before], new_first[after], old.windows[before].ring_size


def _ring_firsts(programme: Programme) -> list[int]:
    firsts, first = [], 0
    for window in programme.windows:
        firsts.append(first)
        first += window.ring_size
    return firsts


def _runs(moved: Iterable[tuple[int, int, int]]) -> tuple[Run, ...]:
    """Join what follows each other in both: a rule set of which little changed moves in a few copies."""
    runs: list[Run] = []
    for old, new, rows in moved:
        last = runs[-1] if runs else None
        if last is not None and (last.old + last.rows, last.new + last.rows) == (old, new):
            runs[-1] = Run(last.old, last.new, last.rows + rows)
        else:
            runs.append(Run(old, new, rows))
    return tuple(runs)


# --- taking over --------------------------------------------------------------------------------------------------------


def _copy(old: State, new: State, table: str, runs: Iterable[Run]) -> None:
    for name, target in new.columns.items():
        if not name.startswith(f"{table}.") or name in _LAYOUT:
            continue
        source = old.columns[name]
        for run in runs:
            target[run.new : run.new + run.rows] = source[run.old : run.old + run.rows]


def _end(rule: RuleState, plan: RulePlan, draft: Draft) -> None:
    if not rule.active:
        return
    previous = "active" if rule.known else "unknown"
    draft.record(RuleEvent(rule=plan.id, state="inactive", previous=previous))
    if plan.alarm is not None:
        draft.record(AlarmEvent(alarm=plan.id, state="normal", priority=plan.alarm.priority, text=plan.alarm.text))


def _renumber(state: State, swap: Swap) -> None:
    """Let claims and decisions name rules by their new numbers; what a rule that is gone held is released."""
    for point in state.points:
        for source, claim in list(point.claims.items()):
            if claim.rule < 0:
                continue
            if claim.rule in swap.rules:
                claim.rule = claim.order = swap.rules[claim.rule]
                continue
            del point.claims[source]
            point.because = Reason.RULE_CLEARED
        point.last_key = _renamed(point.last_key, swap)


def _renamed(key: tuple[object, ...], swap: Swap) -> tuple[object, ...]:
    """Return what was decided last, its holder by the new number; nothing if its rule is gone: it is decided anew."""
    if not key:
        return key
    slot, rule, override = cast("tuple[int, int, int]", key[0])
    if rule < 0:
        return key
    return ((slot, swap.rules[rule], override), *key[1:]) if rule in swap.rules else ()
