"""Names of a site's devices: to find one, and to complete one from the shell."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import click

if TYPE_CHECKING:
    from collections.abc import Callable

    from gatewayd.model.config import SiteConfig
    from gatewayd.model.device import Device

    _Command = TypeVar("_Command", bound=Callable[..., object])

_NAMES_MAX = 1000


def complete_device(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[str]:
    """Return the devices of the DIR typed before, by the names of their files: reading the site would take too long."""
    folder = ctx.params.get("directory")
    return [] if folder is None else [name for name in devices_in(folder) if name.startswith(incomplete)]


def devices_in(folder: Path | str) -> list[str]:
    """Return the devices of a site's folder by the names of their files."""
    return sorted(path.stem for path in (Path(folder) / "devices").glob("*.toml"))[:_NAMES_MAX]


def site_and_device(command: _Command) -> _Command:
    """Add the arguments DIR and DEVICE, passed to the command as `directory` and `name`."""
    name = click.argument("name", metavar="DEVICE", shell_complete=complete_device)
    directory = click.argument("directory", metavar="DIR", type=click.Path(path_type=Path, file_okay=False))
    return directory(name(command))


def require_device(directory: Path, name: str) -> tuple[SiteConfig, Device]:
    """Load a site and find a device in it.

    Raises:
        ConfigError: the site has errors, or no such device.
    """
    from gatewayd.errors import ConfigError
    from gatewayd.site.load import require_site
    from gatewayd.site.problem import nearest

    config = require_site(directory)
    if name not in config.devices:
        near = nearest(name, config.devices)
        guess = f"; did you mean {near}?" if near else ""
        raise ConfigError(
            f"{directory} has no device {name!r}{guess}", remedy=f"It has {', '.join(config.devices) or 'none'}."
        )
    return config, config.devices[name]
