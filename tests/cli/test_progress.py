"""Progress: after a second, at most ten times a second, on a terminal only, and gone at the end."""

from __future__ import annotations

import sys

from gatewayd.cli.progress import Progress
from tests.clock import ManualClock


async def said_over_two_seconds(capsys, *, is_on: bool = True) -> str:
    clock = ManualClock()
    progress = Progress(clock, is_on=is_on)
    for step in range(40):
        progress.say(f"step {step}")
        await clock.advance(50_000_000)
    progress.end()
    told = capsys.readouterr()
    assert told.out == ""
    return told.err


async def test_a_terminal_sees_it_after_a_second_and_it_goes_away(capsys, monkeypatch):
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    told = await said_over_two_seconds(capsys)
    assert told.split("\r\x1b[K") == ["", *(f"step {step}" for step in range(20, 40, 2)), ""]


async def test_a_file_or_a_program_never_sees_it(capsys, monkeypatch):
    assert await said_over_two_seconds(capsys) == ""
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    assert await said_over_two_seconds(capsys, is_on=False) == ""


async def test_a_quick_command_shows_none(capsys, monkeypatch):
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    progress = Progress(ManualClock())
    progress.say("step")
    progress.end()
    assert capsys.readouterr().err == ""
