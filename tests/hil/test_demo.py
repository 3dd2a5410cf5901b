"""The demo checks what it tells; this only asks whether it still tells the whole story."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
STORY_S = 180


@pytest.mark.slow
@pytest.mark.timeout(STORY_S + 30)
def test_the_story_is_told_to_its_end_and_every_claim_holds():
    with tempfile.TemporaryDirectory(prefix="demo-") as folder:  # not pytest's: a Unix socket's path must be short
        told, status = play(Path(folder), STORY_S)

    chapters = re.findall(r"^(\d+)  \S", told, re.MULTILINE)
    claims = re.findall(r"^ +[\d.]+ s  ok  ", told, re.MULTILINE)
    last = told.rstrip().splitlines()[-1]
    assert status == 0, told[-4000:]
    assert chapters == [str(number) for number in range(1, len(chapters) + 1)]
    assert len(chapters) >= 5
    assert last == f"All {len(claims)} claims held."


def play(folder: Path, seconds: float) -> tuple[str, int]:
    """Run the demo in a process group of its own, so that nothing of it outlives this test."""
    demo = subprocess.Popen(
        [sys.executable, "-m", "hil.demo", "--folder", str(folder)],
        cwd=ROOT,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    try:
        told, _ = demo.communicate(timeout=seconds)
    finally:
        _end_group(demo.pid)
        demo.wait(timeout=10)
    return told, demo.returncode


def _end_group(leader: int) -> None:
    try:
        os.killpg(leader, signal.SIGKILL)
    except ProcessLookupError:
        return
