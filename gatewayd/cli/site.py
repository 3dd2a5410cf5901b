"""Loads the site folder a command was given, or says everything that is wrong with it."""

from __future__ import annotations

from pathlib import Path

from gatewayd.errors import ConfigError
from gatewayd.model.config import SiteConfig
from gatewayd.site.load import load_site


def checked_site(folder: Path) -> SiteConfig:
    """Return the site of a folder.

    Raises:
        ConfigError: with every error of the site, one per line.
    """
    loaded = load_site(folder)
    if loaded.config is None:
        errors = [problem.message for problem in loaded.problems if problem.severity == "error"]
        raise ConfigError(
            "\n".join([f"{folder} cannot be used:", *errors]),
            remedy=f"Run `gatewayd config check {folder}` and mend each line.",
        )
    return loaded.config
