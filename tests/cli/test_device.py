"""The verbs of `gatewayd device`."""

from __future__ import annotations

import click

from gatewayd.cli.device import device


def test_every_verb_is_listed_with_the_help_of_its_own(gatewayd):
    said = gatewayd("device", "--help")
    assert said.code == 0
    context = click.Context(device)
    for name in device.list_commands(context):
        command = device.get_command(context, name)
        assert command is not None
        assert command.help
        assert f"  {name} " in said.out


def test_the_help_says_that_nothing_is_written(gatewayd):
    said = gatewayd("device", "--help").out
    assert "Nothing here writes to a device" in " ".join(said.split())
