"""Everything that changes: one buffer per table, laid out as the kernels' table says, and the few objects of decide.

Nobody else keeps a view across an await. Columns are typed memoryviews: `d` float64, `f` float32, `q` int64, `i` int32, `B` bytes.
"""

from __future__ import annotations

import math
from array import array
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import accumulate
from typing import Any, NamedTuple

from gatewayd.core.assets import asset_columns, asset_rows, verdict_columns
from gatewayd.core.detectors import CATALOGUE, detector_columns, watched_runs
from gatewayd.core.expr.lowering import lower
from gatewayd.core.kernels import FORMATS, Kernels
from gatewayd.core.site import NS, STALE_MIN_NS, STALE_SCANS, Site, TagPlan
from gatewayd.core.texts import Texts
from gatewayd.model import quality
from gatewayd.model.block import PlanRow, WireType
from gatewayd.model.decision import Mode, Reason
from gatewayd.model.device import OpcuaTag
from gatewayd.model.record import Actor

INBOX_BYTES = 1 << 20  # the largest payload a block may carry
RESPONSES_PER_CALL = 256  # of registers, decoded in one call of a kernel

# As in `kernels.table`.
RESPONSE_CELLS = 6
CHECK_RANGE = 1
CHECK_AGE = 2
CHECK_RATE = 4
CHECK_STUCK = 8
SLOTS = 16
_SIZE = {kind: array(code).itemsize for kind, code in FORMATS.items()}


@dataclass(slots=True)
class Claim:
    """A value somebody holds in one slot of a point's priority array."""

    slot: int
    order: int  # within a slot the lowest wins: rules in file order
    value: float
    reason: Reason
    since_mono_ns: int
    expires_mono_ns: int  # 0 = as long as its cause lasts
    rule: int = -1
    override_id: int = 0
    actor: Actor | None = None
    text: str = ""


@dataclass(slots=True)
class RuleState:
    """Where a rule stands. Unknown is its own outcome: `active` keeps what was before."""

    active: bool = False
    known: bool = True
    unknown_since_mono_ns: int = 0
    settled: bool = False  # its condition has been evaluated at least once


@dataclass(slots=True)
class PointState:
    """What a point was told, what is on its way, and what holds it back."""

    claims: dict[str, Claim] = field(default_factory=dict)  # source -> claim
    commanded: float = math.nan  # what the point is believed to hold: verified, or read since; NaN = unknown
    known_mono_ns: int = 0  # when that was learned; an older sample proves nothing
    wrote_mono_ns: int = 0  # last write that may have reached the plant; `max_rate` counts from it
    switched_mono_ns: int = 0  # last change between zero and non-zero
    in_flight: int = 0  # decision id whose outcome is awaited
    sent_from: float = math.nan  # what the point held before the write under way
    sent_slot: int = 0  # whose write it is, or was
    last_decision: int = 0
    last_key: tuple[object, ...] = ()  # what was decided last, so that nothing is decided twice; see `Verdict.key`
    retry_mono_ns: int = 0  # after a failed write: not before
    failures: int = 0
    mismatches: list[int] = field(default_factory=list)  # boot-clock ns of recent mismatches
    locked_out: bool = False
    slots: tuple[float | None, ...] = (None,) * SLOTS  # the priority array as last decided
    because: Reason | None = None  # what the next decision follows from: why the last claim ended, a retry
    owned: bool = False  # we have written it since the start, so we hand it back
    due_mono_ns: int = 0  # ramp, minimum times, lost inputs and retries look again then; 0 = no


@dataclass(slots=True)
class Override:
    """A person's hold on a point."""

    id: int
    point: int
    value: float
    expires_mono_ns: int
    expires_wall_ns: int
    actor: Actor
    reason: str
    set_wall_ns: int


class State:
    """The mutable half of the core.

    Args:
        site: what the tables are sized for.
        kernels: whose table lays them out.
        now_mono_ns: start of the staleness clocks.
    """

    def __init__(self, site: Site, kernels: Kernels, *, now_mono_ns: int) -> None:
        self.columns: dict[str, memoryview[Any]] = {}
        self.plan_first: list[int] = []  # of each read plan, its first row in table plan; at last, how many there are
        self.plan_base: list[int] = []  # of each, where its payload would begin if all of registers stood back to back
        self.texts = Texts()
        self.text_rows = _text_rows(site)
        rows = _row_counts(site)
        for table, count in rows.items():
            self._allocate(table, kernels.tables[table], max(1, count))
        self.kernel_digest = kernels.digest
        self.boot_id = b""
        self.mode = Mode.MONITOR
        self.pass_number = 0
        self.next_decision_id = 1
        self.next_override_id = 1
        self.next_stale_mono_ns = 0  # when stale_check must run again
        self.next_program_mono_ns = 1
        self.next_decide_mono_ns = 0  # earliest expiry, ramp step, minimum time or retry
        self.rules = [RuleState() for _ in site.rules]
        self.points = [PointState() for _ in site.points]
        self.overrides: dict[int, Override] = {}  # point -> override
        self.lost: set[int] = set()  # active rules whose condition is unknown
        self.users = _program_users(site)
        self.dirty: set[int] = set(range(len(site.points)))  # points to arbitrate
        self.stopping = False
        self._fill(site, now_mono_ns)
        self.checks = self._checks()  # what `judge` has to look at

    def column(self, name: str) -> memoryview[Any]:
        """Return the live view of `table.column`."""
        return self.columns[name]

    def _allocate(self, table: str, columns: tuple[tuple[str, str], ...], rows: int) -> None:
        total = sum(-(-rows * _SIZE[kind] // 64) * 64 for _, kind in columns)
        buffer: memoryview[Any] = memoryview(bytearray(total))
        at = 0
        for name, kind in columns:
            size = rows * _SIZE[kind]
            self.columns[f"{table}.{name}"] = buffer[at : at + size].cast(FORMATS[kind])
            at += -(-size // 64) * 64

    def _fill(self, site: Site, now_mono_ns: int) -> None:
        self._fill_tags(site, now_mono_ns)
        self._fill_assets(site)
        self._fill_detectors(site)
        self._fill_plans(site)
        self._fill_windows(site)
        self._fill_programs(site)

    def _checks(self) -> int:
        asked = {
            CHECK_AGE: any(self.column("tag.source_age_max")),
            CHECK_RATE: any(limit == limit for limit in self.column("tag.rate_max")),
            CHECK_STUCK: any(self.column("tag.stuck_after")),
        }
        return CHECK_RANGE + sum(check for check, is_asked in asked.items() if is_asked)

    def _fill_tags(self, site: Site, now_mono_ns: int) -> None:
        self._lay("tag", _contract_columns(site.tags, now_mono_ns))

    def _fill_assets(self, site: Site) -> None:
        own = verdict_columns(len(site.assets), [each.name for each in CATALOGUE])
        self._lay("tag", own, len(site.tags))
        for table, columns in asset_columns(site.assets).items():
            self._lay(table, columns)

    def _fill_detectors(self, site: Site) -> None:
        """Lay the detectors of each tag side by side; the tables of the kinds are filled in the same order."""
        for table, columns in detector_columns(watched_runs(tag.contract for tag in site.tags)).items():
            self._lay(table, columns)

    def _fill_plans(self, site: Site) -> None:
        at = base = 0
        for plan in site.plans:
            self.plan_first.append(at)
            self.plan_base.append(base if plan.size else 0)
            self._lay("plan", _plan_columns(plan.rows, self.plan_base[-1]), at)
            at += len(plan.rows)
            base += plan.size
        self.plan_first.append(at)

    def _fill_windows(self, site: Site) -> None:
        windows = site.programme.windows
        heads, following = [-1] * len(site.tags), []
        for index, window in enumerate(windows):
            following.append(heads[window.row])
            heads[window.row] = index
        values = {
            "tag": [window.row for window in windows],
            "duration": [window.duration_ns for window in windows],
            "next": following,
            "ring_first": [0, *accumulate(window.ring_size for window in windows)][: len(windows)],
            "ring_size": [window.ring_size for window in windows],
            "patience": [window.patience_ns for window in windows],
        }
        self._lay("window", values)
        self._lay("tag", {"window_first": heads})

    def _fill_programs(self, site: Site) -> None:
        programme = site.programme
        lowered = lower(programme)
        unknown = [math.nan] * programme.registers
        programs = len(programme.programs)
        self._lay("program", {"start": lowered.start, "length": lowered.length})
        # deadline 1: due in the first pass, so that expressions without tags run at least once
        self._lay("program", {"result": [math.nan] * programs, "deadline": [1] * programs})
        self._lay("code", {"word": lowered.words})
        self._lay("register", {"value": unknown, "previous": unknown, "result": unknown})
        first, count, readers = programme.dependencies(len(site.tags) + len(site.assets))
        self._lay("tag", {"dependency_first": first, "dependency_count": count})
        self._lay("dependency", {"program": readers})

    def _lay(self, table: str, values: Mapping[str, Sequence[float | int]], first: int = 0) -> None:
        """Write whole columns, from a row on: 10,000 tags, cell by cell, would be a tenth of a second of a start."""
        for name, column in values.items():
            view = self.columns[f"{table}.{name}"]
            view[first : first + len(column)] = array(view.format, column)


class Users(NamedTuple):
    """Who looks at a program's result."""

    rules: tuple[int, ...]
    points: tuple[int, ...]


def _program_users(site: Site) -> tuple[Users, ...]:
    rules: list[list[int]] = [[] for _ in site.programme.programs]
    points: list[list[int]] = [[] for _ in site.programme.programs]
    for rule in site.rules:
        for program in {rule.when, rule.clear, rule.to} - {-1}:
            rules[program].append(rule.index)
    for point in site.points:
        for program in {guard.program for guard in point.interlocks + point.permissives}:
            points[program].append(point.index)
    return tuple(Users(tuple(of_rules), tuple(of_points)) for of_rules, of_points in zip(rules, points, strict=True))


def _text_rows(site: Site) -> dict[int, tuple[tuple[int, PlanRow], ...]]:
    """Return plan -> (place in the plan, row) of its texts, for the plans that have any."""
    found = {
        plan.index: tuple((place, row) for place, row in enumerate(plan.rows) if row.type is WireType.STRING)
        for plan in site.plans
    }
    return {index: rows for index, rows in found.items() if rows}


def _row_counts(site: Site) -> dict[str, int]:
    programme = site.programme
    tags, programs = len(site.tags), len(programme.programs)
    return {
        "tag": tags + len(site.assets),
        "plan": sum(len(plan.rows) for plan in site.plans),
        **asset_rows(site.assets),
        **_detector_rows(site),
        "window": len(programme.windows),
        "ring": sum(window.ring_size for window in programme.windows),
        "program": programs,
        "code": len(lower(programme).words),
        "register": programme.registers,
        "dependency": sum(len(program.rows) for program in programme.programs),
        "fresh": tags + len(site.assets),
        "due": programs,
        "changed": programs,
        "stack": 64,
        "nest": 32,
        "inbox": INBOX_BYTES,
        "response": RESPONSE_CELLS * RESPONSES_PER_CALL,
        "out": 8,
    }


def _detector_rows(site: Site) -> dict[str, int]:
    rows: Counter[str] = Counter({"detector": 0, "tail": 0})
    for each in CATALOGUE:
        rows.update({each.name: 0, **{child.name: 0 for child in each.children}})
    for watched, tags in watched_runs(tag.contract for tag in site.tags):
        for instance in watched:
            rows["detector"] += tags
            rows["tail"] += tags * instance.tail_rows
            rows[instance.detector.name] += tags
            for child in instance.detector.children:
                rows[child.name] += tags * child.count(instance.settings)
    return rows


def _plan_columns(rows: Sequence[PlanRow], base: int) -> dict[str, list[float | int]]:
    return {
        "row": [row.row for row in rows],
        "offset": [base + row.offset for row in rows],
        "type": [row.type for row in rows],
        "order": [row.order for row in rows],
        "bit": [row.bit for row in rows],
        "special": [(row.not_a_value is not None) | (row.scale_offset >= 0) << 1 for row in rows],
        "not_a_value": [row.not_a_value or 0 for row in rows],
        "scale_offset": [base + row.scale_offset for row in rows],
    }


def _contract_columns(tags: Sequence[TagPlan], now_mono_ns: int) -> dict[str, list[float | int]]:
    contracts = [tag.contract for tag in tags]
    same: dict[str, float | int] = {
        "value": math.nan,
        "status": quality.BAD_WAITING_FOR_INITIAL_DATA,
        "ingest_mono": now_mono_ns,
        "rate_value": math.nan,
        "stuck_value": math.nan,
        "anomaly": -1,
    }
    return {name: [value] * len(tags) for name, value in same.items()} | {
        "scale": [tag.config.scale for tag in tags],
        "offset": [tag.config.offset for tag in tags],
        "range_low": [_or_nan(contract.low) for contract in contracts],
        "range_high": [_or_nan(contract.high) for contract in contracts],
        "rate_max": [_or_nan(contract.max_rate) for contract in contracts],
        "stuck_after": [_ns(contract.stuck_after_s) for contract in contracts],
        "stuck_deadband": [contract.stuck_deadband for contract in contracts],
        "stale_after": [_stale_after_ns(tag) for tag in tags],
        "source_age_max": [
            _ns(tag.contract.source_age_max_s) if isinstance(tag.config, OpcuaTag) else 0 for tag in tags
        ],
    }


def _stale_after_ns(tag: TagPlan) -> int:
    return _ns(tag.contract.stale_after_s) or max(STALE_SCANS * tag.heard_ns, STALE_MIN_NS)


def _or_nan(value: object) -> float:
    return float(value) if isinstance(value, int | float) else math.nan


def _ns(value: object) -> int:
    return round(float(value) * NS) if isinstance(value, int | float) else 0
