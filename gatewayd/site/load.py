"""Loads a site's folder: every file read, every table fitted, every problem found at once."""

from __future__ import annotations

from pathlib import Path

from msgspec import Struct

from gatewayd.model.config import SiteConfig
from gatewayd.site.draft import Draft
from gatewayd.site.expressions import check_expressions
from gatewayd.site.guards import check_points
from gatewayd.site.problem import Problem, has_errors
from gatewayd.site.read import read_site
from gatewayd.site.references import check_assets, check_contracts, check_rules
from gatewayd.site.trust import check_trust


class LoadedSite(Struct, frozen=True):
    """What a folder holds.

    Args:
        config: the site, None if any problem is an error.
        problems: everything found, by file and line.
    """

    config: SiteConfig | None
    problems: tuple[Problem, ...]


def load_site(folder: Path) -> LoadedSite:
    """Load and check a site. Reads files, changes nothing.

    Args:
        folder: holds gateway.toml, devices/, twins/ and policies/.
    """
    draft = Draft(folder=folder)
    if not folder.is_dir():
        missing = Problem(
            file=str(folder),
            message=f"{folder} is not a folder",
            remedy="Name the folder that holds gateway.toml.",
        )
        return LoadedSite(None, (missing,))
    read_site(draft)
    check_trust(draft)
    check_contracts(draft)
    check_assets(draft)
    check_rules(draft)
    check_points(draft)
    check_expressions(draft)
    problems = draft.findings.all()
    return LoadedSite(None if has_errors(problems) else draft.config(), problems)
