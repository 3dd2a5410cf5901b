"""The site as the core runs it: every name resolved to a row, every expression to a program, every guard to a number."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import lru_cache
from typing import NamedTuple

from msgspec import UNSET, Struct, UnsetType

from gatewayd.core.assets import AssetPlan, asset_plans
from gatewayd.core.detectors import with_choice
from gatewayd.core.expr.compiler import Compiler
from gatewayd.core.expr.programme import Programme
from gatewayd.errors import ConfigError, ExpressionError
from gatewayd.model.block import ReadPlan
from gatewayd.model.config import Alarm, Asset, Contract, Point, Rule, SiteConfig, missing_guards
from gatewayd.model.device import Device, Tag, periods_of

NS = 1_000_000_000
STALE_SCANS = 3  # a tag without `stale_after_s` is stale after this many missed scans or keep-alives,
STALE_MIN_NS = NS  # but never sooner than this
PERIODS_CACHED = 1024
UNBOUND = Contract()  # of a tag that belongs to no asset
TTL_MIN_NS = NS  # a shorter one would only keep the loop busy with renewing it

PlanReads = Callable[[Device, Sequence[tuple[int, Tag]], int], tuple[ReadPlan, ...]]


class TagPlan(Struct, frozen=True):
    """One row of the twin. `name` is `device/tag`; `alias` is `asset.member` or empty."""

    row: int
    name: str
    alias: str
    device: str
    config: Tag
    contract: Contract
    units: str
    period_ns: int  # the longest between two samples
    spacing_ns: int  # the shortest between two samples
    heard_ns: int  # the longest between two signs of life

    @property
    def label(self) -> str:
        """Return the name people use: the asset's if the tag is bound to one."""
        return self.alias or self.name


class NamedProgram(NamedTuple):
    """An interlock or permissive of a point."""

    name: str
    program: int


class PointPlan(Struct, frozen=True):
    """A writable tag with its complete guard list, all in contract units, seconds and nanoseconds."""

    index: int
    name: str
    row: int
    readback_row: int
    write_min: float
    write_max: float
    write_step: float
    max_rate: float
    min_on_ns: int
    min_off_ns: int
    fail_safe_value: float
    relinquish_default: float
    readback_tolerance: float
    readback_within_ns: int
    input_age_max_ns: int
    deadband: float
    fail_safe_after_ns: int
    override_max_ns: int
    interlocks: tuple[NamedProgram, ...]
    permissives: tuple[NamedProgram, ...]


class RulePlan(Struct, frozen=True):
    """One rule of one asset, or of the site. Program and point indices are -1 where the rule has none."""

    index: int
    id: str
    when: int
    clear: int
    to: int
    point: int
    slot: int
    ttl_ns: int
    on_unknown: str
    alarm: Alarm | None
    why: str


class Digests(NamedTuple):
    """SHA-256 of what a decision was made under."""

    site: bytes
    policy: bytes
    model: bytes


class Site(Struct, frozen=True):
    """Everything `core.step` knows that does not change between two configurations."""

    tags: tuple[TagPlan, ...]
    plans: tuple[ReadPlan, ...]
    programme: Programme
    rules: tuple[RulePlan, ...]
    points: tuple[PointPlan, ...]
    read_only: tuple[str, ...]  # points whose guard list is incomplete
    rows: dict[str, int]  # alias and name -> row
    point_of: dict[str, int]  # alias -> point
    digests: Digests
    utc_offset_ns: int = 0  # of the site's day
    assets: tuple[AssetPlan, ...] = ()  # watched as a whole; their rows of table tag follow those of the tags

    def label(self, row: int) -> str:
        """Return what people call a row of table tag: a tag, or an asset."""
        return self.tags[row].label if row < len(self.tags) else self.assets[row - len(self.tags)].name


class ExpressionProblem(NamedTuple):
    """An expression that does not compile: where it stands and why."""

    where: str
    text: str
    error: ExpressionError


class SiteExpressionsError(ConfigError):
    """One or more expressions of a site do not compile; `problems` lists all."""

    def __init__(self, problems: Sequence[ExpressionProblem]) -> None:
        listed = "; ".join(f"{problem.where}: {problem.error.message}" for problem in problems)
        super().__init__(listed, remedy="Run `gatewayd config check DIR` to see each with its position.")
        self.problems = tuple(problems)


class TagNames:
    """What an expression may call its tags: all aliases, and an asset's own members by their short names."""

    def __init__(
        self,
        tags: Sequence[TagPlan],
        members: Mapping[str, int] | None = None,
        assets: Mapping[str, int] | None = None,
    ) -> None:
        self._tags = tags
        self._assets = assets or {}
        self._rows = {tag.alias: tag.row for tag in tags if tag.alias} | dict(members or {})

    def row(self, name: str) -> int | None:
        """Return the row of a name, or None."""
        return self._rows.get(name)

    def asset(self, name: str) -> int | None:
        """Return the row of an asset's verdict, or None."""
        return self._assets.get(name)

    def units(self, row: int) -> str:
        """Return the contract's units of a row."""
        return self._tags[row].units

    def period_ns(self, row: int) -> int:
        """Return how often a row is expected to be sampled."""
        return self._tags[row].period_ns

    def spacing_ns(self, row: int) -> int:
        """Return how closely samples of a row may follow each other."""
        return self._tags[row].spacing_ns

    def all(self) -> Iterable[str]:
        """Return every usable name, for suggestions."""
        return self._rows


def duration_ns(text: str) -> int:
    """Convert `500ms`, `5s`, `10m` or `1h` to nanoseconds."""
    match = re.fullmatch(r"(\d+(?:\.\d+)?)(ms|s|m|h)", text)
    if match is None:
        raise ConfigError(f"{text!r} is not a duration", remedy="Write 500ms, 5s, 10m or 1h.")
    factor = {"ms": 1_000_000, "s": NS, "m": 60 * NS, "h": 3600 * NS}[match[2]]
    return round(float(match[1]) * factor)


def compile_site(config: SiteConfig, *, plan_reads: PlanReads, digests: Digests) -> Site:
    """Resolve a checked configuration.

    Args:
        config: a site whose cross-references `gatewayd.site` has found sound.
        plan_reads: the planner of the device's driver.
        digests: what decisions will cite.

    Raises:
        SiteExpressionsError: expressions do not compile, all of them listed.
    """
    tags = _tag_plans(config)
    build = _Build(config, tags)
    points = tuple(
        build.point(index, point)
        for index, point in enumerate(point for point in config.points if not missing_guards(point))
    )
    build.point_of = {point.name: point.index for point in points}
    rules = build.rules()
    if build.problems:
        raise SiteExpressionsError(build.problems)
    return Site(
        tags=tags,
        plans=_read_plans(config, tags, plan_reads),
        programme=build.compiler.finish(),
        rules=rules,
        points=points,
        read_only=tuple(point.tag for point in config.points if missing_guards(point)),
        rows={tag.alias: tag.row for tag in tags if tag.alias} | {tag.name: tag.row for tag in tags},
        point_of=build.point_of,
        digests=digests,
        utc_offset_ns=config.gateway.gateway.utc_offset_min * 60 * NS,
        assets=build.assets,
    )


def expression_problems(config: SiteConfig) -> tuple[ExpressionProblem, ...]:
    """Return every expression of a site that does not compile."""
    try:
        compile_site(config, plan_reads=lambda device, tags, first: (), digests=Digests(b"", b"", b""))
    except SiteExpressionsError as error:
        return error.problems
    return ()


class _Build:
    """Collects programs and expression problems while a site is compiled."""

    def __init__(self, config: SiteConfig, tags: tuple[TagPlan, ...]) -> None:
        self.config = config
        self.tags = tags
        self.assets = asset_plans(config, {tag.alias: tag for tag in tags if tag.alias}, len(tags))
        self.asset_rows = {plan.name: plan.row for plan in self.assets}
        self.site_names = TagNames(tags, assets=self.asset_rows)
        self.compiler = Compiler(self.site_names)
        self.problems: list[ExpressionProblem] = []
        self.point_of: dict[str, int] = {}
        self._next_rule = 0

    def program(self, where: str, text: str | None, kind: str, names: TagNames) -> int:
        if text is None:
            return -1
        try:
            return self.compiler.add(text, kind="number" if kind == "number" else "condition", names=names)
        except ExpressionError as error:
            self.problems.append(ExpressionProblem(where, text, error))
            return -1

    def point(self, index: int, point: Point) -> PointPlan:
        row = _row(self.site_names, point.tag)
        readback = point.tag if point.readback in (UNSET, "self") else str(point.readback)
        fail_safe = _number(point.fail_safe_value)
        return PointPlan(
            index=index,
            name=point.tag,
            row=row,
            readback_row=_row(self.site_names, readback),
            write_min=_number(point.write_min),
            write_max=_number(point.write_max),
            write_step=_number(point.write_step),
            max_rate=_number(point.max_rate),
            min_on_ns=_ns(point.min_on_s),
            min_off_ns=_ns(point.min_off_s),
            fail_safe_value=fail_safe,
            relinquish_default=fail_safe if point.relinquish_default is UNSET else _number(point.relinquish_default),
            readback_tolerance=_number(point.readback_tolerance),
            readback_within_ns=_ns(point.readback_within_s),
            input_age_max_ns=_ns(point.input_age_max_s),
            deadband=point.deadband,
            fail_safe_after_ns=_ns(point.fail_safe_after_s),
            override_max_ns=_ns(point.override_max_s),
            interlocks=self._named(f"point {point.tag} interlock", point.interlocks),
            permissives=self._named(f"point {point.tag} permissive", point.permissives),
        )

    def _named(self, where: str, expressions: Mapping[str, str]) -> tuple[NamedProgram, ...]:
        return tuple(
            NamedProgram(name, self.program(f"{where} {name}", text, "condition", self.site_names))
            for name, text in expressions.items()
        )

    def rules(self) -> tuple[RulePlan, ...]:
        built: list[RulePlan] = []
        for name, asset in self.config.assets.items():
            own = {"self": self.asset_rows[name]} if name in self.asset_rows else {}
            names = TagNames(self.tags, _members(self.site_names, name, asset), self.asset_rows | own)
            kind = self.config.asset_types[asset.type]
            built.extend(self._rule(rule, names, f"{name}/{rule.id}", asset=name) for rule in kind.rule)
        built.extend(self._rule(rule, self.site_names, rule.id, asset="") for rule in self.config.rules)
        return tuple(built)

    def _rule(self, rule: Rule, names: TagNames, rule_id: str, *, asset: str) -> RulePlan:
        then = rule.then
        target = "" if then is None else then.set if "." in then.set else f"{asset}.{then.set}"
        index = self._next_rule
        self._next_rule += 1
        return RulePlan(
            index=index,
            id=rule_id,
            when=self.program(f"rule {rule_id} when", rule.when, "condition", names),
            clear=self.program(f"rule {rule_id} clear", rule.clear, "condition", names),
            to=self.program(f"rule {rule_id} to", then.to if then else None, "number", names),
            point=self.point_of.get(target, -1),
            slot=then.slot if then else 0,
            ttl_ns=max(duration_ns(then.ttl), TTL_MIN_NS) if then else 0,
            on_unknown=rule.on_unknown,
            alarm=rule.alarm,
            why=rule.why,
        )


def _tag_plans(config: SiteConfig) -> tuple[TagPlan, ...]:
    bound = {
        reference: (f"{name}.{member}", asset.type, member)
        for name, asset in config.assets.items()
        for member, reference in asset.tags.items()
    }
    plans: list[TagPlan] = []
    for device_name, tags in config.tags.items():
        device = config.devices[device_name]
        for tag in tags:
            name = f"{device_name}/{tag.name}"
            alias, contract = "", UNBOUND
            if name in bound:
                alias, type_name, member = bound[name]
                kind = config.asset_types[type_name]
                contract = with_choice(kind.tags[member], tag, default=kind.detect)
            periods = periods_of(device, tag)
            plans.append(
                TagPlan(
                    row=len(plans),
                    name=name,
                    alias=alias,
                    device=device_name,
                    config=tag,
                    contract=contract,
                    units=contract.units or tag.units,
                    period_ns=_ms(periods.longest_ms),
                    spacing_ns=_ms(periods.shortest_ms),
                    heard_ns=_ms(periods.heard_ms),
                )
            )
    return tuple(plans)


def _read_plans(config: SiteConfig, tags: Sequence[TagPlan], plan_reads: PlanReads) -> tuple[ReadPlan, ...]:
    of_device: dict[str, list[tuple[int, Tag]]] = {name: [] for name in config.devices}
    for tag in tags:
        of_device[tag.device].append((tag.row, tag.config))
    plans: list[ReadPlan] = []
    for name, device in config.devices.items():
        plans.extend(plan_reads(device, of_device[name], len(plans)))
    return tuple(plans)


def _members(names: TagNames, asset_name: str, asset: Asset) -> dict[str, int]:
    return {member: _row(names, f"{asset_name}.{member}") for member in asset.tags}


def _row(names: TagNames, name: str) -> int:
    row = names.row(name)
    if row is None:
        raise ConfigError(f"no tag is called {name}", remedy="Run `gatewayd config check DIR`.")
    return row


@lru_cache(PERIODS_CACHED)
def _ms(milliseconds: int) -> int:
    """Return nanoseconds, as one object for all tags of a scan class."""
    return milliseconds * 1_000_000


def _number(value: float | UnsetType) -> float:
    return 0.0 if isinstance(value, UnsetType) else float(value)


def _ns(seconds: float | UnsetType) -> int:
    return round(_number(seconds) * NS)
