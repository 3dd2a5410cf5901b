"""`gatewayd config`: check a site before it runs, print its schema."""

from __future__ import annotations

from itertools import groupby
from pathlib import Path

import click
import msgspec

from gatewayd.errors import ConfigError
from gatewayd.model.config import SiteConfig
from gatewayd.site.choices import choices, said
from gatewayd.site.kept import keep_site, sources_digest
from gatewayd.site.load import LoadedSite, load_site
from gatewayd.site.problem import describe
from gatewayd.site.schema import schema_text


@click.group()
def config() -> None:
    """Check a site's configuration, or print its JSON Schema."""


@config.command(
    epilog="""\b
Examples:
  gatewayd config check config/
  gatewayd config check /etc/gatewayd --json

Exit status: 0 if the site can start, 1 if any problem is an error."""
)
@click.argument("directory", metavar="DIR", type=click.Path(path_type=Path))
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object instead of text.")
@click.pass_context
def check(context: click.Context, directory: Path, *, as_json: bool) -> None:
    """Read the site in DIR and print every problem at once, each with its remedy.

    A site without errors is kept in its storage folder, if that exists and may be written: the next start is quicker.
    """
    sources = sources_digest(directory)
    loaded = load_site(directory)
    if loaded.config is not None:
        keep_site(loaded.config, sources)
    if as_json:
        detect = choices(loaded.config) if loaded.config is not None else ()
        answer = {"ok": loaded.config is not None, **_counts(loaded), "problems": loaded.problems, "detect": detect}
        click.echo(msgspec.json.format(msgspec.json.encode(answer), indent=2))
    else:
        _print_problems(loaded)
        for choice in choices(loaded.config) if loaded.config is not None else ():
            click.echo(said(choice))
        click.echo(_summary(directory, loaded))
    context.exit(0 if loaded.config is not None else 1)


@config.command(
    epilog="""\b
Examples:
  gatewayd config schema
  gatewayd config schema --out config/schema.json"""
)
@click.option("--out", type=click.Path(path_type=Path, dir_okay=False), help="Write to FILE instead of printing.")
def schema(out: Path | None) -> None:
    """Print the JSON Schema (2020-12) of every kind of file in a site."""
    if out is None:
        click.echo(schema_text(), nl=False)
        return
    try:
        out.write_text(schema_text(), encoding="utf-8")
    except OSError as error:
        raise ConfigError(f"{out} cannot be written: {error.strerror}", remedy="Choose another FILE.") from error
    click.echo(f"wrote {out}")


def _print_problems(loaded: LoadedSite) -> None:
    for file, problems in groupby(loaded.problems, key=lambda problem: problem.file):
        click.secho(file or "the site as a whole", bold=True)
        for problem in problems:
            click.echo(describe(problem))
        click.echo()


def _summary(directory: Path, loaded: LoadedSite) -> str:
    counts = _counts(loaded)
    said = f"{_plural(counts['errors'], 'error')}, {_plural(counts['warnings'], 'warning')}"
    if loaded.config is None:
        return f"{directory}: {said}; nothing would start"
    return f"{directory}: {said}; {_size(loaded.config)}"


def _size(site: SiteConfig) -> str:
    rules = len(site.rules) + sum(len(site.asset_types[asset.type].rule) for asset in site.assets.values())
    return ", ".join(
        (
            _plural(len(site.devices), "device"),
            _plural(sum(map(len, site.tags.values())), "tag"),
            _plural(len(site.assets), "asset"),
            _plural(rules, "rule"),
            _plural(len(site.points), "point"),
        )
    )


def _counts(loaded: LoadedSite) -> dict[str, int]:
    errors = sum(problem.severity == "error" for problem in loaded.problems)
    return {"errors": errors, "warnings": len(loaded.problems) - errors}


def _plural(count: int, noun: str) -> str:
    return f"{count} {noun}{'' if count == 1 else 's'}"
