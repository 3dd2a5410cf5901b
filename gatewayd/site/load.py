"""Loads a site's folder: every file read, every table fitted, every problem found at once."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from msgspec import Struct

from gatewayd.errors import ConfigError
from gatewayd.model.config import SiteConfig
from gatewayd.site.draft import Draft
from gatewayd.site.expressions import check_expressions
from gatewayd.site.guards import check_points
from gatewayd.site.modbus import check_modbus
from gatewayd.site.problem import Problem, has_errors
from gatewayd.site.quota import check_quota
from gatewayd.site.read import read_site
from gatewayd.site.references import check_assets, check_contracts, check_rules, check_together
from gatewayd.site.trust import check_trust


class LoadedSite(Struct, frozen=True):
    """What a folder holds.

    Args:
        config: the site, None if any problem is an error.
        problems: everything found, by file and line.
    """

    config: SiteConfig | None
    problems: tuple[Problem, ...]


def require_site(folder: Path) -> SiteConfig:
    """Return a site that may be used.

    Raises:
        ConfigError: with every error of the site and its place, one per line.
    """
    draft = load_draft(folder)
    require_sound(folder, draft.findings.all())
    return draft.config()


def require_sound(folder: Path, problems: Iterable[Problem]) -> None:
    """Refuse a site with errors.

    Raises:
        ConfigError: with every error of the site and its place, one per line.
    """
    errors = [f"{problem.place}: {problem.message}" for problem in problems if problem.severity == "error"]
    if errors:
        raise ConfigError(
            "\n".join([f"{folder} cannot be used:", *errors]),
            remedy=f"Run `gatewayd config check {folder}` and mend each line.",
        )


def load_site(folder: Path) -> LoadedSite:
    """Load and check a site. Reads files, changes nothing.

    Args:
        folder: holds gateway.toml, devices/, twins/ and policies/.
    """
    draft = load_draft(folder)
    problems = draft.findings.all()
    return LoadedSite(None if has_errors(problems) else draft.config(), problems)


def load_draft(folder: Path) -> Draft:
    """Load and check a site; return it with the place of each of its parts and every problem found."""
    draft = Draft(folder=folder)
    if not folder.is_dir():
        draft.findings.add(
            Problem(
                file=str(folder),
                message=f"{folder} is not a folder",
                remedy="Name the folder that holds gateway.toml.",
            )
        )
        return draft
    read_site(draft)
    check_quota(draft)
    check_trust(draft)
    check_modbus(draft)
    check_contracts(draft)
    check_assets(draft)
    check_together(draft)
    check_rules(draft)
    check_points(draft)
    check_expressions(draft)
    return draft
