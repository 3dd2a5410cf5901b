"""Device names: found, guessed, completed."""

from __future__ import annotations

from pathlib import Path

import click
import pytest

from gatewayd.cli.device_probe import probe
from gatewayd.cli.site_names import complete_device, require_device
from gatewayd.errors import ConfigError
from tests.cli.sites import write_site


def test_a_device_is_found(tmp_path):
    config, device = require_device(write_site(tmp_path), "plc")
    assert device is config.devices["plc"]


def test_a_misspelt_device_is_guessed(tmp_path):
    with pytest.raises(ConfigError, match="did you mean plc"):
        require_device(write_site(tmp_path), "plv")


def test_the_shell_completes_device_names(tmp_path):
    context = click.Context(probe)
    context.params["directory"] = write_site(tmp_path)
    parameter = next(each for each in probe.params if each.name == "name")
    assert complete_device(context, parameter, "p") == ["plc"]
    assert complete_device(context, parameter, "x") == []


def test_without_a_folder_nothing_is_completed():
    parameter = next(each for each in probe.params if each.name == "name")
    assert complete_device(click.Context(probe), parameter, "") == []
    context = click.Context(probe)
    context.params["directory"] = Path("/no/such/folder")
    assert complete_device(context, parameter, "") == []
