"""The rules of a site as their authors look for them: where each stands, what it reads, what it costs."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Final, Literal, NamedTuple

from msgspec import Struct

from gatewayd.core.expr.cost import cost_of
from gatewayd.core.expr.programme import Compiled
from gatewayd.core.site import RulePlan, Site
from gatewayd.model.config import Rule
from gatewayd.site.draft import Draft, Located

RING_SAMPLE_BYTES: Final = 16  # float64 value, int64 time

Part = Literal["when", "clear", "to"]


class RuleWindow(Struct, frozen=True):
    """A look back of a rule; rules that look back the same way share its memory."""

    tag: str
    seconds: float
    samples: int
    bytes: int


class RuleExpression(Struct, frozen=True):
    """One expression of a rule as it was compiled.

    Args:
        part: of the rule.
        program: its index in the site's programme; expressions of the same text and tags share one.
        steps: one run takes at most: one per cell of code and per sample looked at.
    """

    part: Part
    text: str
    program: int
    steps: int


class RuleEntry(Struct, frozen=True):
    """One rule of one asset, or of the site.

    Args:
        id: `ASSET/RULE`, or `RULE` of the site.
        file: inside the site's folder.
        line: of its `when`, 1-based.
        column: 0 if unknown.
        reads: names of its tags, in the order of the twin.
        sets: the point it proposes a value for; empty if none, or if the point is read-only.
        steps: of all its expressions.
    """

    id: str
    file: str
    line: int
    column: int
    reads: tuple[str, ...]
    sets: str
    expressions: tuple[RuleExpression, ...]
    windows: tuple[RuleWindow, ...]
    steps: int


class _Place(NamedTuple):
    file: str
    line: int
    column: int


def list_rules(site: Site, draft: Draft) -> tuple[RuleEntry, ...]:
    """Return every rule of a compiled site, in the order in which they are decided.

    Args:
        site: compiled from `draft`.
        draft: a site without errors.
    """
    places = list(_places(draft))
    assert len(places) == len(site.rules)
    return tuple(_entry(site, plan, place) for plan, place in zip(site.rules, places, strict=True))


def _places(draft: Draft) -> Iterator[_Place]:
    """Yield where each rule stands, in the order in which `compile_site` numbers them."""
    of_type = {name: [_place(rule) for rule in rules] for name, rules in draft.type_rules.items()}
    for asset in draft.assets.values():
        yield from of_type.get(asset.value.type, ())
    yield from map(_place, draft.rules)


def _place(located: Located[Rule]) -> _Place:
    source, path = located.at.source, located.at.child("when").path
    return _Place(source.name, *source.position_of(path, located.value.when, 0))


def _entry(site: Site, plan: RulePlan, place: _Place) -> RuleEntry:
    numbered: tuple[tuple[Part, int], ...] = (("when", plan.when), ("clear", plan.clear), ("to", plan.to))
    programs = [(part, index, site.programme.programs[index]) for part, index in numbered if index >= 0]
    code = site.programme
    expressions = tuple(
        RuleExpression(part, program.text, index, cost_of(program, code.ops, code.args, code.windows))
        for part, index, program in programs
    )
    return RuleEntry(
        id=plan.id,
        file=place.file,
        line=place.line,
        column=place.column,
        reads=tuple(site.label(row) for row in sorted({row for *_, program in programs for row in program.rows})),
        sets=site.points[plan.point].name if plan.point >= 0 else "",
        expressions=expressions,
        windows=_windows(site, (program for *_, program in programs)),
        steps=sum(expression.steps for expression in expressions),
    )


def _windows(site: Site, programs: Iterable[Compiled]) -> tuple[RuleWindow, ...]:
    numbers = sorted({term.window for program in programs for term in program.terms if term.window >= 0})
    specs = [site.programme.windows[number] for number in numbers]
    return tuple(
        RuleWindow(
            site.tags[spec.row].label, spec.duration_ns / 1e9, spec.ring_size, spec.ring_size * RING_SAMPLE_BYTES
        )
        for spec in specs
    )
