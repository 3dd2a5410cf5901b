"""Checks every expression of a site in the place where its author wrote it, whatever else is wrong.

The compiler resolves names to rows of a finished twin; a draft has none. Here each asset's members are numbered by
themselves, so that a rule is checked against what its asset type promises even while a tag list is broken.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import NamedTuple

from gatewayd.core import site as core_site
from gatewayd.core.expr.analysis import Analysis
from gatewayd.core.expr.opcodes import Type
from gatewayd.core.expr.parser import parse
from gatewayd.core.expr.syntax import Tag, Term, terms
from gatewayd.errors import ExpressionError
from gatewayd.model.config import Asset, Contract, Rule, SiteConfig
from gatewayd.model.device import periods_of
from gatewayd.site.draft import Draft, Located
from gatewayd.site.problem import Problem, has_errors
from gatewayd.site.source import Origin, spelled

EXACT_MAX = 2**53


class _Named(NamedTuple):
    units: str
    period_ns: int
    spacing_ns: int
    type: str  # on the wire; empty if unknown


class DraftNames:
    """The names an expression may use: every `asset.member`, and one asset's members by their short names."""

    def __init__(self, known: dict[str, _Named], short: dict[str, _Named], assets: Iterable[str] = ()) -> None:
        self._assets = frozenset(assets)
        self._named = list((known | short).values())
        self._rows = {name: row for row, name in enumerate(known | short)}

    def row(self, name: str) -> int | None:
        """Return the number of a name, None if nobody has it."""
        return self._rows.get(name)

    def asset(self, name: str) -> int | None:
        """Return a number for an asset that is watched as a whole, None if there is none of that name."""
        return len(self._named) if name in self._assets else None

    def units(self, row: int) -> str:
        """Return the units of a name's values, empty if unknown."""
        return self._named[row].units

    def period_ns(self, row: int) -> int:
        """Return the time between two samples, 0 if unknown."""
        return self._named[row].period_ns

    def spacing_ns(self, row: int) -> int:
        """Return the shortest time between two samples, 0 if unknown."""
        return self._named[row].spacing_ns

    def all(self) -> Iterable[str]:
        """Return every name."""
        return self._rows

    def type(self, name: str) -> str:
        """Return a name's type on the wire, empty if unknown."""
        row = self._rows.get(name)
        return "" if row is None else self._named[row].type


class _Expression(NamedTuple):
    text: str
    kind: Type
    at: Origin
    names: DraftNames


def check_expressions(draft: Draft) -> None:
    """Report every expression that cannot be compiled, with its position and a remedy."""
    for expression in _expressions(draft):
        for problem in _problems(expression):
            draft.findings.add(problem)
    if draft.gateway is not None and not has_errors(draft.findings.all()):
        for problem in expression_problems(draft.config()):
            draft.findings.add(problem)


def expression_problems(config: SiteConfig) -> list[Problem]:
    """Compile a sound site and return what the compiler refuses as a whole, e.g. more windows than fit."""
    return [
        Problem(
            file="",
            key=problem.where,
            message=f"{problem.where}: {problem.error.message}, at character {problem.error.position + 1} of {problem.text!r}",
            remedy=problem.error.remedy,
            found=problem.text,
        )
        for problem in core_site.expression_problems(config)
    ]


def _problems(expression: _Expression) -> Iterator[Problem]:
    text, kind, at, names = expression
    try:
        root = parse(text)
        Analysis(text, root, names).check(kind)
    except ExpressionError as error:
        problem = at.problem(
            f"{spelled(at.path)}: {error.message}, at character {error.position + 1} of {text!r}",
            remedy=error.remedy,
            found=text,
        )
        yield at.at_character(problem, error.position)
        return
    for name in dict.fromkeys(_tag_name(term) for term in terms(root)):
        if names.type(name) == "string":
            yield at.problem(
                f"{spelled(at.path)}: {name} is a string; an expression knows numbers and conditions only",
                remedy="Read the device's number for it, if it has one; a text is shown and recorded, not compared.",
                found=text,
            )
        if names.type(name) in ("int64", "uint64"):
            yield at.problem(
                f"{spelled(at.path)}: {name} is {names.type(name)}; beyond {EXACT_MAX} an expression rounds it",
                remedy="Compare it only where rounding does not matter.",
                severity="warning",
            )


def _tag_name(term: Term) -> str:
    return term.name if isinstance(term, Tag) else term.tag.name


def _expressions(draft: Draft) -> Iterator[_Expression]:
    known = {
        f"{name}.{member}": named
        for name, asset in draft.assets.items()
        for member, named in _members(draft, name, asset)
    }
    whole = DraftNames(known, {}, _watched(draft))
    for type_name, rules in draft.type_rules.items():
        for names in _views(draft, type_name, known):
            for rule in rules:
                yield from _of_rule(rule, names)
    for rule in draft.rules:
        yield from _of_rule(rule, whole)
    for point, at in draft.points:
        for key in ("interlocks", "permissives"):
            for name, text in getattr(point, key).items():
                yield _Expression(text, "condition", at.child(key, name), whole)


def _views(draft: Draft, type_name: str, known: dict[str, _Named]) -> Iterator[DraftNames]:
    """Yield what a type's rules see: once per asset, for units and scan rates differ; or once, if it has none yet."""
    assets = [(name, asset) for name, asset in draft.assets.items() if asset.value.type == type_name]
    watched = _watched(draft) + ["self"] * (draft.asset_types[type_name].value.together is not None)
    for name, asset in assets:
        yield DraftNames(known, dict(_members(draft, name, asset)), watched)
    if not assets:
        promised = draft.asset_types[type_name].value.tags
        short = {member: _Named(contract.units, 0, 0, "") for member, contract in promised.items()}
        yield DraftNames(known, short, watched)


def _watched(draft: Draft) -> list[str]:
    """Return the assets that are watched as a whole."""
    kinds = {name for name, located in draft.asset_types.items() if located.value.together is not None}
    return [name for name, asset in draft.assets.items() if asset.value.type in kinds]


def _members(draft: Draft, name: str, asset: Located[Asset]) -> Iterator[tuple[str, _Named]]:
    """Yield an asset's members: those its type promises and those it binds."""
    asset_type = draft.asset_types.get(asset.value.type)
    promised = asset_type.value.tags if asset_type else {}
    for member in dict.fromkeys((*promised, *asset.value.tags, *sorted(draft.broken_members_of(name)))):
        found = draft.resolve(f"{name}.{member}")
        if found is None:
            yield member, _Named(promised.get(member, Contract()).units, 0, 0, "")
        else:
            periods = periods_of(found.device, found.tag)
            longest_ns, shortest_ns = periods.longest_ms * 1_000_000, periods.shortest_ms * 1_000_000
            yield member, _Named(found.units, longest_ns, shortest_ns, found.tag.type)


def _of_rule(located: Located[Rule], names: DraftNames) -> Iterator[_Expression]:
    rule, at = located
    yield _Expression(rule.when, "condition", at.child("when"), names)
    if rule.clear is not None:
        yield _Expression(rule.clear, "condition", at.child("clear"), names)
    if rule.then is not None:
        yield _Expression(rule.then.to, "number", at.child("then", "to"), names)
