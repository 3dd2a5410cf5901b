"""A group that does not import what nobody asked for."""

from __future__ import annotations

import click

from gatewayd.cli.lazy import LazyGroup

GROUP = LazyGroup(
    lazy={"here": ("gatewayd.cli.completion:completion", "There is one."), "gone": ("no.such.module:x", "Is none.")}
)


def test_help_lists_what_it_never_imports():
    """`gone` cannot be imported, and nobody notices until it is called."""
    text = GROUP.get_help(click.Context(GROUP))
    assert "There is one." in text
    assert "Is none." in text
    assert GROUP.list_commands(click.Context(GROUP)) == ["here", "gone"]


def test_a_command_is_imported_when_asked_for():
    command = GROUP.get_command(click.Context(GROUP), "here")
    assert command is not None
    assert command.name == "completion"
    assert GROUP.get_command(click.Context(GROUP), "nowhere") is None
