"""Hostile bytes against every decoder, a short run of `make fuzz`; and the rig itself notices what it is there for."""

from __future__ import annotations

import os
import signal
import subprocess
import sys

import pytest

from hil.fuzz.__main__ import _in_child
from hil.fuzz.targets import TARGETS

RUNS = 3000


def fuzz(*arguments: str) -> tuple[int, str]:
    done = subprocess.run(
        [sys.executable, "-m", "hil.fuzz", *arguments], capture_output=True, text=True, timeout=110, check=False
    )
    return done.returncode, done.stdout + done.stderr


@pytest.mark.parametrize("name", TARGETS)
def test_a_decoder_stands_whatever_a_device_sends(name, capfd):
    """P-ISOLATE: no exception but the promised one, no byte read or written outside, compiled and plain code agree."""
    stood = _in_child(name, RUNS, 20261127)
    said = capfd.readouterr().out
    assert stood, said
    assert f"{name}: {RUNS:,} inputs, " in said


def test_one_target_is_run_in_a_process_of_its_own_and_the_verdict_is_said():
    name = next(iter(TARGETS))
    code, said = fuzz(name, "--runs", "100")
    assert code == 0
    assert f"{name}: 100 inputs, " in said
    assert said.endswith("every decoder stood\n")


def test_a_crash_is_noticed_and_its_input_kept(tmp_path):
    script = (
        "import ctypes, os, sys; os.chdir(sys.argv[1]); from hil.fuzz import __main__ as rig\n"
        "from hil.fuzz.targets import Target\n"
        "rig.TARGETS['crash'] = Target([b'boom'], lambda: lambda content: ctypes.string_at(0) if b'X' in content else '')\n"
        "rig.attack('crash', runs=100000, seed=1)"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, str(tmp_path)], check=False, timeout=60, capture_output=True,
        env={**os.environ, "PYTHONPATH": os.getcwd()},
    )  # fmt: skip
    assert done.returncode == -signal.SIGSEGV
    kept = (tmp_path / "build/fuzz/crash.input").read_bytes()
    assert b"X" in kept[4 : 4 + int.from_bytes(kept[:4], "little")]


def test_an_unknown_target_is_refused():
    code, said = fuzz("nothing")
    assert code == 2
    assert "no target 'nothing'" in said


TOO_FAR = """
import ctypes, sys
from hil.fuzz.columns import guarded
cells = guarded(100)
address = ctypes.addressof(ctypes.c_char.from_buffer(cells))
ctypes.string_at(address, 100)
print("inside", flush=True)
ctypes.string_at(address, 101)
print("outside", flush=True)
"""


def test_one_byte_behind_a_column_is_out_of_reach():
    done = subprocess.run([sys.executable, "-c", TOO_FAR], capture_output=True, text=True, check=False, timeout=60)
    assert done.stdout == "inside\n"
    assert done.returncode == -signal.SIGSEGV
