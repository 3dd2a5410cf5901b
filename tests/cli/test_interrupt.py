"""Work that ends well, badly, or by Ctrl-C; what it found stays."""

from __future__ import annotations

import signal

from gatewayd.cli.interrupt import run_to_end
from gatewayd.errors import StoreError


def test_work_that_is_done_ends_with_0(capsys):
    async def work() -> None:
        pass

    ending = run_to_end(work())
    ending.tell()
    assert (ending.exit_code, ending.fields()) == (0, {"interrupted": False, "error": "", "remedy": ""})
    assert capsys.readouterr().err == ""


def test_work_that_fails_ends_with_the_code_of_its_error(capsys):
    async def work() -> None:
        raise StoreError("no space", remedy="Make room.")

    ending = run_to_end(work())
    ending.tell()
    assert ending.exit_code == 4
    assert capsys.readouterr().err == "Error: no space\nRemedy: Make room.\n"


def test_ctrl_c_ends_with_130_and_what_was_found_is_kept(capsys):
    found = []

    async def work() -> None:
        found.append(1)
        signal.raise_signal(signal.SIGINT)
        found.append(await never())

    async def never() -> int:
        import asyncio

        await asyncio.Event().wait()
        return 2

    ending = run_to_end(work())
    ending.tell()
    assert (ending.exit_code, found) == (130, [1])
    assert "so far" in capsys.readouterr().err
