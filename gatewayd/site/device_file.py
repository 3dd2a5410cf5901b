"""One device file on its own: a tag list is imported before the site around it is whole."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import get_args

from gatewayd.errors import ConfigError
from gatewayd.model.device import Device
from gatewayd.site.problem import Findings, describe, has_errors
from gatewayd.site.shape import Fitter
from gatewayd.site.source import Origin, Source

DEVICE_FILE_BYTES_MAX = 1024 * 1024


def read_device_file(path: Path) -> Device:
    """Read the [device] table of a file; its tag list need not exist.

    Raises:
        ConfigError: the file is missing or wrong; the message lists every problem.
    """
    remedy = "Name a file such as config/devices/plc_1.toml."
    try:
        with path.open("rb") as file:
            content = file.read(DEVICE_FILE_BYTES_MAX + 1)
    except OSError as error:
        raise ConfigError(f"{path} cannot be read: {error.strerror}", remedy=remedy) from error
    if len(content) > DEVICE_FILE_BYTES_MAX:
        raise ConfigError(f"{path} is larger than {DEVICE_FILE_BYTES_MAX} bytes", remedy=remedy)
    try:
        text = content.decode()
        table = tomllib.loads(text).get("device")
    except (UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise ConfigError(f"{path} is not TOML: {error}", remedy="Correct the file, then try again.") from error
    if table is None:
        raise ConfigError(f"{path} has no [device] table", remedy=remedy)
    findings = Findings()
    device = Fitter(findings).fit_tagged(table, get_args(Device), Origin(Source(path.name, text), ("device",)))
    problems = findings.all()
    if device is None or has_errors(problems):
        listed = "\n".join(describe(problem) for problem in problems)
        raise ConfigError(f"{path} cannot be used:\n{listed}", remedy="Mend each line, then try again.")
    assert isinstance(device, get_args(Device))
    return device  # type: ignore[no-any-return]
