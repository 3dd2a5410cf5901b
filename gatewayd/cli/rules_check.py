"""`gatewayd rules check` and `show`: every rule with its place, what it reads, and what it costs."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from gatewayd.cli import show
from gatewayd.cli.session import json_option

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gatewayd.core.site import Site
    from gatewayd.site.draft import Draft
    from gatewayd.site.rule_list import RuleEntry

_SITE = click.Path(path_type=Path)


@click.command(
    epilog="""\b
Examples:
  gatewayd rules check config/
  gatewayd rules check /etc/gatewayd --json

Exit status: 0 if the site can start, 1 if any problem is an error."""
)
@click.argument("directory", metavar="SITE", type=_SITE)
@json_option
def check(directory: Path, *, as_json: bool) -> int:
    """Compile every rule of SITE. Print each with its place, the tags it reads, its windows and its cost.

    Every problem of the site is listed with line, column, reason and remedy. With one error there is no rule set at all.
    """
    from gatewayd.site.load import load_draft
    from gatewayd.site.problem import describe, has_errors

    draft = load_draft(directory)
    problems = draft.findings.all()
    is_sound = not has_errors(problems)
    entries = _compiled(draft)[1] if is_sound else ()
    if as_json:
        import msgspec

        answer = {"ok": is_sound, "problems": problems, "rules": entries}
        click.echo(msgspec.json.format(msgspec.json.encode(answer), indent=2))
        return 0 if is_sound else 1
    for problem in problems:
        click.echo(describe(problem) + "\n")
    if entries:
        click.echo(_table(entries) + "\n")
    click.echo(_summary(directory, entries) if is_sound else f"{directory}: errors were found; no rule would run")
    return 0 if is_sound else 1


@click.command("show")
@click.argument("directory", metavar="SITE", type=_SITE)
@click.argument("rule", metavar="RULE")
@json_option
def show_(directory: Path, rule: str, *, as_json: bool) -> None:
    """Show where RULE of SITE stands, what it reads, and the code that runs for it.

    \b
    Examples:
      gatewayd rules show config/ pump_1/bearing-hot
      gatewayd rules show config/ tank-high --json
    """
    from gatewayd.core.expr.disassemble import disassemble
    from gatewayd.errors import ConfigError
    from gatewayd.site.load import load_draft, require_sound
    from gatewayd.site.problem import listed, nearest

    draft = load_draft(directory)
    require_sound(directory, draft.findings.all())
    site, entries = _compiled(draft)
    named = {entry.id: entry for entry in entries}
    if rule not in named:
        near = nearest(rule, named)
        guess = f"; did you mean {near}?" if near else ""
        raise ConfigError(f"{directory} has no rule {rule!r}{guess}", remedy=f"It has {listed(named)}.")
    entry = named[rule]
    code = [(part.part, disassemble(site.programme, part.program)) for part in entry.expressions]
    if as_json:
        import msgspec

        click.echo(msgspec.json.format(msgspec.json.encode({"rule": entry, "code": dict(code)}), indent=2))
        return
    click.echo(_page(entry))
    for part, text in code:
        click.echo(f"\n{show.heading(part)}\n{text}")


def _compiled(draft: Draft) -> tuple[Site, Sequence[RuleEntry]]:
    from gatewayd.core.site import compile_site
    from gatewayd.site.digest import digests
    from gatewayd.site.rule_list import list_rules

    config = draft.config()
    site = compile_site(config, plan_reads=lambda device, tags, first: (), digests=digests(config))
    return site, list_rules(site, draft)


def _table(entries: Sequence[RuleEntry]) -> str:
    rows = [
        (
            show.clean(entry.id),
            _place(entry),
            str(entry.steps),
            _memory(sum(window.bytes for window in entry.windows)) if entry.windows else "-",
            show.clean(entry.sets) or "-",
            show.clean(", ".join(entry.reads)),
        )
        for entry in entries
    ]
    return show.table(("RULE", "PLACE", "STEPS", "WINDOWS", "SETS", "READS"), rows, right=(2, 3))


def _place(entry: RuleEntry) -> str:
    column = f":{entry.column}" if entry.column else ""
    return f"{show.clean(entry.file)}:{entry.line}{column}"


def _summary(directory: Path, entries: Sequence[RuleEntry]) -> str:
    windows = {(window.tag, window.seconds): window.bytes for entry in entries for window in entry.windows}
    steps = sum(entry.steps for entry in entries)
    noun = "rule" if len(entries) == 1 else "rules"
    return f"{directory}: {len(entries)} {noun}, {steps} steps at most, {_memory(sum(windows.values()))} of windows"


def _page(entry: RuleEntry) -> str:
    windows = [
        (f"Window {place}", f"{show.clean(window.tag)}, {window.seconds:g} s, {window.samples} samples")
        for place, window in enumerate(entry.windows)
    ]
    told = [
        ("Place", _place(entry)),
        ("Reads", show.clean(", ".join(entry.reads)) or "nothing"),
        ("Sets", show.clean(entry.sets) or "nothing"),
        ("Cost", f"{entry.steps} steps per run at most"),
        *windows,
    ]
    return f"{show.heading(show.clean(entry.id))}\n{show.pairs(told)}"


def _memory(size: int) -> str:
    return f"{size / 1024:.1f} KiB"
